"""The reasons of a quarantine, in a few words for the person on call. `docs/operators.md` has more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Advice:
    """The meaning of a reason, and what to do before a retry."""

    means: str
    todo: str


_OUR_REQUEST: Final = Advice(
    "the vendor rejects our request as invalid",
    "have the raw answer read (`ekyc evidence show`) and check whether the vendor changed its API; "
    "retry once a fixed worker runs",
)
_REFUSED: Final = Advice(
    "the vendor refused this verification again and again, but not others",
    "ask the vendor's support what is special about it, with the transaction id; retry once they have fixed it",
)
_OURS: Final = Advice(
    "a fault of ours that waiting does not fix",
    "look for `verification_fault` and its id in the workers' logs, and fix what it names before the retry",
)

#: By reason. The ledger may hold other reasons, of newer versions.
REASONS: Final[Mapping[str, Advice]] = {
    "UNREADABLE": Advice(
        "the vendor answered with success, in a form that cannot be read safely",
        "see the field that `refused` names in the timeline; retry, and if it comes back ask the vendor's support",
    ),
    "UNKNOWN_CODE": Advice(
        "the vendor answered several times with a code that is not documented",
        "see the code in the timeline and ask the vendor what it means; retry once it has stopped or we support it",
    ),
    "PARAMETER_ERROR": _OUR_REQUEST,
    "EMPTY_PARAMETER_ERROR": _OUR_REQUEST,
    "CLIENT_ERROR": _OUR_REQUEST,
    "IAM_FAILED": _REFUSED,
    "ACCESS_DENIED": _REFUSED,
    "HTTP_401": _REFUSED,
    "HTTP_403": _REFUSED,
    "OVER_QUERY_LIMIT": _REFUSED,
    "INSUFFICIENT_BALANCE": _REFUSED,
    "ACCOUNT_DISABLED": _REFUSED,
    "SERVICE_DISABLED": _REFUSED,
    "CRASHES_WORKERS": Advice(
        "its worker died five times before there was an outcome",
        "find out why workers died (memory, kill -9, the kernel's log); retry a single one, and watch the worker",
    ),
    "EVIDENCE_CONFLICT": Advice(
        "the evidence store holds other bytes than expected, or something that can no longer be read or decrypted",
        "find out who else writes there; nothing is overwritten. Retry once the store is corrected",
    ),
    "EVIDENCE_LOST": Advice(
        "stored evidence is gone from the store, and another answer of the vendor did not replace it",
        "restore the evidence from its backup, then retry; without a backup, a retry polls the vendor again",
    ),
    "OUTCOME_FORGED": Advice(
        "the ledger had an outcome or a decision that no worker wrote, and the stored answer does not confirm it",
        "find out who else can write to Redis, and change its password; a retry polls the vendor again",
    ),
    "EVIDENCE_UNAVAILABLE": Advice(
        "the evidence store failed for this verification for twenty minutes, but worked for others",
        "check the store's own log for this folder; retry once the folder can be written",
    ),
    "EVIDENCE_KEY_UNKNOWN": Advice(
        "its evidence is encrypted under a key that the workers did not have for twenty minutes",
        "add the key to EKYC_EVIDENCE_KEYS of all workers (docs/encryption.md), restart them, then retry",
    ),
    "EVIDENCE_ERASED": Advice(
        "its evidence was erased: nothing is stored for it any more, and nothing is decided",
        "drop it; if the person has to be verified again, with a new signatureId",
    ),
    "EVIDENCE_UNSUITABLE": _OURS,
    "UNFORESEEN": Advice(
        "a bug of ours: the same stage failed five times in a row",
        "look for `verification_failed` at that time in the workers' logs; retry once it is fixed",
    ),
    "CONFIG": _OURS,
    "INVALID_INPUT": _OURS,
    "REFUSED": _OURS,
    "IMAGE_REFUSED": _OURS,
    "ERROR": _OURS,
}

#: The advice for a reason that is not listed above.
UNKNOWN: Final = Advice(
    "a reason that this version of `ekyc` does not know", "see the timeline, and docs/operators.md"
)
