"""What every page says of files, commands, targets and tests is so."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import click
import pytest

from tests.support.docs_pages import Page, page, pages
from tests.support.paths import ROOT
from worker.cli.program import ekyc

PAGES: Final = pages()
each_page = pytest.mark.parametrize("page_", PAGES, ids=[each.name for each in PAGES])

_TESTS: Final = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)", path.read_text())
}


def shell(page_: Page) -> list[str]:
    """Each line that a reader may type: of blocks for a shell, and code within the prose."""
    lines = [
        line
        for block in page_.blocks
        if block.language in {"sh", "console"}
        for line in block.text.splitlines()
    ]
    return [line.partition("#")[0] for line in lines] + page_.spans


@each_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page_: Page) -> None:
    for link in page_.links:
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (page_.path.parent / parts.path).resolve() if parts.path else page_.path
        assert target.exists(), f"{page_.name}: {link}"
        if parts.fragment:
            assert parts.fragment in page(str(target.relative_to(ROOT))).anchors, f"{page_.name}: {link}"


@each_page
def test_every_command_exists_with_its_options(page_: Page) -> None:
    for line in shell(page_):
        for words in re.findall(r"(?:^|[\s|])ekyc ((?:[^\s|]+ ?)+)", line):
            name, *arguments = words.split()
            if not re.fullmatch(r"[a-z-]+", name):
                continue
            context = click.Context(ekyc)
            command = ekyc.get_command(context, name)
            assert command is not None, f"{page_.name}: ekyc {name}"
            while isinstance(command, click.Group) and arguments and re.fullmatch(r"[a-z]+", arguments[0]):
                command = command.get_command(context, arguments.pop(0))
                assert command is not None, f"{page_.name}: {line}"
            known = {option for parameter in command.get_params(context) for option in parameter.opts}
            given = {word.partition("=")[0] for word in arguments if re.match(r"--\w", word)}
            assert given <= known, f"{page_.name}: {line}"


@each_page
def test_every_make_target_exists(page_: Page) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in shell(page_):
        for target in re.findall(r"(?:^|\s)make ([a-z-]+)", line):
            assert target in targets, f"{page_.name}: make {target}"


@each_page
def test_every_test_that_is_named_exists(page_: Page) -> None:
    named = {span for span in page_.spans if re.fullmatch(r"test_\w+", span)}
    assert named <= _TESTS, f"{page_.name}: {sorted(named - _TESTS)}"


@each_page
def test_every_file_that_is_named_exists(page_: Page) -> None:
    for span in page_.spans:
        if re.fullmatch(r"(worker|tasks|schemas|sandbox|tests|docs|requirements|benchmarks)/[\w./-]*", span):
            assert (ROOT / span).exists(), f"{page_.name}: {span}"


@each_page
def test_every_python_block_compiles_and_imports_what_there_is(page_: Page) -> None:
    for block in page_.blocks:
        if block.language == "python":
            compile(block.text, page_.name, "exec")
            imports = re.findall(r"^(?:from (?:worker|schemas|sandbox)\b.*)$", block.text, re.MULTILINE)
            exec("\n".join(imports), {})


def test_the_readme_names_a_test_for_each_of_the_seven_promises() -> None:
    rows = page("README.md").rows("| promise | some of its tests |")
    assert [row[0] for row in rows] == list("1234567")
    assert all("`test_" in row[2] for row in rows)


def test_choices_are_numbered_without_a_gap_and_listed() -> None:
    adrs = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in adrs] == list(range(1, len(adrs) + 1))
    listed = re.findall(r"^(\d+)\. \[.*?\]\(adr/(.+?)\)", page("docs/architecture.md").text, re.MULTILINE)
    assert listed == [(str(number), path.name) for number, path in enumerate(adrs, start=1)]
    for number, path in enumerate(adrs, start=1):
        assert path.read_text().startswith(f"# {number}. ")


def test_pictures_are_whole_and_need_nothing_from_elsewhere() -> None:
    pictures = sorted((ROOT / "docs" / "images").glob("*.svg"))
    assert pictures
    for picture in pictures:
        ET.parse(picture)
        assert not re.search(r"https:|url\([^#]|/tmp/|/home/", picture.read_text()), picture.name
    for drawn in (ROOT / "docs" / "images").glob("*.png"):
        assert drawn.read_bytes().startswith(b"\x89PNG\r\n\x1a\n"), drawn.name
        assert drawn.read_bytes().endswith(b"IEND\xaeB`\x82"), drawn.name


def test_the_changelog_names_the_version_there_is() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert version[1] in page("CHANGELOG.md").text


def test_what_was_measured_is_quoted_as_it_was() -> None:
    def flat(name: str) -> str:
        return " ".join(page(name).text.split())

    measured = flat("docs/measurements.md")
    waiting = re.search(r"takes \*\*(\d+) bytes\*\*", measured)
    idle = re.search(r"\*\*([\d.]+ calls)\*\* to Redis a second", measured)
    soon = re.search(r"median \*\*([\d.]+ ms)\*\*", measured)
    assert waiting is not None
    assert idle is not None
    assert soon is not None
    assert f"takes {waiting[1]} bytes" in flat("docs/adr/0001-the-ledger.md")
    assert f"[measured: {waiting[1]}]" in flat("docs/operations.md")
    assert f"[{idle[1]}]" in flat("docs/operations.md")
    assert f"sends {idle[1]} to Redis a second" in flat("docs/adr/0008-dispatcher-sleep.md")
    assert f"asked {soon[1]} after an enqueue" in flat("docs/adr/0008-dispatcher-sleep.md")


def test_the_readme_is_short() -> None:
    assert len(page("README.md").text.splitlines()) <= 250
