"""Build the site of the documentation: `python -m tools.docs.site`.

First the pages are copied to `build/docs/pages`, with `README.md` and others from outside of `docs/`. Their links are
rewritten: a link to a page becomes its path in the site, a link to a source file the path of a copy as text. Then
Zensical builds `build/docs/site`, and every link and every loaded file of the result is checked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from tools.docs.nav import NAV, OUTSIDE
from tools.docs.page import ROOT

BUILD: Final = ROOT / "build" / "docs"

_PARTS: Final = Path(__file__).with_name("assets")
_FENCED: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(\]\()([^)\s]+)(\))")

#: The elements with which a page loads files, as opposed to links for the reader.
_LOADS: Final = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}
#: `rel` of a `link` that loads nothing.
_NAMES: Final = frozenset({"canonical", "next", "prev", "alternate"})


def main(build: Path = BUILD) -> int:
    """Build the site in `build`. Return the exit code."""
    stage(build)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    ended = subprocess.run(command, cwd=build, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    if ended.returncode:
        return ended.returncode
    faults = check(build / "site")
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"The site is built: {build / 'site' / 'index.html'}")
    return int(bool(faults))


def stage(build: Path) -> None:
    """Write the rewritten pages and the configuration to `build`."""
    shutil.rmtree(build, ignore_errors=True)
    pages = build / "pages"
    shutil.copytree(ROOT / "docs", pages)
    shutil.copytree(_PARTS, pages / "assets")
    for place, source in sources().items():
        (pages / place).write_text(_staged(source, place, pages))
    (build / "zensical.toml").write_text(configuration())


def sources() -> dict[str, Path]:
    """Return the file of each page, by its path in the site."""
    inside = {path.relative_to(ROOT / "docs").as_posix(): path for path in (ROOT / "docs").rglob("*.md")}
    return inside | {place: ROOT / name for name, place in OUTSIDE.items()}


def configuration() -> str:
    """Return the configuration of Zensical."""
    sections = (
        f"  {{ {_quoted(title)} = [{', '.join(map(_quoted, places))}] }},"
        if len(places) > 1
        else f"  {{ {_quoted(title)} = {_quoted(places[0])} }},"
        for title, places in NAV.items()
    )
    text = (_PARTS.parent / "zensical.toml").read_text()
    return text.replace("nav = []", "nav = [\n" + "\n".join(sections) + "\n]")


def check(site: Path) -> list[str]:
    """Return a line for each broken link of the site, and for each file that a page loads from another host."""
    pages = {path: _Page.read(path) for path in site.rglob("*.html")}
    return [
        f"{path.relative_to(site)}: {fault}"
        for path, page in sorted(pages.items())
        for fault in [
            *(f"loads {url}" for url in page.loads if urlsplit(url).netloc),
            *(f"{url} is broken" for url in page.loads + page.links if not _leads(path, url, site, pages)),
        ]
    ]


class _Page(HTMLParser):
    """The loaded files, links and anchors of an HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()

    @classmethod
    def read(cls, path: Path) -> _Page:
        page = cls()
        page.feed(path.read_text())
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if url := given.get(_LOADS.get(tag, ""), ""):
            (self.links if given.get("rel", "") in _NAMES else self.loads).append(url)
        if tag == "a" and (url := given.get("href", "")):
            self.links.append(url)


def _leads(page: Path, url: str, site: Path, pages: dict[Path, _Page]) -> bool:
    """Return whether a URL is a file of the site and an anchor in it. URLs of other hosts are not checked."""
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return True
    path = unquote(parts.path)
    target = (
        page
        if not path
        else Path(os.path.normpath(site / path[1:] if path[0] == "/" else page.parent / path))
    )
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return False
    # `__…`: handled by the theme's own script.
    known = not parts.fragment or parts.fragment.startswith("__") or target not in pages
    return known or unquote(parts.fragment) in pages[target].anchors


def _staged(source: Path, place: str, pages: Path) -> str:
    """Return the text of a page with its links rewritten for the site."""
    places = {path.resolve(): each for each, path in sources().items()}

    def link(found: re.Match[str]) -> str:
        parts = urlsplit(found[2])
        if parts.scheme or not parts.path:
            return found[0]
        target = (source.parent / parts.path).resolve()
        leads = places.get(target) or _copied(target, pages)
        url = os.path.relpath(leads, Path(place).parent) + (f"#{parts.fragment}" if parts.fragment else "")
        return f"{found[1]}{url}{found[3]}"

    halves = _FENCED.split(source.read_text())
    return "".join(text if text.startswith("```") else _LINK.sub(link, text) for text in halves)


def _copied(target: Path, pages: Path) -> str:
    """Return the path in the site of a file that is not a page. A source file is copied, as text for browsers."""
    docs = ROOT / "docs"
    if target.is_relative_to(docs):
        return target.relative_to(docs).as_posix()
    name = f"source/{target.relative_to(ROOT).as_posix().lstrip('.')}.txt"
    (pages / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(target, pages / name)
    return name


def _quoted(text: str) -> str:
    return f'"{text}"'


if __name__ == "__main__":
    sys.exit(main())
