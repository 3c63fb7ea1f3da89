"""What the vendor may answer. How an HTTP exchange becomes one of these: ``worker.advance.answers.classify``.

What an answer holds of a person is kept out of its `repr`.
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

    #: The only handle that the vendor's support takes; None where the answer bore none.
    transaction_id: str | None = None
    #: How long the call took, its body with it; None where nobody was asked for it now.
    took_s: float | None = field(default=None, compare=False, repr=False)

    @property
    def detail(self) -> str:
        """The word behind the kind: a code or a cause. Empty where the kind says all."""
        return ""


@dataclass(frozen=True, slots=True)
class _Coded(_Answer):
    #: The vendor's own code, or ``HTTP_<status>`` where only the status said it.
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
    """The vendor has come to a result. `raw` is the answer, byte by byte."""

    kind = "result"
    result: Result = field(repr=False)
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending(_Answer):
    """The vendor has not come to a result yet; the user may (`submission_completed`) have done their part."""

    kind = "pending"
    submission_completed: bool


@dataclass(frozen=True, slots=True)
class Busy(_Answer):
    """Too many calls for the vendor's taste. `retry_after_s`: for how long it asks for a hold, where it says."""

    kind = "busy"
    retry_after_s: float | None

    @property
    def detail(self) -> str:
        return "" if self.retry_after_s is None else f"{self.retry_after_s:g}s"


@dataclass(frozen=True, slots=True)
class Unauthorised(_Coded):
    """The token is missing or has ended, or the account may not do this: the vendor has one code for both."""

    kind = "unauthorised"


@dataclass(frozen=True, slots=True)
class AccountFault(_Coded):
    """Nothing will succeed until a person has seen to our account or our keys."""

    kind = "account_fault"


@dataclass(frozen=True, slots=True)
class TransientFault(_Caused):
    """No answer to speak of: network, gateway, or the vendor's own `ERROR`. Asking again may succeed.

    `vendor_answers`: it is an answer of the vendor's, malformed. That says nothing against the vendor.
    """

    kind = "transient_fault"
    vendor_answers: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class UnknownCode(_Coded):
    """An envelope code that nobody knows; ``UNPRINTABLE`` where it does not look like a code at all."""

    kind = "unknown_code"


@dataclass(frozen=True, slots=True)
class UnknownId(_Answer):
    """The vendor knows no such `signatureId`. That may lag just after its creation."""

    kind = "unknown_id"
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unreadable(_Caused):
    """Success, it says, in a form that cannot be read safely. `cause` names the field, never its value."""

    kind = "unreadable"
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class OursToFix(_Coded):
    """The vendor finds our request wrong. Asking the same again will not help."""

    kind = "ours_to_fix"
    raw: bytes = field(repr=False)


#: Why there is no token. No verification is to blame for that.
TokenFault: TypeAlias = Busy | Unauthorised | AccountFault | TransientFault

Answer: TypeAlias = TokenFault | Settled | Pending | UnknownCode | UnknownId | Unreadable | OursToFix
