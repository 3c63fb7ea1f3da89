"""The pages of the documentation, parsed: prose, links, headings, code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file. `name` is its path below the root, for messages."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def blocks(self) -> list[Block]:
        return [Block(*found) for found in _FENCE.findall(self.text)]

    @property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def spans(self) -> list[str]:
        """Code within the prose."""
        return _CODE.findall(self.prose)

    @property
    def links(self) -> list[str]:
        """The targets of links and images."""
        return _LINK.findall(_CODE.sub("", self.prose))

    @property
    def anchors(self) -> set[str]:
        """The fragments of its headings, as GitHub generates them."""
        headings = re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE)
        kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
        return {heading.strip().replace(" ", "-") for heading in kept}

    def rows(self, header: str) -> list[list[str]]:
        """Return the cells of the table whose first line begins with `header`."""
        lines = self.text[self.text.index(f"\n| {header}") + 1 :].split("\n\n")[0].splitlines()
        return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


def page(name: str) -> Page:
    path = ROOT / name
    return Page(path, path.read_text())


def pages() -> list[Page]:
    paths = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
    return [page(str(path.relative_to(ROOT))) for path in paths]


def codes(cell: str) -> list[str]:
    """Return the texts in backticks."""
    return _CODE.findall(cell)
