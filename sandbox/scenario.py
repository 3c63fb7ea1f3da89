"""What the sandbox answers for one id, as a value: some faults, then nulls, then a result that stays.

``sandbox.grammar`` parses an id into a scenario; ``sandbox.state`` counts the answers that an id has had.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from typing import Final

from sandbox.catalogue import Entry, Expectation, catalogue

__all__ = [
    "ALWAYS",
    "DOCUMENTED",
    "REGIONS",
    "RESULTS",
    "Country",
    "Entry",
    "Expectation",
    "Fault",
    "Kind",
    "Links",
    "Pending",
    "Product",
    "RetryAfter",
    "Scenario",
    "Settled",
    "Shape",
    "Step",
    "Video",
    "catalogue",
]

#: More times than any client asks.
ALWAYS: Final = sys.maxsize

#: The `overallResult` of each `errorCode` in the vendor's table.
DOCUMENTED: Final = {
    "SUCCESS": "PASS",
    "ID_FORGERY_DETECTED": "FAIL",
    "NATIONALITY_COMPLIANCE_FAILED": "FAIL",
    "NO_SUPPORTED_CARD": "INCOMPLETE",
    "CARD_TYPE_MISMATCH": "INCOMPLETE",
    "CARD_LOW_QUALITY_IMAGE": "INCOMPLETE",
    "INCOMPLETED_CARD": "INCOMPLETE",
    "CARD_INFO_MISMATCH": "INCOMPLETE",
    "TOO_MANY_CARDS": "INCOMPLETE",
    "CARD_NOT_FOUND": "INCOMPLETE",
    "OCR_NO_RESULT": "INCOMPLETE",
    "PARAMETER_ERROR": "INCOMPLETE",
    "USER_TIMEOUT": "INCOMPLETE",
    "ERROR": "INCOMPLETE",
    "NO_SUPPORTED_CARD_CUSTOMIZED": "INCOMPLETE",
    "NO_FACE_DETECTED": "INCOMPLETE",
    "OCR_FIELD_INVALID": "INCOMPLETE",
}

#: The same for all codes that an id may ask for: also the alias in the vendor's second example, spelled as there, two
#: codes of the vendor's other products, and one unknown code.
RESULTS: Final = {
    **DOCUMENTED,
    "NOT_SUPPORTED_CARD": "fail",
    "LIVENESS_ATTACK": "FAIL",
    "SIMILARITY_FAILED": "FAIL",
    "SOMETHING_NEW": "INCOMPLETE",
}


class Kind(StrEnum):
    """The kind of fault of one answer."""

    CODE = "code"
    TOKEN_EXPIRED = "tokenexpired"  # noqa: S105 - a kind of fault
    HTTP = "http"
    HTML = "html"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    GARBAGE = "garbage"
    WRONG_ID = "wrongid"
    SLOW_DRIP = "slowdrip"
    RESET = "reset"
    OVERSIZED = "oversized"
    NOT_IMAGE = "notimage"
    REDIRECT = "redirect"


class Shape(StrEnum):
    """How the form of a result differs from the vendor's first example."""

    LOWERCASE = "lowercase"
    IDV_ONLY = "idvonly"
    DOC_RESULT = "docresult"
    TIMESTAMP = "timestamp"
    NO_DETAIL = "nodetail"
    NO_SIGNATURE_ID = "nosigid"
    UNKNOWN_RESULT = "unknownresult"
    NO_DATA = "nodata"
    NAME_TWICE = "nametwice"
    DOC_FAIL = "docfail"
    IDV_FAIL = "idvfail"
    UNSUBMITTED = "unsubmitted"
    OLDER = "older"


class Product(StrEnum):
    """The vendor's product whose answer is given. The value is the magic word."""

    DOCUMENT = "document"
    #: Document and face.
    IDENTITY = "liveness"
    FACE = "face"
    DATABASE = "database"
    ADDRESS = "address"


class Video(StrEnum):
    """What `faceVideoUrl` is. The value is the magic word."""

    LINK = "facevideo"
    NONE = "nofacevideo"
    PENDING = "facevideopending"
    ERROR = "facevideoerror"


class Links(StrEnum):
    """The targets of the image links of an answer."""

    HERE = "here"
    PRIVATE = "imgprivate"
    NONE = "noimages"


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """A `Retry-After` header. `form`: `` (seconds), `s` (with the unit, as the vendor documents), `date`."""

    seconds: int
    form: str = "s"

    def header(self, now_s: float) -> str:
        if self.form == "date":
            return formatdate(now_s + self.seconds, usegmt=True)
        return f"{self.seconds}{self.form}"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that occurs `times` times in a row."""

    kind: Kind
    times: int = 1
    #: The envelope code, if the kind is `code`.
    code: str = ""
    #: The HTTP status, if the kind is `http`.
    status: int = 0
    retry_after: RetryAfter | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A null answer: the vendor has no result yet."""

    submission_completed: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The result."""


Step = Fault | Pending | Settled


@dataclass(frozen=True, slots=True)
class Country:
    """The country of an id's documents. `iso3` is the alpha-3 code in the vendor's `countryCodeIso3`."""

    iso3: str
    doc_type: str


#: By region of the vendor's hosts. `MY-ID-MYKAD` is in the vendor's example; the others are made up in its form.
REGIONS: Final = {
    "my": Country("MYS", "MY-ID-MYKAD"),
    "ph": Country("PHL", "PH-ID-PHILSYS"),
    "sg": Country("SGP", "SG-ID-NRIC"),
    "th": Country("THA", "TH-ID-CARD"),
    "vn": Country("VNM", "VN-ID-CCCD"),
    "id": Country("IDN", "ID-ID-KTP"),
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """All answers of one id, in order. All counts are of answers given to that id."""

    error_code: str = "SUCCESS"
    overall_result: str = "PASS"
    country: Country = REGIONS["my"]
    #: In the order in which they occur, before any null.
    faults: tuple[Fault, ...] = ()
    nulls: int = 0
    #: Seconds after the first poll of the id during which the answer is null.
    wait_s: float = 0.0
    #: Nulls before `submissionCompleted` becomes true; ALWAYS: it is true only in the result.
    submitted_after: int = ALWAYS
    #: Seconds after the first poll of the id when it becomes true; None: at no time of its own.
    submitted_s: float | None = None
    latency_s: float = 0.0
    #: How many answers are delayed by `latency_s`.
    latency_times: int = 0
    shapes: frozenset[Shape] = frozenset()
    links: Links = Links.HERE
    #: How many results have links that have already expired.
    dead_links: int = 0
    image_fault: Fault | None = None
    image_latency_s: float = 0.0
    product: Product = Product.DOCUMENT
    video: Video = Video.LINK
    #: `faceResult` is FAIL, whatever the result is.
    face_failed: bool = False
    #: None: as the result has it.
    liveness_score: float | None = None
    similarity_score: float | None = None
    attack_type: int | None = None
    #: More `errorCodes` of an address.
    more_codes: tuple[str, ...] = ()

    def step(self, given: int, waited_s: float) -> Step:
        """Return the answer that follows `given` answers, `waited_s` seconds after the first poll."""
        for fault in self.faults:
            if given < fault.times:
                return fault
            given -= fault.times
        if given < self.nulls or waited_s < self.wait_s:
            submitted = self.submitted_s is not None and waited_s >= self.submitted_s
            return Pending(submission_completed=submitted or given >= self.submitted_after)
        return Settled()

    def latency_of(self, ask: int) -> float:
        """Return the delay of the answer to poll number `ask` (from 0), in seconds."""
        return self.latency_s if ask < self.latency_times else 0.0
