"""The commands there are: ours, and those that other packages install as entry points.

Listing them imports none of them: `ekyc --help` answers at once, and works where a command would not.
"""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from typing import Final

import click

#: The command that is found at `module:attribute`.
BUILT_IN: Final = {
    "enqueue": "worker.cli.enqueue:enqueue",
    "status": "worker.cli.status:status",
    "list": "worker.cli.listing:list_",
    "stats": "worker.cli.stats:stats",
    "watch": "worker.cli.watch:watch",
    "quarantine": "worker.cli.quarantine:quarantine",
    "hold": "worker.cli.hold:hold",
    "resume": "worker.cli.hold:resume",
    "ledger": "worker.cli.ledger:ledger",
    "redeliver": "worker.cli.redeliver:redeliver",
    "doctor": "worker.cli.doctor:doctor",
    "poll-plan": "worker.cli.poll_plan:poll_plan",
    "completion": "worker.cli.completion:completion",
}

#: Entry points of this group are commands, too. Ours win over theirs of the same name.
GROUP: Final = "ekyc.commands"


class Commands(click.Group):
    """A group that imports a command when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(places())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        place = BUILT_IN.get(cmd_name) or places().get(cmd_name)
        return _load(cmd_name, place) if place else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        found = places()
        # A line each: what is left beside the longest name, its margin and the gap.
        limit = formatter.width - max(map(len, found)) - 6
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary(name, place, limit)) for name, place in found.items()])


class Unloadable(click.Command):
    """Stands for a command that cannot be imported, and fails with that, whatever its arguments, when it is run."""

    def __init__(self, name: str, error: ImportError) -> None:
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        super().__init__(name, context_settings=settings, add_help_option=False)
        self._error = error

    def invoke(self, ctx: click.Context) -> None:
        del ctx
        raise self._error


def places() -> dict[str, str]:
    """The place of each command by its name, in the order in which they are listed."""
    installed = {point.name: f"{point.module}:{point.attr}" for point in entry_points(group=GROUP)}
    return BUILT_IN | {name: installed[name] for name in sorted(installed) if name not in BUILT_IN}


def summary(name: str, place: str, limit: int = 80) -> str:
    """The first sentence about a command in `limit` characters, read from its source; nothing is imported for it.

    That is its docstring's, or its module's where the command has none.
    """
    module, _, attribute = place.partition(":")
    try:
        tree = ast.parse(_source(module))
    except SyntaxError:
        return ""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == attribute]
    about = [*map(ast.get_docstring, functions), ast.get_docstring(tree)]
    first = next(filter(None, about), "").removeprefix(f"`ekyc {name}`: ")
    return click.Command(name, help=first).get_short_help_str(limit)


def _source(module: str) -> str:
    """The source of a module, "" where it cannot be had. Unlike ``find_spec`` this runs no `__init__`."""
    path, spec, name = None, None, ""
    for part in module.split("."):
        name = f"{name}.{part}".lstrip(".")
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return ""
        path = spec.submodule_search_locations
    loader = spec.loader if spec else None
    return (loader.get_source(name) or "") if isinstance(loader, InspectLoader) else ""


def _load(name: str, place: str) -> click.Command:
    module, _, attribute = place.partition(":")
    try:
        command: click.Command = getattr(import_module(module), attribute)
    except ImportError as error:
        return Unloadable(name, error)
    return command
