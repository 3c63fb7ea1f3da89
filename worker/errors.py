"""The errors of this project, and how to handle each class.

    EkycError
    ├── InvalidInput            wrong input of a person or a pipeline          exit code 2
    │   └── ConfigError         … in the environment or a file that it names
    │       └── EvidenceUnsuitable  the evidence store lacks a guarantee that evidence needs
    ├── Unavailable             a dependency does not answer                   exit code 1
    │   ├── LedgerUnavailable       the ledger's Redis
    │   │   ├── RightMissing            … answers, and denies our account a command or a key
    │   │   └── LedgerDamaged           … answers, and holds a key that no script wrote like this
    │   ├── BrokerUnavailable       the queue of a message
    │   ├── EvidenceUnavailable     the evidence store
    │   │   ├── StoreAway               … and its circuit breaker is open
    │   │   └── EvidenceKeyUnknown      … or not without a key that this process does not have
    │   ├── TimestampUnavailable    the authority gives no timestamp for the log of evidence
    │   ├── VendorUnavailable       the vendor gives no token
    │   └── ImageUnavailable        the host of an image
    │       ├── ImageLinkExpired        the link has expired; the vendor can give a fresh link
    │       └── ImageHostBusy           enough images are being fetched already
    └── Refused                 the server answered, but we refuse the content
        ├── ImageRefused            not an image, too large, or from a forbidden origin
        ├── EvidenceConflict        the evidence store holds other bytes under this name
        │   └── LogDamaged              a file of the log of evidence is not what a holder of its key wrote
        │       └── LogRolledBack           … or commits of the log are gone
        ├── EvidenceErased          the evidence of this verification was erased
        ├── EvidenceLost            the evidence store answers, but stored evidence is gone
        └── SignatureRefused        the signature of a delivery is missing, stale or wrong

The meaning of the *vendor's answers* is a value, not an exception: see ``worker.advance.answers``.

Each class defines how callers handle it (``retry``, ``quarantine``, ``alarm``), so that no caller needs a
ladder of ``isinstance``. A message never quotes content of a vendor, an image host or a user's document:
messages end up in logs and in Flower.
"""

from __future__ import annotations

from typing import ClassVar


class EkycError(Exception):
    """The root of all errors of this project."""

    #: A later attempt may succeed.
    retry: ClassVar[bool] = False
    #: The verification ends without a decision, and nothing of it is kept.
    erased: ClassVar[bool] = False
    #: A person has to look at the verification.
    quarantine: ClassVar[bool] = False
    #: A person has to act: the fleet cannot fix the cause.
    alarm: ClassVar[bool] = False
    #: The field of ``worker.policy.backoff.Backoffs`` that gives the countdown.
    backoff: ClassVar[str] = "unforeseen"
    #: The exit code of a console command.
    exit_code: ClassVar[int] = 1
    #: The word for the error in counters, timelines and logs.
    cause: ClassVar[str] = "ERROR"
    #: A detail of the cause for the timeline: a server's code, or "".
    why: str = ""


class InvalidInput(EkycError):
    """Raised when the input of a person or a pipeline is wrong. The message names the fault, the place and the fix."""

    exit_code = 2
    cause = "INVALID_INPUT"


class ConfigError(InvalidInput):
    """Raised when a setting, or a file that a setting names, cannot be used. One line per fault."""

    alarm = True
    cause = "CONFIG"


class EvidenceUnsuitable(ConfigError):
    """Raised when the evidence store works but lacks a guarantee that evidence needs, such as "written once".

    Or: it does not hold the evidence of the ledger.
    """

    cause = "EVIDENCE_UNSUITABLE"


class Unavailable(EkycError):
    """Raised when a dependency does not answer."""

    retry = True
    cause = "UNAVAILABLE"


class LedgerUnavailable(Unavailable):
    """Raised when the ledger's Redis cannot be reached or cannot write."""

    alarm = True
    cause = "LEDGER_UNAVAILABLE"


class RightMissing(LedgerUnavailable):
    """Raised when the account on the ledger's Redis lacks a right: a wait does not help, an administrator does."""


class LedgerDamaged(LedgerUnavailable):
    """Raised when a key in the ledger's Redis is not of the type, or the form, that the scripts write.

    A wait does not help: a person has to restore, rename or remove the key.
    """


class BrokerUnavailable(Unavailable):
    """Raised when a message could not be put on its queue."""

    backoff = "delivery"
    cause = "DELIVERY_FAILED"

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why


class EvidenceUnavailable(Unavailable):
    """Raised when the evidence store cannot be read or written."""

    alarm = True
    backoff = "evidence"
    cause = "EVIDENCE_UNAVAILABLE"


class StoreAway(EvidenceUnavailable):
    """Raised while the store's breaker is open: neither the store nor the vendor was used. `probed`: by this caller."""

    def __init__(self, not_for_s: float, *, probed: bool = False) -> None:
        super().__init__("the evidence store is unavailable")
        self.not_for_s = not_for_s
        self.probed = probed


class EvidenceKeyUnknown(EvidenceUnavailable):
    """Raised when evidence is encrypted under a key that this process does not have. Another worker may have it."""

    cause = "EVIDENCE_KEY_UNKNOWN"


class TimestampUnavailable(Unavailable):
    """Raised when the timestamp authority gives no timestamp for a checkpoint of the log of evidence."""

    cause = "TIMESTAMP_UNAVAILABLE"


class VendorUnavailable(Unavailable):
    """Raised when the vendor gives no token."""

    backoff = "transient_fault"
    cause = "VENDOR_UNAVAILABLE"


class ImageUnavailable(Unavailable):
    """Raised when the host of an image did not deliver it in time."""

    backoff = "image"
    cause = "IMAGE_UNAVAILABLE"


class ImageLinkExpired(ImageUnavailable):
    """Raised when the link of an image no longer works. The vendor gives a fresh link on request."""

    cause = "IMAGE_LINK_EXPIRED"


class ImageHostBusy(ImageUnavailable):
    """Raised when the limit of concurrent fetches is reached, for its host or in all. This is not an attempt."""

    cause = "IMAGE_HOST_BUSY"


class Refused(EkycError):
    """Raised when a server answered but we refuse the content. ``reason`` is a machine-readable code."""

    cause = "REFUSED"

    def __init__(self, reason: str, message: str | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason


class ImageRefused(Refused):
    """Raised for content that is not an image or too large, and for a link to a forbidden origin."""

    cause = "IMAGE_REFUSED"


class EvidenceConflict(Refused):
    """Raised when stored evidence is not what was written. ``reason`` says how it differs."""

    #: A named key does not open a data key that is wrapped under its id.
    WRONG_KEY: ClassVar[str] = "WRONG_KEY"
    #: An object is encrypted, and its `key.json` is gone.
    KEY_MISSING: ClassVar[str] = "KEY_MISSING"
    #: `key.json` cannot be parsed.
    KEY_UNREADABLE: ClassVar[str] = "KEY_UNREADABLE"
    #: An encrypted object was changed, cut, renamed or moved.
    SEALED_BYTES: ClassVar[str] = "SEALED_BYTES"
    #: An object is not encrypted, and its `key.json` says that it is.
    PLAIN_BYTES: ClassVar[str] = "PLAIN_BYTES"
    #: An object was plain when the first process with keys came: somebody may have planted it.
    MAY_BE_PLANTED: ClassVar[str] = "MAY_BE_PLANTED"

    quarantine = True
    alarm = True
    cause = "EVIDENCE_CONFLICT"


class EvidenceErased(Refused):
    """Raised when the evidence of a verification was erased: nothing is stored for it any more."""

    erased = True
    cause = "EVIDENCE_ERASED"


class LogDamaged(EvidenceConflict):
    """Raised when a file of the log of evidence is not what a holder of the log's key wrote: nothing is added to it."""

    cause = "EVIDENCE_LOG_DAMAGED"

    def __init__(self, message: str) -> None:
        super().__init__(self.cause, message)


class LogRolledBack(LogDamaged):
    """Raised when commits of the log of evidence are gone that were there before."""

    cause = "EVIDENCE_LOG_ROLLED_BACK"


class EvidenceLost(Refused):
    """Raised when the evidence store answers but stored evidence is gone. ``reason`` names what is gone."""

    #: The vendor's answer, which can be requested again.
    ANSWER_GONE: ClassVar[str] = "ANSWER_GONE"
    #: Files that a manifest names.
    FILES_GONE: ClassVar[str] = "FILES_GONE"

    quarantine = True
    alarm = True
    cause = "EVIDENCE_LOST"


class OutcomeForged(Refused):
    """Raised when the ledger has an outcome or a decision that no worker wrote. ``reason`` says what is wrong."""

    #: There is no stored answer that could confirm it.
    NO_ANSWER: ClassVar[str] = "NO_ANSWER"
    #: The stored answer has another outcome.
    OTHER_OUTCOME: ClassVar[str] = "OTHER_OUTCOME"
    #: The stored answer leads to another decision.
    OTHER_DECISION: ClassVar[str] = "OTHER_DECISION"
    #: It has no MAC, no result and no answer, as an older release settles at a deadline; or an answer that was plain.
    UNPROVEN: ClassVar[str] = "UNPROVEN"

    quarantine = True
    alarm = True
    cause = "OUTCOME_FORGED"


class SignatureRefused(Refused):
    """Raised by a receiver when the signature of a delivery proves nothing. ``reason`` says why."""

    #: A header of the signature is missing.
    MISSING: ClassVar[str] = "MISSING_HEADER"
    #: A header of the signature cannot be read.
    MALFORMED: ClassVar[str] = "MALFORMED_HEADER"
    #: The timestamp is too far from the receiver's clock.
    STALE: ClassVar[str] = "STALE_TIMESTAMP"
    #: The signature is by another key, or for another id, timestamp or body.
    WRONG: ClassVar[str] = "WRONG_SIGNATURE"

    cause = "SIGNATURE_REFUSED"
