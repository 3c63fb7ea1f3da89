"""Label values: few words, so that a series more is never the vendor's or a pipeline's to make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

OTHER: Final = "other"

#: The vendor gave us no token: its own word, which may be any, stands behind it.
_TOKEN: Final = "TOKEN_"  # noqa: S105 - no password
TOKEN_REFUSED: Final = "TOKEN_REFUSED"  # noqa: S105 - no password


@dataclass(frozen=True, slots=True)
class Label:
    """A label beside `region`.

    Parameters:
      known: values that are always there, if only with 0: a rate needs to see a counter before its first step.
      closed: whatever is not known is counted as `other`.
    """

    name: str
    known: tuple[str, ...] = ()
    closed: bool = False

    def told_apart(self, figures: Mapping[str, float]) -> dict[str, float]:
        """`figures` by the label's values."""
        told = dict.fromkeys((*self.known, OTHER) if self.closed else self.known, 0.0)
        for word, figure in figures.items():
            value = OTHER if self.closed and word not in self.known else word
            told[value] = told.get(value, 0.0) + figure
        return told


def few(reasons: Mapping[str, float]) -> dict[str, float]:
    """Figures by reason of ours, where only the vendor's words about tokens could be any."""
    kept = {reason: figure for reason, figure in reasons.items() if not reason.startswith(_TOKEN)}
    tokens = sum(reasons.values()) - sum(kept.values())
    return kept | {TOKEN_REFUSED: tokens} if tokens else kept
