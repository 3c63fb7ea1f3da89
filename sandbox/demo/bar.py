"""Bars of characters, as wide as their column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, ConsoleOptions


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a bar. `plain` is its character on a terminal that has only ASCII."""

    amount: float
    style: str
    character: str = "━"
    plain: str = "="


@dataclass(frozen=True, slots=True)
class Bar:
    """Parts side by side; `whole` is the amount of the full width. An amount above 0 gets at least one character."""

    parts: Sequence[Part]
    whole: float
    fewest: int = 4

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        widths = shares([part.amount for part in self.parts], self.whole, options.max_width)
        for part, width in zip(self.parts, widths, strict=True):
            character = part.plain if options.ascii_only else part.character
            yield Segment(character * width, Style.parse(part.style))
        yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(self.fewest, options.max_width), options.max_width)


def shares(amounts: Sequence[float], whole: float, width: int) -> list[int]:
    """Return how many of `width` characters each amount gets: in proportion, and at least one if it is above 0."""
    if whole <= 0:
        return [0] * len(amounts)
    found = [max(int(amount / whole * width), 1 if amount > 0 else 0) for amount in amounts]
    if sum(amounts) >= whole and found:
        largest = found.index(max(found))
        found[largest] = max(0, found[largest] + width - sum(found))
    return found


DONE: Final = "green"
QUARANTINED: Final = "yellow"
IN_FLIGHT: Final = "cyan"
WAITING: Final = "bright_black"
