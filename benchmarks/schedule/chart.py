"""The curves as SVG: a row for each scenario, the median on the left and the 95th percentile on the right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from benchmarks.schedule.report import change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.schedule.figures import Figures

_WIDTH: Final = 860
_TOP: Final = 92
_ROW: Final = 214
_PANEL_WIDTH: Final = 350
_PANEL_HEIGHT: Final = 138
_LEFTS: Final = (62, 492)

_FONTS: Final = "system-ui, Segoe UI, Helvetica, Arial, DejaVu Sans, sans-serif"
_INK: Final = "#1f2933"
_FAINT: Final = "#7b8794"
_GRID: Final = "#e4e7eb"
_COLOURS: Final = ("#c2410c", "#8b5cf6", "#9aa5b1")
_OURS: Final = "#0b69c7"

#: Where the axis of delays has a line, with its label.
_TICKS_S: Final = {
    0.1: "0.1 s",
    1: "1 s",
    10: "10 s",
    60: "1 min",
    600: "10 min",
    3600: "1 h",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What there is to draw of one scenario."""

    title: str
    about: str
    #: By the name of the policy.
    peers: dict[str, list[Figures]]
    ours: list[Figures]
    #: Ours with the default settings, and `2 ** n` as it is written.
    default: Figures
    as_written: Figures
    at_equal_polls: Figures


def most_polls(default: Figures) -> int:
    """Where the axis of polls ends: twice as many as ours, rounded up to a tick."""
    twice = 2 * default.polls
    tick = _tick(twice)
    return tick * math.ceil(twice / tick)


def _tick(most: float) -> int:
    """From label to label on an axis that ends there."""
    return 5 if most <= 25 else 10


@dataclass(frozen=True, slots=True)
class _Panel:
    """One pair of axes. `field` is the delay that it shows."""

    left: float
    top: float
    field: str
    most_polls: int
    low_s: float
    high_s: float

    def x(self, polls: float) -> float:
        return self.left + _PANEL_WIDTH * polls / self.most_polls

    def y(self, delay_s: float) -> float:
        share = math.log(max(delay_s, self.low_s) / self.low_s) / math.log(self.high_s / self.low_s)
        return self.top + _PANEL_HEIGHT * (1 - min(share, 1.0))

    def at(self, figures: Figures) -> tuple[float, float]:
        return self.x(figures.polls), self.y(getattr(figures, self.field))

    def axes(self) -> Iterator[str]:
        right, bottom = self.left + _PANEL_WIDTH, self.top + _PANEL_HEIGHT
        for tick_s, label in _TICKS_S.items():
            if self.low_s <= tick_s <= self.high_s:
                y = self.y(tick_s)
                yield _line(self.left, y, right, y, _GRID)
                yield _text(self.left - 6, y + 4, label, anchor="end", colour=_FAINT)
        for polls in range(0, self.most_polls + 1, _tick(self.most_polls)):
            x = self.x(polls)
            yield _line(x, bottom, x, bottom + 4, _FAINT)
            last = polls == self.most_polls
            label = f"{polls} polls" if last else str(polls)
            yield _text(x, bottom + 16, label, anchor="end" if last else "middle", colour=_FAINT)
        yield _line(self.left, bottom, right, bottom, _FAINT)

    def curve(self, figures: Sequence[Figures], colour: str, width: float) -> str:
        inside = [one for one in figures if one.polls <= self.most_polls]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.at, inside))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'

    def gain(self, row: Row) -> Iterator[str]:
        """From `2^n` at our polls down to ours."""
        x, y = self.at(row.default)
        there_s, here_s = getattr(row.at_equal_polls, self.field), getattr(row.default, self.field)
        yield _line(x, self.y(there_s), x, y, _OURS, dashes="3 3")
        yield _dot(x, y, fill=_OURS, ring=_OURS)
        yield _text(x - 7, y + 17, change(here_s / there_s), anchor="end", colour=_OURS, bold=True)
        yield _dot(*self.at(row.as_written), fill="#fff", ring=_COLOURS[0])


def draw(rows: Sequence[Row]) -> str:
    """The whole picture. It needs nothing from elsewhere."""
    height = _TOP + _ROW * len(rows)
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_FONTS}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        _text(20, 28, "How late a decision is, for how many polls", size=17, bold=True),
        *_legend(rows[0]),
    ]
    for index, row in enumerate(rows):
        parts += _row(row, _TOP + _ROW * index)
    return "\n".join([*parts, "</svg>", ""])


def _legend(row: Row) -> Iterator[str]:
    x = 20.0
    entries = [("ours (● as it comes)", _OURS), *zip(row.peers, _COLOURS, strict=True)]
    for name, colour in entries:
        label = f"{name} (○ as written)" if name == "2^n" else name
        yield _line(x, 50, x + 22, 50, colour, width=3)
        yield _text(x + 28, 54, label)
        x += 52 + 6.9 * len(label)
    yield _text(
        20,
        74,
        "Across: polls per verification. Up: from the vendor's answer to the poll that finds it, in powers of ten.",
        colour=_FAINT,
    )


def _row(row: Row, top: float) -> Iterator[str]:
    yield _text(20, top + 16, row.title, size=14, bold=True)
    yield _text(20, top + 32, row.about, colour=_FAINT)
    most = most_polls(row.default)
    shown = [one for curve in (*row.peers.values(), row.ours) for one in curve if one.polls <= most]
    low_s = max(0.1, 0.5 * min(one.median_s for one in shown))
    high_s = min(7200.0, 1.3 * max(one.p95_s for one in shown))
    for left, field, name in zip(_LEFTS, ("median_s", "p95_s"), ("median", "95th percentile"), strict=True):
        panel = _Panel(left, top + 42, field, most, low_s, high_s)
        yield from panel.axes()
        yield _text(left + _PANEL_WIDTH, top + 16, name, anchor="end", colour=_FAINT)
        for curve, colour in zip(row.peers.values(), _COLOURS, strict=True):
            yield panel.curve(curve, colour, 1.8)
        yield panel.curve(row.ours, _OURS, 2.6)
        yield from panel.gain(row)


def _line(  # noqa: PLR0913 - two points, and by name how they are joined
    x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dashes: str = ""
) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashed}/>'


def _dot(x: float, y: float, *, fill: str, ring: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{ring}" stroke-width="2"/>'


def _text(  # noqa: PLR0913 - a place and a text, and by name how it is written
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    anchor: str = "start",
    colour: str = _INK,
    bold: bool = False,
) -> str:
    style = f'font-size="{size}" text-anchor="{anchor}" font-weight="{600 if bold else 400}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" {style}>{escape(text)}</text>'
