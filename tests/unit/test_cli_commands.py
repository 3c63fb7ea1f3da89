"""The lines of `ekyc --help`, which are written without importing the commands, are those of the commands."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import click
import pytest

from worker.cli.commands import BUILT_IN, SHORT_HELP, LazyGroup
from worker.cli.program import ekyc

#: Columns of a terminal less the longest name, the margin and the gap: longer lines are broken.
ROOM = 78 - len("quarantine") - 6


@pytest.mark.parametrize("name", SHORT_HELP)
def test_the_line_about_a_command_is_the_one_that_click_would_show(name: str) -> None:
    command = ekyc.get_command(click.Context(ekyc), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert SHORT_HELP[name] == command.get_short_help_str(limit=ROOM)
    assert SHORT_HELP[name].endswith(".")
    assert not SHORT_HELP[name].endswith("...")


def test_every_command_has_a_line_and_every_line_a_command() -> None:
    assert sorted(SHORT_HELP) == sorted(ekyc.list_commands(click.Context(ekyc)))
    assert list(BUILT_IN) == ekyc.list_commands(click.Context(ekyc))[: len(BUILT_IN)]


@pytest.mark.parametrize(
    "place", ["nowhere:command", "worker.cli.nowhere:command", "worker.nowhere.cli:command"]
)
def test_what_is_not_there_is_listed_and_fails_when_it_is_run(place: str) -> None:
    group = LazyGroup("group", lazy_subcommands={"command": place}, short_help_lines={"command": "A line."})
    context = click.Context(group)
    assert "command  A line." in group.get_help(context)
    command = group.get_command(context, "command")
    assert command is not None
    with pytest.raises(ImportError):
        command.main(["--any", "argument"], standalone_mode=False)


def test_an_own_command_is_loaded_as_an_entry_point_is() -> None:
    group = LazyGroup("group", lazy_subcommands=BUILT_IN, short_help_lines={})
    for name in ("list", "quarantine"):
        loaded = EntryPoint(name, BUILT_IN[name], "any").load()
        assert group.get_command(click.Context(group), name) is loaded
