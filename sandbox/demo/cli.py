"""`ekyc demo`: run verifications from enqueue to decision, with real parts on this machine."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Self

import click
from rich.console import Console

from sandbox.demo import valkey
from sandbox.demo.extras import require_extras
from sandbox.demo.folder import Folder, command, shown
from sandbox.demo.page import page
from sandbox.demo.parts import forget_environment
from sandbox.demo.plan import FEWEST, plan
from sandbox.demo.processes import Processes
from sandbox.demo.progress import face
from sandbox.demo.run import run
from worker.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.demo.parts import Parts
    from sandbox.demo.report import Report

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Seconds after which the exception of a signal is raised again, if it was not caught.
_AGAIN_S: Final = 0.25

#: How often to check whether a part has ended while all of them are kept.
_LOOK_S: Final = 0.2


class _Ended(BaseException):
    """Raised when a signal ends the demo. A ``BaseException``, so that no handler takes it for a fault."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@click.command
@click.option(
    "--count",
    type=click.IntRange(FEWEST, 10_000),
    default=300,
    show_default=True,
    help="Verifications; the minimum is one for each case that the sandbox can play in a demo.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="An empty or new folder for evidence and logs. Default: a new one in ./var/demo.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=180.0,
    show_default=True,
    help="Seconds after which the demo gives up, and lists what is still in flight.",
)
@click.option("--keep", is_flag=True, help="Leave everything running after the report, until Ctrl-C.")
@json_option
@click.pass_context
def demo(  # noqa: PLR0913 - one for each option
    ctx: click.Context, *, count: int, directory: Path | None, timeout_s: float, keep: bool, as_json: bool
) -> None:
    """Run verifications from enqueue to decision, with real parts.

    Everything runs on this machine: the demo starts a Valkey, a stand-in for the vendor, two workers, web, a
    pipeline and a receiver of webhooks, each in a process of its own; enqueues verifications with every
    errorCode and every fault, a third of them by HTTP; and prints a report. It ignores variables of the
    environment that name a Redis or vendor of yours.

    It prints the address of the console, with a user and a password for this run. With --keep both are
    printed again after the report, and everything runs until Ctrl-C, which then is the usual end.

    Progress is printed to stderr. With --json the report is one JSON object.

    Exit status: 0 every check passed, 1 a check or a part failed, 130 Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a bar shows a ? instead of ending the demo.
            stream.reconfigure(errors="replace")
    require_extras()
    forget_environment()
    server = valkey.binary()
    folder = Folder.make(directory)
    title = f"ekyc demo: {count:,} verifications, with real parts, on this machine"
    hint = f"In another terminal: . {shown(folder.environment)} && {command('ekyc')} watch"
    try:
        with _Signals() as signals, Processes(folder) as processes:
            with face(Console(stderr=True), title, hint) as progress, signals.caught_here():
                report, parts = run(
                    plan(count), folder, processes, progress, server=server, timeout_s=timeout_s, keep=keep
                )
                progress.leave()
            if keep:
                _print(report, as_json=as_json)
                _keep(processes, parts, hint, signals)
    except (_Ended, RuntimeError) as error:
        # Before Python 3.12 an error raised while a class is created is the cause of a RuntimeError.
        ended = error if isinstance(error, _Ended) else error.__cause__
        if not isinstance(ended, _Ended):
            raise
        click.echo(
            f"ekyc: the demo was stopped, and no process is left; logs: {shown(folder.logs)}", err=True
        )
        ctx.exit(128 + ended.number)
    if keep:
        click.echo(f"ekyc: the demo has ended, and no process is left; logs: {shown(folder.logs)}", err=True)
    else:
        _print(report, as_json=as_json)
    ctx.exit(0 if report.ok else 1)


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        Console().print(page(report), highlight=False)


def _keep(processes: Processes, parts: Parts, hint: str, signals: _Signals) -> None:
    """Return once a signal asks for the end. Raises ``DemoFailed`` if a part ends before."""
    click.echo(
        f"\nEverything keeps running until Ctrl-C.\nConsole: {parts.web.console.login}\n{hint}", err=True
    )
    with suppress(_Ended), signals.caught_here():
        while True:
            processes.check()
            time.sleep(_LOOK_S)


class _Signals:
    """Raises ``_Ended`` at the first signal, and ignores later ones, so that they cannot interrupt the cleanup.

    Python drops an exception that is raised while it finalizes an object. So it is raised again until it is caught.
    """

    def __init__(self) -> None:
        self._number = 0
        self._repeats = True

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._end) for number in _SIGNALS}
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._end)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def caught_here(self) -> Iterator[None]:
        """End the repetition when the block ends."""
        self._repeats = True
        try:
            yield
        finally:
            self._repeats = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _end(self, number: int, _: object) -> NoReturn:
        self._number = self._number or number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        if self._repeats:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        raise _Ended(self._number)
