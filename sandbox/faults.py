"""Faults of the whole vendor, set while the sandbox runs: connections reset, HTTP 503, busy, every token rejected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from sandbox.scenario import Fault, Kind, RetryAfter

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mode(StrEnum):
    """The kind of fault that the whole vendor has."""

    OFF = "off"
    REFUSE = "refuse"
    BROKEN = "5xx"
    GARBAGE = "garbage"
    BUSY = "busy"
    REJECT_TOKENS = "reject_tokens"
    DISABLED = "disabled"
    MIXED = "mixed"


#: Modes that do not affect the token API.
_RESULTS_ALONE: Final = frozenset({Mode.BUSY, Mode.REJECT_TOKENS})

#: The faults that `mixed` draws from: all are transient.
_MIX: Final = (
    Fault(Kind.HTTP, status=500),
    Fault(Kind.HTTP, status=503),
    Fault(Kind.CODE, code="ERROR"),
    Fault(Kind.HTML),
    Fault(Kind.EMPTY),
    Fault(Kind.TRUNCATED),
    Fault(Kind.RESET),
)


@dataclass(frozen=True, slots=True)
class Faults:
    """A mode, and the share of answers (0 to 1) that it affects. Images and `/sandbox/…` are never affected."""

    mode: Mode = Mode.OFF
    share: float = 1.0
    #: The `Retry-After` of `busy`.
    retry_after_s: int = 10

    @classmethod
    def load(cls, fields: Mapping[str, Any]) -> Faults:
        """Read `{"mode", "share", "retry_after_s"}`. Raises ``ValueError``, whose message names the faulty field."""
        if unknown := set(fields) - {"mode", "share", "retry_after_s"}:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        mode, share, retry_after_s = (
            fields.get("mode"),
            fields.get("share", 1.0),
            fields.get("retry_after_s", 10),
        )
        if mode not in tuple(Mode):
            raise ValueError(f"mode: use one of {', '.join(Mode)}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise ValueError("share: use a number from 0 to 1")
        if type(retry_after_s) is not int or not 0 <= retry_after_s <= 86_400:  # noqa: PLR2004 - a day
            raise ValueError("retry_after_s: use whole seconds, 0 to 86400")
        return cls(Mode(mode), float(share), retry_after_s)

    def strike(self, draw: bytes, *, token_call: bool = False) -> Fault | None:
        """Return the fault of an answer, or None. `draw` is 8 random bytes for that answer."""
        if self.mode is Mode.OFF or (token_call and self.mode in _RESULTS_ALONE):
            return None
        if int.from_bytes(draw[:7], "big") >= self.share * 2**56:
            return None
        return _MIX[draw[7] % len(_MIX)] if self.mode is Mode.MIXED else self._fault()

    def _fault(self) -> Fault:
        match self.mode:
            case Mode.REFUSE:
                return Fault(Kind.RESET)
            case Mode.GARBAGE:
                return Fault(Kind.GARBAGE)
            case Mode.BUSY:
                return Fault(Kind.CODE, code="SERVICE_BUSY", retry_after=RetryAfter(self.retry_after_s))
            case Mode.REJECT_TOKENS:
                return Fault(Kind.CODE, code="IAM_FAILED")
            case Mode.DISABLED:
                return Fault(Kind.CODE, code="ACCOUNT_DISABLED")
            case _:
                return Fault(Kind.HTTP, status=503)


def draw(seed: int, name: str, number: int) -> bytes:
    """Return 8 pseudo-random bytes, always the same for the same arguments."""
    return blake2b(f"{seed}:{name}:{number}".encode(), digest_size=8).digest()
