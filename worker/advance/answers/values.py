"""The possible answers of the vendor. ``worker.advance.answers.classify`` converts an HTTP exchange to one of them.

Personal data of an answer is not in its `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from schemas.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    #: The word for it in counters and logs.
    kind: ClassVar[str]

    #: The only reference that the vendor's support takes; None if the answer has none.
    transaction_id: str | None = None
    #: Duration of the call, with its body. None if the answer does not come from a call.
    took_s: float | None = field(default=None, compare=False, repr=False)

    @property
    def detail(self) -> str:
        """The code or cause that specifies the kind. Empty if the kind has none."""
        return ""


@dataclass(frozen=True, slots=True)
class _Coded(_Answer):
    #: The vendor's code, or ``HTTP_<status>`` if only the status shows the fault.
    code: str

    @property
    def detail(self) -> str:
        return self.code


@dataclass(frozen=True, slots=True)
class _Caused(_Answer):
    cause: str

    @property
    def detail(self) -> str:
        return self.cause


@dataclass(frozen=True, slots=True)
class Settled(_Answer):
    """The vendor has a result. `raw` is the body of the answer, unchanged."""

    kind = "result"
    result: Result = field(repr=False)
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending(_Answer):
    """The vendor has no result yet. `submission_completed`: the user has done their part."""

    kind = "pending"
    submission_completed: bool


@dataclass(frozen=True, slots=True)
class Busy(_Answer):
    """Too many calls for the vendor. `retry_after_s`: the hold that it asks for, None if it does not say."""

    kind = "busy"
    retry_after_s: float | None

    @property
    def detail(self) -> str:
        return "" if self.retry_after_s is None else f"{self.retry_after_s:g}s"


@dataclass(frozen=True, slots=True)
class Unauthorised(_Coded):
    """The token is missing or has ended, or the account has no right to this: the vendor has one code for both."""

    kind = "unauthorised"


@dataclass(frozen=True, slots=True)
class AccountFault(_Coded):
    """Nothing will succeed until a person has fixed our account or our keys."""

    kind = "account_fault"


@dataclass(frozen=True, slots=True)
class TransientFault(_Caused):
    """No usable answer: a fault of the network, a gateway, or the vendor's own `ERROR`. A new call may succeed.

    `vendor_answers`: it is a malformed answer of the vendor, so the vendor is not down.
    """

    kind = "transient_fault"
    vendor_answers: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class UnknownCode(_Coded):
    """An envelope code that is not documented; ``UNPRINTABLE`` if it does not look like a code."""

    kind = "unknown_code"


@dataclass(frozen=True, slots=True)
class UnknownId(_Answer):
    """The vendor does not know the `signatureId`. It may lag just after its creation."""

    kind = "unknown_id"
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unreadable(_Caused):
    """A success that cannot be read safely. `cause` names the field, never its value."""

    kind = "unreadable"
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OursToFix(_Coded):
    """The vendor rejects our request as invalid. The same request will fail again."""

    kind = "ours_to_fix"
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cleared(_Answer):
    """The vendor has deleted its data of a verification."""

    kind = "cleared"


@dataclass(frozen=True, slots=True)
class NotCleared(_Coded):
    """The vendor has not deleted its data, and would answer the same again: no such id, or it has not finished."""

    kind = "not_cleared"


#: Why there is no token. This is never the fault of a verification.
TokenFault: TypeAlias = Busy | Unauthorised | AccountFault | TransientFault

#: The answers to a request to delete.
Clearing: TypeAlias = Cleared | NotCleared | TokenFault

Answer: TypeAlias = TokenFault | Settled | Pending | UnknownCode | UnknownId | Unreadable | OursToFix
