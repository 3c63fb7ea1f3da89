"""What the sandbox answers for one id, as a value: so many faults, then nulls, then a result that stays.

``sandbox.grammar`` reads a scenario out of an id; ``sandbox.state`` counts how far along its script an id is.
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
    "RetryAfter",
    "Scenario",
    "Settled",
    "Shape",
    "Step",
    "catalogue",
]

#: More times than anybody asks.
ALWAYS: Final = sys.maxsize

#: The `overallResult` that goes with each `errorCode` of the vendor's table.
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

#: … and of all codes an id may ask for: also the alias of the vendor's second example, spelled as there, two codes of
#: sibling products, and one that nobody has heard of.
RESULTS: Final = {
    **DOCUMENTED,
    "NOT_SUPPORTED_CARD": "fail",
    "LIVENESS_ATTACK": "FAIL",
    "SIMILARITY_FAILED": "FAIL",
    "SOMETHING_NEW": "INCOMPLETE",
}


class Kind(StrEnum):
    """What may go wrong with one answer."""

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
    """How a result is written where it is not written as in the vendor's first example."""

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


class Links(StrEnum):
    """Where the image links of an answer lead."""

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
    """One thing that goes wrong, `times` times in a row."""

    kind: Kind
    times: int = 1
    #: The envelope code, where the kind is `code`.
    code: str = ""
    #: The HTTP status, where the kind is `http`.
    status: int = 0
    retry_after: RetryAfter | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Null: the vendor is still at it."""

    submission_completed: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The result."""


Step = Fault | Pending | Settled


@dataclass(frozen=True, slots=True)
class Country:
    """What an id's documents look like; the alpha-3 code is that of the vendor's `countryCodeIso3`."""

    iso3: str
    doc_type: str


#: By region of the vendor's hosts. `MY-ID-MYKAD` is the vendor's example, the others are made up after it.
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
    """The script of one id. All counts are of answers given to that id."""

    error_code: str = "SUCCESS"
    overall_result: str = "PASS"
    country: Country = REGIONS["my"]
    #: In the order in which they come, before any null.
    faults: tuple[Fault, ...] = ()
    nulls: int = 0
    #: Null until so long after the id was first asked for.
    wait_s: float = 0.0
    #: Nulls before `submissionCompleted` turns true; ALWAYS: only the result says so.
    submitted_after: int = ALWAYS
    latency_s: float = 0.0
    #: How many answers come late.
    latency_times: int = 0
    shapes: frozenset[Shape] = frozenset()
    links: Links = Links.HERE
    #: How many results carry links that are dead already.
    dead_links: int = 0
    image_fault: Fault | None = None
    image_latency_s: float = 0.0

    def step(self, given: int, waited_s: float) -> Step:
        """What comes after `given` answers of this script, `waited_s` seconds after the first ask."""
        for fault in self.faults:
            if given < fault.times:
                return fault
            given -= fault.times
        if given < self.nulls or waited_s < self.wait_s:
            return Pending(submission_completed=given >= self.submitted_after)
        return Settled()

    def latency_of(self, ask: int) -> float:
        """Seconds by which the answer to the `ask`-th ask (from 0) comes late."""
        return self.latency_s if ask < self.latency_times else 0.0
