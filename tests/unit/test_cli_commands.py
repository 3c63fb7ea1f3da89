"""The list of commands, made without importing them."""

from __future__ import annotations

from importlib import import_module

import click
import pytest

from worker.cli.commands import BUILT_IN, summary


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_line_about_a_command_is_the_one_that_click_would_show(name: str) -> None:
    """It is read from the source; importing the command gives the same."""
    module, _, attribute = BUILT_IN[name].partition(":")
    command = getattr(import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert summary(name, BUILT_IN[name]) == command.get_short_help_str(limit=80)
    assert summary(name, BUILT_IN[name]).endswith(".")
    assert not summary(name, BUILT_IN[name]).endswith("...")


@pytest.mark.parametrize(
    "place", ["nowhere:command", "worker.cli.nowhere:command", "worker.nowhere.cli:command"]
)
def test_what_is_not_there_has_no_line(place: str) -> None:
    assert summary("command", place) == ""


def test_a_command_without_a_docstring_is_described_by_its_module() -> None:
    assert summary("stats", "worker.cli.stats:_no_function") == "the ledger in figures, once."
