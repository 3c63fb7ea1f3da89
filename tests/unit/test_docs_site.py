"""The pages of the site, before it is built: its navigation, its links, what a page may load."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT
from tools.docs import site
from tools.docs.nav import NAV

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("docs") / "build"
    site.stage(build)
    return build


def test_every_page_is_in_the_navigation_once() -> None:
    places = [place for section in NAV.values() for place in section]
    assert sorted(places) == sorted(site.sources())


def test_a_link_to_a_page_outside_of_docs_leads_to_its_place_in_the_site(staged: Path) -> None:
    text = (staged / "pages" / "operations.md").read_text()
    assert "(deploy.md#kubernetes)" in text
    assert "../deploy/README.md" not in text


def test_a_link_to_source_leads_to_a_copy_as_text(staged: Path) -> None:
    text = (staged / "pages" / "adr" / "0010-greenlets.md").read_text()
    assert "(../source/worker/concurrency/executor.py.txt)" in text
    copy = staged / "pages" / "source" / "worker" / "concurrency" / "executor.py.txt"
    assert copy.read_bytes() == (ROOT / "worker" / "concurrency" / "executor.py").read_bytes()


def test_the_first_page_is_the_readme_with_its_links_into_docs(staged: Path) -> None:
    text = (staged / "pages" / "index.md").read_text()
    assert text.startswith("# ekyc-worker")
    assert not re.search(r"\]\(docs/", text)


def test_the_configuration_has_every_section_and_fetches_nothing(staged: Path) -> None:
    text = (staged / "zensical.toml").read_text()
    project = tomllib.loads(text)["project"]
    assert [title for entry in project["nav"] for title in entry] == list(NAV)
    assert project["theme"]["font"] is False
    assert "://" not in text


def test_links_that_lead_nowhere_and_what_a_page_loads_from_elsewhere_are_reported(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "style.css").touch()
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="style.css"><h1 id="top"></h1><a href="#top">1</a><a href="#gone">2</a>'
        '<a href="sub/page.html#here">3</a><a href="missing.html">4</a><a href="https://example.com/">5</a>'
        '<script src="https://cdn.example.com/x.js"></script><img src="//cdn.example.com/x.png">'
    )
    (tmp_path / "sub" / "page.html").write_text('<p id="here"></p><a href="../index.html">back</a>')
    assert site.check(tmp_path) == [
        "index.html: loads https://cdn.example.com/x.js",
        "index.html: loads //cdn.example.com/x.png",
        "index.html: #gone is broken",
        "index.html: missing.html is broken",
    ]
