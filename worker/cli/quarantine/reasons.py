"""Why verifications come to quarantine, in a few words for the person on call. `docs/operators.md` says more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reason means, and what to do before the retry."""

    means: str
    todo: str


_OUR_REQUEST: Final = Advice(
    "the vendor finds our request wrong",
    "see what the raw answer says and whether the vendor changed its API; retry once a worker that is fixed runs",
)
_REFUSED: Final = Advice(
    "the vendor refused this one time and again, and not the others",
    "ask the vendor's support, with the transaction id, what is special about it; retry once they have seen to it",
)
_OURS: Final = Advice(
    "a fault of ours that no waiting fixes",
    "look for `verification_fault` and its id in the workers' logs, and fix what it names before the retry",
)

#: By reason. The ledger may hold others, of versions to come.
REASONS: Final[Mapping[str, Advice]] = {
    "UNREADABLE": Advice(
        "the vendor calls it a success, in a form that cannot be read safely",
        "see the field that `refused` names in the timeline; retry, and if it comes back ask the vendor's support",
    ),
    "UNKNOWN_CODE": Advice(
        "the vendor answered a code that nobody knows, several times",
        "see the code in the timeline and ask the vendor what it means; retry once it has ceased or is known to us",
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
        "five times it was begun, and its worker died before it came to an outcome",
        "see why workers died (memory, kill -9, the kernel's log); retry a single one, and watch the worker",
    ),
    "EVIDENCE_CONFLICT": Advice(
        "the evidence store holds other bytes than were to be kept, or an answer that cannot be read any more",
        "find out who else writes there; nothing is overwritten. Retry once the store holds what it should",
    ),
    "EVIDENCE_LOST": Advice(
        "evidence that was kept is gone from the store, and the vendor gives no other answer",
        "restore the evidence from its backup, then retry; without one a retry asks the vendor again",
    ),
    "EVIDENCE_UNAVAILABLE": Advice(
        "the evidence store failed at this verification for twenty minutes while it worked for others",
        "look at the store's own log for this folder; retry once the folder can be written",
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

#: For a reason that is not listed above.
UNKNOWN: Final = Advice(
    "a reason that this version of `ekyc` does not know", "see the timeline, and docs/operators.md"
)
