"""Label values: limited to a few words, so that neither the vendor nor a pipeline can create series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

OTHER: Final = "other"

#: The prefix of a reason for no token; the vendor's own word, which can be any, follows it.
_TOKEN: Final = "TOKEN_"  # noqa: S105 - no password
TOKEN_REFUSED: Final = "TOKEN_REFUSED"  # noqa: S105 - no password


@dataclass(frozen=True, slots=True)
class Label:
    """A label beside `region`.

    Parameters:
      known: values that are always present, at least with 0: a rate needs the counter before its first increment.
      closed: count all other values as `other`.
    """

    name: str
    known: tuple[str, ...] = ()
    closed: bool = False

    def told_apart(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return `figures` by the label's values."""
        by_value = dict.fromkeys((*self.known, OTHER) if self.closed else self.known, 0.0)
        for word, figure in figures.items():
            value = OTHER if self.closed and word not in self.known else word
            by_value[value] = by_value.get(value, 0.0) + figure
        return by_value


@dataclass(frozen=True, slots=True)
class FirstSeen:
    """A label whose values callers choose: the first `most` that this process sees, and `other` for all others."""

    name: str
    #: Always present, at least with 0.
    known: tuple[str, ...]
    most: int
    #: As of a `Label`: names that are not in `known` have series of their own.
    closed: ClassVar[bool] = False
    _seen: set[str] = field(default_factory=set)

    def told_apart(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return `figures` by the label's values."""
        by_value = dict.fromkeys(self.known, 0.0)
        for word, figure in figures.items():
            if word not in self.known and len(self._seen) < self.most:
                self._seen.add(word)
            value = word if word in self._seen or word in self.known else OTHER
            by_value[value] = by_value.get(value, 0.0) + figure
        return by_value


def few(reasons: Mapping[str, float]) -> dict[str, float]:
    """Return figures by reason, with the vendor's words about tokens summed up as `TOKEN_REFUSED`."""
    kept = {reason: figure for reason, figure in reasons.items() if not reason.startswith(_TOKEN)}
    tokens = sum(reasons.values()) - sum(kept.values())
    return kept | {TOKEN_REFUSED: tokens} if tokens else kept
