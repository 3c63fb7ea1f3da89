"""Charts as inline SVG without scripts. Their colours are CSS classes, so a page shows them in light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_WIDTH: Final = 720
_BAR: Final = 18
_ROW: Final = 28
_LEFT: Final = 46
_BOTTOM: Final = 26
_TOP: Final = 12
_HEIGHT: Final = 190

#: The share of its place that a column fills.
_FILL: Final = 0.78

#: The lines of a scale.
_STEPS: Final = 4

#: Digits of a round number.
_ROUND: Final = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart: its name, its parts by CSS class, and the text behind it."""

    name: str
    parts: Mapping[str, int]
    text: str = ""

    @property
    def whole(self) -> int:
        return sum(self.parts.values())


def bars(title: str, rows: Sequence[Bar], *, names: int = 190) -> str:
    """Return horizontal bars, each with its name before it and its text behind it. `names`: the width of the names."""
    most = max((row.whole for row in rows), default=0) or 1
    scale = (_WIDTH - names - 120) / most
    lines: list[str] = []
    for number, row in enumerate(rows):
        top = number * _ROW + (_ROW - _BAR) / 2
        lines.append(_text(names - 10, top + 13.5, row.name, "name", "end"))
        left: float = names
        for style, count in row.parts.items():
            width = count * scale
            lines.append(_rect(left, top, max(width, 1.0 if count else 0.0), _BAR, style))
            left += width
        lines.append(_text(left + 8, top + 13.5, row.text, "value"))
    return _svg(title, len(rows) * _ROW, lines)


def columns(title: str, rows: Sequence[Bar], *, labelled: int = 1) -> str:
    """Return stacked columns over a scale. Every `labelled`-th has its name below it; `text` is shown on hover."""
    most = nice(max((row.whole for row in rows), default=0))
    height = _HEIGHT - _TOP - _BOTTOM
    step = (_WIDTH - _LEFT) / max(1, len(rows))
    lines = list(_scale(most, height))
    for number, row in enumerate(rows):
        left, bottom = _LEFT + number * step, float(_TOP + height)
        stacked: list[str] = []
        for style, count in row.parts.items():
            tall = height * count / most
            bottom -= tall
            stacked.append(_rect(left + step * (1 - _FILL) / 2, bottom, step * _FILL, tall, style))
        if stacked:
            lines.append(f"<g><title>{escape(row.text)}</title>{''.join(stacked)}</g>")
        if number % labelled == 0:
            lines.append(_text(left + step / 2, _HEIGHT - 8, row.name, "tick", "middle"))
    return _svg(title, _HEIGHT, lines)


def nice(most: int) -> int:
    """Return the round number from `most` on that ends a scale: 1, 2 or 5 of a power of ten, at least 4."""
    power = 1
    while True:
        for digit in _ROUND:
            if digit * power >= max(most, _STEPS):
                return digit * power
        power *= 10


def _scale(most: int, height: float) -> Iterator[str]:
    for step in range(_STEPS + 1):
        level = _TOP + height - height * step / _STEPS
        yield f'<path class="rule" d="M{_LEFT} {level:.1f}H{_WIDTH}"/>'
        value = most * step / _STEPS
        yield _text(_LEFT - 8, level + 4, f"{value:,.0f}" if value == int(value) else "", "tick", "end")


def _svg(title: str, height: float, lines: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
    return "\n".join([head, *lines, "</svg>"])


def _rect(left: float, top: float, width: float, height: float, style: str) -> str:
    return f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
