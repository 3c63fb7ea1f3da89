"""Everything that can go wrong on our side of the wire, and what each class asks for.

    EkycError
    ├── InvalidInput            what a person or a pipeline gave us is wrong   exit code 2
    │   └── ConfigError         … in the environment or a file it names
    │       └── EvidenceUnsuitable  the evidence store does not keep what evidence needs
    ├── Unavailable             something we stand on does not answer          exit code 1
    │   ├── LedgerUnavailable       Redis of the ledger
    │   ├── BrokerUnavailable       the queue a message should go to
    │   ├── EvidenceUnavailable     the evidence store
    │   │   └── StoreAway               … and its circuit breaker is open
    │   ├── VendorUnavailable       the vendor would not give us a token
    │   └── ImageUnavailable        the host of an image
    │       ├── ImageLinkExpired        the link died: a fresh one can be had
    │       └── ImageHostBusy           no room for it here: enough images are on their way
    └── Refused                 it answered, and we will not take what it gave
        ├── ImageRefused            not an image, too large, from where it may not come
        ├── EvidenceConflict        the evidence store holds other bytes than it should
        └── EvidenceLost            the evidence store answers, and has not what was kept

What the *vendor's answers* mean is no exception but a value: see ``worker.advance.answers``.

A class says for itself what is to be done (``retry``, ``quarantine``, ``alarm``), so that nobody needs a
ladder of ``isinstance``. A message never quotes what a vendor, an image host or a user's document said:
it ends up in logs and in Flower.
"""

from __future__ import annotations

from typing import ClassVar


class EkycError(Exception):
    """The root of all errors of this project."""

    #: Trying again later may succeed.
    retry: ClassVar[bool] = False
    #: A person has to look at the verification it happened to.
    quarantine: ClassVar[bool] = False
    #: A person has to act: the fleet cannot fix it alone.
    alarm: ClassVar[bool] = False
    #: Which of ``worker.policy.backoff.Backoffs`` its countdown comes from.
    backoff: ClassVar[str] = "unforeseen"
    #: What a console command ends with.
    exit_code: ClassVar[int] = 1
    #: The word for it in counters, timelines and logs.
    cause: ClassVar[str] = "ERROR"
    #: What more there is to say of the cause in a timeline: a server's code, or "".
    why: str = ""


class InvalidInput(EkycError):
    """What a person or a pipeline gave us is wrong: the message says what, where, and what to do."""

    exit_code = 2
    cause = "INVALID_INPUT"


class ConfigError(InvalidInput):
    """A setting, or a file that a setting names, cannot be used. One line per fault."""

    alarm = True
    cause = "CONFIG"


class EvidenceUnsuitable(ConfigError):
    """The evidence store works, and lacks a guarantee that evidence needs, such as "written once"."""

    cause = "EVIDENCE_UNSUITABLE"


class Unavailable(EkycError):
    """Something we stand on does not answer now."""

    retry = True
    cause = "UNAVAILABLE"


class LedgerUnavailable(Unavailable):
    """Redis, where the ledger lives, cannot be reached or cannot write."""

    alarm = True
    cause = "LEDGER_UNAVAILABLE"


class BrokerUnavailable(Unavailable):
    """A message could not be put on its queue."""

    backoff = "delivery"
    cause = "DELIVERY_FAILED"

    def __init__(self, message: str, why: str = "") -> None:
        super().__init__(message)
        self.why = why


class EvidenceUnavailable(Unavailable):
    """The evidence store cannot be read or written now."""

    alarm = True
    backoff = "evidence"
    cause = "EVIDENCE_UNAVAILABLE"


class StoreAway(EvidenceUnavailable):
    """The breaker is open: the store was not used, and the vendor not asked. `probed`: this caller has found it so."""

    def __init__(self, not_for_s: float, *, probed: bool = False) -> None:
        super().__init__("the evidence store is away")
        self.not_for_s = not_for_s
        self.probed = probed


class VendorUnavailable(Unavailable):
    """The vendor would not give us a token."""

    backoff = "transient_fault"
    cause = "VENDOR_UNAVAILABLE"


class ImageUnavailable(Unavailable):
    """The host of an image did not give it to us in time."""

    backoff = "image"
    cause = "IMAGE_UNAVAILABLE"


class ImageLinkExpired(ImageUnavailable):
    """The link of an image no longer works; asking the vendor again yields a fresh one."""

    cause = "IMAGE_LINK_EXPIRED"


class ImageHostBusy(ImageUnavailable):
    """As many images as may be are being fetched, of its host or in all: that is no try."""

    cause = "IMAGE_HOST_BUSY"


class Refused(EkycError):
    """Something answered, and we will not take what it gave. ``reason`` is a word for machines."""

    cause = "REFUSED"

    def __init__(self, reason: str, message: str | None = None) -> None:
        super().__init__(message or reason)
        self.reason = reason


class ImageRefused(Refused):
    """An image that is none, is too large, or would come from where images may not come from."""

    cause = "IMAGE_REFUSED"


class EvidenceConflict(Refused):
    """The evidence store already holds other bytes under a name that is written once."""

    quarantine = True
    alarm = True
    cause = "EVIDENCE_CONFLICT"


class EvidenceLost(Refused):
    """The evidence store answers, and evidence that was kept is not there. ``reason`` says what is gone."""

    #: The vendor's answer: another one can be asked for.
    ANSWER_GONE: ClassVar[str] = "ANSWER_GONE"
    #: Files that a manifest names.
    FILES_GONE: ClassVar[str] = "FILES_GONE"

    quarantine = True
    alarm = True
    cause = "EVIDENCE_LOST"
