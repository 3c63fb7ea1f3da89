"""The commands of `ekyc`: those of this package, and those that other packages install as entry points.

`ekyc --help` imports no command, so it is fast, and it works even if a command cannot be imported.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The commands of this package, each as `module:attribute`.
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
    "evidence": "worker.cli.evidence:evidence",
    "redeliver": "worker.cli.redeliver:redeliver",
    "deliveries": "worker.cli.deliveries:deliveries",
    "decisions": "worker.cli.decisions:decisions",
    "report": "worker.cli.report:report",
    "audit": "worker.cli.audit:audit",
    "doctor": "worker.cli.doctor:doctor",
    "poll-plan": "worker.cli.poll_plan:poll_plan",
    "token": "worker.cli.token:token",
    "console": "worker.cli.console:console",
    "webhook": "worker.cli.webhook:webhook",
    "completion": "worker.cli.completion:completion",
}

#: The line of each command in `ekyc --help`: the first sentence of its own help, which a test compares.
SHORT_HELP: Final = {
    "enqueue": "Enqueue verifications, to be polled, archived and decided.",
    "status": "Show the state of one verification, and what happens next.",
    "list": "List verifications by stage, region, age or decision.",
    "stats": "Show the ledger's figures: what waits, what is done, and how.",
    "watch": "Watch the ledger's figures live, with rates per second.",
    "quarantine": "Show which verifications need a person; retry or drop them.",
    "hold": "Put a region on hold: it is not polled meanwhile.",
    "resume": "End the hold of a region now, also one that the fleet began.",
    "ledger": "Choose which ledger the fleet works for.",
    "evidence": "List, show, verify, export and erase evidence; make its keys.",
    "redeliver": "Deliver decisions again, the same bytes under the same id.",
    "deliveries": "Show, resend, drop deliveries by webhook, pause endpoints.",
    "decisions": "Show, check, test and compare decision tables.",
    "report": "Report a month for a regulator, from the evidence alone.",
    "audit": "Show what people did: to what, when and why.",
    "doctor": "Check settings, Redis, evidence, decision table and vendor.",
    "poll-plan": "Show when a verification is polled.",
    "token": "Make tokens of the HTTP API.",
    "console": "Say who may use the console of web, and end their sessions.",
    "webhook": "Make keys of signatures, and check a receiver of webhooks.",
    "completion": "Print a script that completes commands and options.",
    # Entry points of the same distribution.
    "sandbox": "Start a stand-in for the vendor: tokens, results and images.",
    "demo": "Run verifications from enqueue to decision, with real parts.",
}

#: Entry points of this group are commands of other packages. A command of `lazy_subcommands` of the same name wins.
GROUP: Final = "ekyc.commands"


class LazyGroup(click.Group):
    """A group that imports a command only when it runs: "lazily loading subcommands" in click's manual.

    For the help of a group, click imports every command. Here its lines come from a table.

    Parameters:
      lazy_subcommands: `module:attribute` of each command, in the order of the help.
      short_help_lines: the help line of each command; the default is the summary of the command's distribution.
      entry_point_group: where other packages add commands; "": nowhere.
    """

    def __init__(
        self,
        *args: Any,
        lazy_subcommands: Mapping[str, str],
        short_help_lines: Mapping[str, str],
        entry_point_group: str = GROUP,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._group = entry_point_group
        self._own = {name: EntryPoint(name, value, GROUP) for name, value in lazy_subcommands.items()}
        self._lines = short_help_lines

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self._points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        point = self._own.get(cmd_name) or self._points().get(cmd_name)
        return _load(point) if point else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._line(point)) for name, point in self._points().items()])

    def _points(self) -> dict[str, EntryPoint]:
        installed = {point.name: point for point in entry_points(group=self._group)} if self._group else {}
        return self._own | {name: installed[name] for name in sorted(installed) if name not in self._own}

    def _line(self, point: EntryPoint) -> str:
        if point.name in self._lines:
            return self._lines[point.name]
        if point.dist is None or "Summary" not in point.dist.metadata:
            return ""
        return point.dist.metadata["Summary"]


class Unloadable(click.Command):
    """A command that could not be imported. It accepts any arguments and raises the import error when it runs."""

    def __init__(self, name: str, error: ImportError) -> None:
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        super().__init__(name, context_settings=settings, add_help_option=False)
        self._error = error

    def invoke(self, ctx: click.Context) -> None:
        del ctx
        raise self._error


def _load(point: EntryPoint) -> click.Command:
    try:
        command: click.Command = point.load()
    except ImportError as error:
        return Unloadable(point.name, error)
    return command
