"""What all generated pages share: paths, Markdown tables, links."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROOT: Final = Path(__file__).parents[2]
REFERENCE: Final = ROOT / "docs" / "reference"

_FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_NAMED: Final = re.compile(r"\b((?:docs/[\w./-]+|[A-Z]{4,})\.md)(?:#([\w-]+))?")


def generated(title: str, intro: str, *parts: str, source: str) -> str:
    """Return a whole page. `source` names the code from which the page is generated."""
    note = f"<!-- `python -m tools.docs` writes this page from {source}. Edit that, not this. -->"
    return "\n\n".join([f"# {title}", note, intro.strip(), *(part.strip() for part in parts)]) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("\n", " ") for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    return f"`{text}`"


def linked(text: str, folder: Path = REFERENCE) -> str:
    """Return `text` with each named page, such as `docs/redis.md#tls`, as a link from a page in `folder`."""

    def link(found: re.Match[str]) -> str:
        path, fragment = ROOT / found[1], found[2]
        target = os.path.relpath(path, folder) + (f"#{fragment}" if fragment else "")
        return f"[{_title(path, fragment)}]({target})"

    return _NAMED.sub(link, text)


def slug(heading: str) -> str:
    """Return the fragment of a heading, as GitHub generates it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _title(path: Path, fragment: str | None) -> str:
    headings: list[str] = _HEADING.findall(_FENCE.sub("", path.read_text()))
    if fragment is None:
        return headings[0]
    return next(heading for heading in headings if slug(heading) == fragment)


def slugger() -> Callable[[str, str], str]:
    """Return the function with which Zensical generates fragments."""
    return _fragment


def _fragment(heading: str, separator: str) -> str:
    del separator  # GitHub's is always "-"
    return slug(heading)
