"""The results as a picture: bars of verifications a second, with their spread, a panel for each profile. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from benchmarks.bench.profile import PROFILES
from benchmarks.bench.summary import BARE, OURS, Spread, profiles, standings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bench.results import Results

_WIDTH: Final = 880
_MARGIN: Final = 24
_NAMES: Final = 128
_VALUES: Final = 220
_BAR: Final = 20
_ROW: Final = 28
_TITLE: Final = 44
_HEAD: Final = 64
_FOOT: Final = 40

_INK: Final = "#1f2933"
_FAINT: Final = "#52606d"
_RULE: Final = "#e4e7eb"
_FONT: Final = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'

#: Ours, the queues, and the limit without one: told apart also where colours are not.
_FILLS: Final = {OURS: "#0b69c7", BARE: "#dee2e6"}
_OTHERS: Final = "#a5b4c4"


@dataclass(frozen=True, slots=True)
class Bar:
    """`note` stands behind the value."""

    name: str
    per_s: Spread | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        return _TITLE + _ROW * len(self.bars)


def chart(results: Results) -> str:
    """An SVG. Bars of one panel share a scale; panels do not."""
    panels = [*_rounds(results), *_waiting(results)]
    height = _HEAD + sum(panel.height for panel in panels) + _FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {_FONT} role="img">',
        "<title>Verifications a second by contender and profile</title>",
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#ffffff"/>',
        _text(_MARGIN, 34, "Verifications a second", size=19, weight=600),
        _text(_MARGIN, 54, _subtitle(results), size=12.5, fill=_FAINT),
    ]
    top = _HEAD
    for panel in panels:
        parts.append(_panel(panel, top))
        top += panel.height
    foot = "Bars: medians; lines: least to most. What each promises for it differs: see docs/benchmarks.md."
    parts.append(_text(_MARGIN, height - 16, foot, size=12, fill=_FAINT))
    return "\n".join([*parts, "</svg>", ""])


def _rounds(results: Results) -> list[Panel]:
    return [
        Panel(
            f"{name} – {PROFILES[name].about}",
            [
                Bar(one.contender, one.per_s, f"{one.cpu_ms:.1f} ms CPU each")
                for one in standings(results, name)
            ],
        )
        for name in profiles(results)
    ]


def _waiting(results: Results) -> list[Panel]:
    if not results["waiting"]:
        return []
    fewest = min(step["asked"] for step in results["waiting"])
    steps = [step for step in results["waiting"] if step["asked"] == fewest]
    steps.sort(key=lambda step: -step["taken_per_s"])
    bars = [
        Bar(
            step["contender"],
            Spread.of([step["taken_per_s"]]),
            f"{step['worker_bytes_each']:,.0f} bytes each",
        )
        for step in steps
    ]
    return [Panel(f"waiting – {fewest:,} taken up and left to wait; bytes of workers' memory", bars)]


def _panel(panel: Panel, top: int) -> str:
    most = max((bar.per_s.most for bar in panel.bars if bar.per_s), default=0.0) or 1.0
    scale = (_WIDTH - 2 * _MARGIN - _NAMES - _VALUES) / most
    parts = [
        f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{top + 8}" y2="{top + 8}" stroke="{_RULE}"/>',
        _text(_MARGIN, top + 31, panel.title, size=14, weight=600),
    ]
    parts += [_bar(bar, top + _TITLE + _ROW * row, scale) for row, bar in enumerate(panel.bars)]
    return "\n".join(parts)


def _bar(bar: Bar, top: int, scale: float) -> str:
    left, middle = _MARGIN + _NAMES, top + _BAR / 2
    weight = 600 if bar.name == OURS else 400
    name = _text(left - 10, middle + 4.5, bar.name, size=13, weight=weight, anchor="end")
    if bar.per_s is None:
        return name + _text(left, middle + 4.5, "did not finish", size=12.5, fill=_FAINT)
    width, least, most = (
        max(1.0, pace * scale) for pace in (bar.per_s.median, bar.per_s.least, bar.per_s.most)
    )
    fill = _FILLS.get(bar.name, _OTHERS)
    value = f"{bar.per_s.median:,.0f}"
    parts = [
        name,
        f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{fill}"/>',
        f'<path d="M{left + least:.1f} {middle}h{most - least:.1f}" stroke="{_INK}" stroke-width="1.5"/>',
        _text(left + most + 10, middle + 4.5, value, size=13, weight=weight),
        _text(_WIDTH - _MARGIN, middle + 4.5, bar.note, size=11.5, fill=_FAINT, anchor="end"),
    ]
    return "\n".join(parts)


def _subtitle(results: Results) -> str:
    when = " and ".join(dict.fromkeys(name.partition("T")[0] for name in results["sittings"]))
    cores = max((about["machine"]["cores"] for about in results["sittings"].values()), default=0)
    return f"two worker processes, {cores} cores for everything, the same vendor and the same job for all; {when}"


def _text(  # noqa: PLR0913 - all but the first three by name
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    weight: int = 400,
    fill: str = _INK,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
