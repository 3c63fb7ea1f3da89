"""The picture of the layers: its boxes are the `layers` contract in `pyproject.toml`, its lines the real imports."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Final

import grimp

from tools.docs.page import ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

PACKAGES: Final = ("worker", "tasks", "schemas", "sandbox")

#: A description for each box.
_ABOUT: Final = {
    "tasks": "the four Celery tasks",
    "sandbox": "stand-in for the vendor, demo",
    "cli": "the console command",
    "web": "HTTP: health, metrics",
    "runtime": "the Celery process",
    "observability": "logs, metrics, traces, reports",
    "decisions": "decision table, delivery",
    "records": "evidence after the decision",
    "policy": "pure rules and backoff",
    "evidence": "evidence store",
    "messaging": "Celery's broker",
    "client": "for Python pipelines",
    "testing": "for tests of pipelines",
    "advance": "the vendor",
    "ledger": "Redis of the ledger",
    "http_client": "HTTP out",
    "concurrency": "executor, blocking calls",
    "process": "start, wait and end",
    "settings": "environment",
    "errors": "all errors",
    "version": "of the code",
    "server_faults": "replies of servers",
    "redis_clients": "hooks for new clients",
    "schemas": "what crosses the borders",
}

_WIDTH: Final = 1040
_MARGIN: Final = 20
_BOX: Final = (176, 40)
_STEP: Final = 240
_SHIFT: Final = 28
_ROW: Final = 86
_COLORS: Final = (
    "#1f6f8b",
    "#b5651d",
    "#5b8c2a",
    "#8a4f9e",
    "#b03a48",
    "#4a5fa5",
    "#6b6b1f",
    "#2f7d6b",
    "#7a4b3a",
)
_HEAD: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
    ' font-family="system-ui, sans-serif">'
)
_ARROW: Final = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
    ' markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="#5a6270"/></marker></defs>'
)


@dataclass(frozen=True, slots=True)
class Box:
    """A package or module. `x` and `y` are the middle of the box's upper edge."""

    name: str
    x: int
    y: int


def rows() -> list[list[str]]:
    """Return the layers from the top: `tasks` and `sandbox`, those of the contract, and `schemas` above the last."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(
        each
        for each in settings["contracts"]
        if each["type"] == "layers" and each["containers"] == ["worker"]
    )
    layers = [layer.replace(":", "|").split("|") for layer in contract["layers"]]
    *upper, lowest = ([name.strip(" ()") for name in layer] for layer in layers)
    return [["tasks", "sandbox"], *upper, ["schemas"], lowest]


def imports() -> list[tuple[str, str]]:
    """Return the pairs of boxes of which the first imports the second, also lazily or for types."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    pairs = {
        (_box(module), _box(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    # Without `worker` itself, which only re-exports Celery's application for its command line.
    return sorted(pair for pair in pairs if pair[0] != pair[1] and "worker" not in pair)


def reduced(pairs: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the transitive reduction of `pairs`, which must have no cycle."""
    below: dict[str, set[str]] = {}
    for above, imported in pairs:
        below.setdefault(above, set()).add(imported)

    @cache
    def reached(name: str) -> frozenset[str]:
        return frozenset(below.get(name, ())).union(*map(reached, below.get(name, ())))

    return [
        (above, imported)
        for above, imported in sorted(pairs)
        if not any(imported in reached(other) for other in below[above] - {imported})
    ]


def picture() -> str:
    """Return the picture as SVG, always the same for the same imports."""
    boxes = {box.name: box for box in _placed(rows())}
    height = max(box.y for box in boxes.values()) + _BOX[1] + _MARGIN
    return "\n".join(
        [
            _HEAD.format(width=_WIDTH, height=height),
            "<title>The layers of the code, and which imports which</title>",
            _ARROW,
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            *_frame(boxes),
            *(_line(boxes[above], boxes[below]) for above, below in reduced(imports())),
            *map(_drawn, boxes.values()),
            "</svg>\n",
        ]
    )


def _box(module: str) -> str:
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "worker" and rest else package


def _placed(layers: Sequence[Sequence[str]]) -> list[Box]:
    placed = []
    for number, layer in enumerate(layers):
        step = min((_WIDTH - 2 * _MARGIN) // len(layer), _STEP)
        # Rows alternate left and right, so that a line from a box passes beside the box below it.
        left = (_WIDTH - step * len(layer)) // 2 + (-1 if number % 2 else 1) * _SHIFT
        placed += [
            Box(name, left + place * step + step // 2, _MARGIN + number * _ROW)
            for place, name in enumerate(layer)
        ]
    return placed


def _frame(boxes: Mapping[str, Box]) -> list[str]:
    """Return the frame around the boxes in `worker`."""
    inside = [box for box in boxes.values() if box.name not in PACKAGES]
    top, bottom = min(box.y for box in inside) - 20, max(box.y for box in inside) + _BOX[1] + 20
    return [
        f'<rect x="6" y="{top}" width="{_WIDTH - 12}" height="{bottom - top}" rx="8" fill="#f6f7f9" stroke="#d5d9e0"/>',
        f'<text x="18" y="{top + 20}" font-size="13" fill="#5a6270">worker/</text>',
    ]


def _line(above: Box, below: Box) -> str:
    start, end = above.y + _BOX[1], below.y
    bend = (end - start) // 2
    color = _COLORS[sum(above.name.encode()) % len(_COLORS)]
    return (
        f'<path d="M{above.x} {start}C{above.x} {start + bend} {below.x} {end - bend} {below.x} {end}" fill="none"'
        f' stroke="{color}" stroke-width="1.5" stroke-opacity="0.8" marker-end="url(#arrow)">'
        f"<title>{escape(above.name)} imports {escape(below.name)}</title></path>"
    )


def _drawn(box: Box) -> str:
    left, (width, height) = box.x - _BOX[0] // 2, _BOX
    return (
        f'<rect x="{left}" y="{box.y}" width="{width}" height="{height}" rx="5" fill="#ffffff" stroke="#3b4252"/>'
        f'<text x="{box.x}" y="{box.y + 17}" text-anchor="middle" font-size="13" font-weight="600" fill="#1d232e">'
        f"{escape(box.name)}</text>"
        f'<text x="{box.x}" y="{box.y + 32}" text-anchor="middle" font-size="10" fill="#5a6270">'
        f"{escape(_ABOUT.get(box.name, ''))}</text>"
    )
