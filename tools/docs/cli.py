"""The page of commands, from click."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tools.docs.page import generated
from worker.cli.program import ekyc

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 100

_INTRO = """
The help of `ekyc` and of each of its commands. Every command reads the settings that a worker reads
([settings](settings.md)).

A command exits with 0 on success, 1 if something failed or was left out, 2 if an argument or a setting is wrong, and
130 after Ctrl-C. [Errors](errors.md) has the exit code of each error.
"""


def page() -> str:
    # Not `main`: the help must not depend on the terminal, nor on the name of this program.
    sections = [f"## {path}\n\n```text\n{text.rstrip()}\n```" for path, text in _helps(ekyc, "ekyc", None)]
    return generated("Commands", _INTRO, *sections, source="`worker/cli/` and `sandbox/`")


def _helps(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of a command and of all its subcommands."""
    settings = {**command.context_settings, "terminal_width": _WIDTH, "max_content_width": _WIDTH}
    context = click.Context(command, parent, name, **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None and not below.hidden:
                yield from _helps(below, each, context)
