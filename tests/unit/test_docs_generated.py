"""The reference pages and the picture of the layers are those that the code makes now."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import click
import pytest

from tests.support.docs_pages import page
from tests.support.paths import ROOT
from tools.docs import cli, data_flow, events, layers, settings
from tools.docs import page as parts
from tools.docs.__main__ import GENERATED
from worker import errors
from worker.cli.program import ekyc

if TYPE_CHECKING:
    from pathlib import Path


def test_every_page_of_the_reference_is_generated() -> None:
    assert {path for path in GENERATED if path.suffix == ".md"} == set(parts.REFERENCE.glob("*.md"))


def test_every_generated_file_is_up_to_date_whatever_the_process(tmp_path: Path) -> None:
    """A process of its own, with another hash seed, terminal, environment and folder. On failure: `make docs`."""
    environment = os.environ | {
        "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT), "COLUMNS": "40", "EKYC_BATCH": "3", "NO_COLOR": "1",
    }  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-m", "tools.docs", "--check"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_command_and_option_is_on_its_page() -> None:
    text = cli.page()

    def look(command: click.Command, path: str) -> None:
        section = text.partition(f"\n## {path}\n")[2].partition("\n## ")[0]
        assert section, path
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(option in section for option in parameter.opts), (path, parameter.opts)
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                look(below, f"{path} {name}")

    look(ekyc, "ekyc")


def test_every_error_is_on_its_page_with_its_cause() -> None:
    rows = {row[0]: row for row in page("docs/reference/errors.md").rows("class | cause")}
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.EkycError)
    ]
    assert rows.keys() == {f"`{kind.__name__}`" for kind in kinds}
    for kind in kinds:
        assert rows[f"`{kind.__name__}`"][1] == f"`{kind.cause}`"


def test_every_event_has_a_meaning_and_a_level_and_no_meaning_is_without_its_event() -> None:
    logged = events.logged()
    assert logged.keys() == events.meanings().keys()
    assert [name for name, event in logged.items() if not event.levels or not event.modules] == []


def test_levels_and_fields_of_events_are_those_of_their_calls() -> None:
    logged = events.logged()
    assert logged["worker_ends"].levels == {"error"}
    assert logged["worker_ends"].fields >= {"reason", "exit_code"}
    assert logged["fleet_ready"].levels == {"info", "warning"}
    assert logged["evidence_unavailable"].levels == {"error"}
    assert logged["verification_decided"].levels == {"info"}


def test_every_setting_says_what_it_is_for() -> None:
    assert [each.name for each in settings.settings() if len(each.about) < len("Seconds: …")] == []


def test_a_page_that_is_named_becomes_a_link_with_the_title_of_its_heading() -> None:
    folder = ROOT / "docs" / "reference"
    assert (
        parts.linked("See docs/redis.md.", folder) == "See [What the promises need from Redis](../redis.md)."
    )
    assert parts.linked("docs/redis.md#tls", folder) == "[TLS](../redis.md#tls)"
    with pytest.raises(StopIteration):
        parts.linked("docs/redis.md#nowhere", folder)


def test_the_picture_has_every_layer_of_the_contract_and_only_arrows_that_lead_down() -> None:
    picture = ET.fromstring(layers.picture())
    drawn = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    boxes = [name for row in layers.rows() for name in row]
    assert set(boxes) <= set(drawn)
    height = {name: number for number, row in enumerate(layers.rows()) for name in row}
    pairs = layers.imports()
    assert {name for pair in pairs for name in pair} <= set(boxes)
    assert [pair for pair in pairs if height[pair[0]] >= height[pair[1]]] == []


def test_an_arrow_is_drawn_unless_a_longer_way_implies_it() -> None:
    assert layers.reduced([("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")]) == [
        ("a", "b"),
        ("a", "d"),
        ("b", "c"),
    ]


def test_the_architecture_opens_with_the_picture_and_names_every_box() -> None:
    text = page("docs/architecture.md").text
    assert re.match(r"# Architecture\n\n!\[[^\]]+\]\(images/layers\.svg\)", text)
    named = set(re.findall(r"\| \[`(?:worker/)?(\w+)(?:/|\.py)`\]", text))
    assert named == {name for row in layers.rows() for name in row}


def test_every_place_of_the_data_flow_has_a_row_in_the_table_of_privacy() -> None:
    rows = page("docs/privacy.md").rows("datum |")
    header = ["datum", "where", "why", "for how long", "who can read it", "what erases it"]
    assert all(len(row) == len(header) for row in rows)
    where = {re.split("[:,]", re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", row[1]))[0] for row in rows}
    for place in data_flow.PLACES:
        assert set(place.name.split(", ")) <= where, place.name


def test_the_data_flow_is_drawn_for_light_and_dark_and_no_label_leaves_it() -> None:
    text = data_flow.picture()
    picture = ET.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    drawn = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    for place in data_flow.PLACES:
        assert place.name in drawn
    personal = {place.name for place in data_flow.PLACES if place.personal}
    assert personal == {"ADVANCE.AI", "workers", "evidence store", "a person who may look"}
    classes = {each.get("class") for each in picture.iter() if each.get("class")}
    for name in classes:
        assert text.count(f".{name} ") + text.count(f".{name},") >= 2, name
