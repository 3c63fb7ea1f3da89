"""The picture of where personal data goes. `docs/privacy.md` has the same places in its table."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final


@dataclass(frozen=True, slots=True)
class Place:
    """A place that data goes to. `about`: what it holds, a line each."""

    name: str
    x: int
    y: int
    about: tuple[str, ...]
    #: It holds personal data.
    personal: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """Data on its way, from the middle of one edge to another. Its label is at `at`, a line for each text."""

    start: tuple[int, int]
    end: tuple[int, int]
    at: tuple[int, int]
    label: tuple[str, ...]
    anchor: str = "middle"
    personal: bool = False
    both: bool = False


_BOX: Final = (216, 68)
_SIZE: Final = (1000, 590)

PLACES: Final = (
    Place("ADVANCE.AI", 24, 24, ("the vendor has the document", "and the face"), personal=True),
    Place("workers", 392, 24, ("in memory, until it is stored",), personal=True),
    Place("logs, metrics, traces", 760, 24, ("also Flower, error reports",)),
    Place("data keys", 24, 218, ("one for each verification,", "wrapped by a key of yours")),
    Place("evidence store", 392, 218, ("answer, images, manifest,", "decision; encrypted"), personal=True),
    Place("Redis", 760, 218, ("ledger and broker",)),
    Place("evidence log", 24, 430, ("a Merkle tree of salted hashes",)),
    Place("a person who may look", 270, 430, ("ekyc evidence show, export",), personal=True),
    Place("a regulator", 516, 430, ("ekyc report: counts",)),
    Place("your pipeline", 760, 430, ("the key of your own record",)),
)

FLOWS: Final = (
    Flow((240, 46), (392, 46), (316, 38), ("answer, images",), personal=True),
    Flow((392, 72), (240, 72), (316, 90), ("signatureId",)),
    Flow((608, 58), (760, 58), (684, 50), ("ids, codes, counts",)),
    Flow(
        (500, 92), (500, 218), (510, 150), ("answer, images,", "manifest, decision"), "start", personal=True
    ),
    Flow((410, 92), (200, 218), (284, 146), ("a new data key,", "wrapped"), "end"),
    Flow((590, 92), (800, 218), (726, 150), ("ids, codes,", "scores, decision"), "start", both=True),
    Flow((430, 286), (160, 430), (232, 352), ("salted hashes",), "end"),
    Flow(
        (470, 286),
        (400, 430),
        (452, 366),
        ("answer, images;", "each look is recorded"),
        "start",
        personal=True,
    ),
    Flow((560, 286), (660, 430), (624, 352), ("counts, codes, times",), "start"),
    Flow(
        (868, 286),
        (868, 430),
        (878, 340),
        ("id, context,", "decision: queue,", "webhook, HTTP"),
        "start",
        both=True,
    ),
)

#: A picture in a page takes its colours from the reader's system, as the page does.
_STYLE: Final = """
.page { fill: #ffffff } .box { fill: #ffffff; stroke: #55606e; stroke-width: 1.2 }
.held { fill: #fff1ef; stroke: #b3261e; stroke-width: 2 } .name { fill: #1d232e; font-weight: 600; font-size: 14px }
.about, .label { fill: #4a5462; font-size: 12px } .hot { fill: #9c1f18; font-size: 12px; font-weight: 600 }
.flow { stroke: #55606e; stroke-width: 1.4; fill: none } .live { stroke: #b3261e; stroke-width: 3.4; fill: none }
.tip { fill: #55606e } .hottip { fill: #b3261e }
@media (prefers-color-scheme: dark) { .page { fill: #14191f } .box { fill: #1d242c; stroke: #98a3b0 }
.held { fill: #3a1d1b; stroke: #ff8a80 } .name { fill: #eef1f4 } .about, .label { fill: #b4bdc8 } .hot { fill: #ffa49b }
.flow { stroke: #98a3b0 } .live { stroke: #ff8a80 } .tip { fill: #98a3b0 } .hottip { fill: #ff8a80 } }
"""


_HEAD: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    ' font-family="system-ui, sans-serif">'
)
_TITLE: Final = (
    "Where personal data goes: from the vendor through the memory of a worker into the evidence store, and from there "
    "to a person who may look. Everything else has ids, codes and counts"
)


def picture() -> str:
    """Return the picture as SVG."""
    width, height = _SIZE
    return "\n".join(
        [
            _HEAD.format(width=width, height=height),
            f"<title>{_TITLE}</title>",
            f"<style>{_STYLE}</style>",
            _marker("tip"),
            _marker("hottip"),
            f'<rect class="page" width="{width}" height="{height}"/>',
            *map(_flow, FLOWS),
            *map(_place, PLACES),
            *_legend(24, 548),
            "</svg>\n",
        ]
    )


def _marker(name: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9"'
        f' markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path class="{name}" d="M0 0L8 4L0 8z"/></marker>'
    )


def _place(place: Place) -> str:
    width, height = _BOX
    middle = place.x + width // 2
    top = place.y + (26 if len(place.about) > 1 else 31)
    style = "held" if place.personal else "box"
    lines = [
        f'<rect class="{style}" x="{place.x}" y="{place.y}" width="{width}" height="{height}" rx="6"/>',
        _text(middle, top, place.name, "name"),
        *(_text(middle, top + 17 + 15 * row, text, "about") for row, text in enumerate(place.about)),
    ]
    return "".join(lines)


def _flow(flow: Flow) -> str:
    (x, y), (to_x, to_y) = flow.start, flow.end
    style, tip, label = ("live", "hottip", "hot") if flow.personal else ("flow", "tip", "label")
    starts = f' marker-start="url(#{tip})"' if flow.both else ""
    left, top = flow.at
    return f'<path class="{style}" d="M{x} {y}L{to_x} {to_y}" marker-end="url(#{tip})"{starts}/>' + "".join(
        _text(left, top + 15 * row, text, label, flow.anchor) for row, text in enumerate(flow.label)
    )


def _legend(x: int, y: int) -> list[str]:
    return [
        f'<path class="live" d="M{x} {y}h44" marker-end="url(#hottip)"/>',
        _text(
            x + 56,
            y + 4,
            "personal data: what is read off the document, its pictures, the face",
            "hot",
            "start",
        ),
        f'<path class="flow" d="M{x} {y + 24}h44" marker-end="url(#tip)"/>',
        _text(x + 56, y + 28, "ids, codes, scores, times, hashes", "label", "start"),
    ]


def _text(x: int, y: int, text: str, style: str, anchor: str = "middle") -> str:
    return f'<text class="{style}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
