"""`ekyc demo`: run verifications from enqueue to decision, with real parts on this machine."""

from __future__ import annotations

import io
import json
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

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

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
@json_option
@click.pass_context
def demo(ctx: click.Context, *, count: int, directory: Path | None, timeout_s: float, as_json: bool) -> None:
    """Run verifications from enqueue to decision, with real parts.

    Everything runs on this machine: the demo starts a Valkey, a stand-in for the vendor, two workers, web, a
    pipeline and a receiver of webhooks, each in a process of its own; enqueues verifications with every
    errorCode and every fault, a third of them by HTTP; and prints a report. It ignores variables of the
    environment that name a Redis or vendor of yours.

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
        with (
            _signals_end_it(),
            face(Console(stderr=True), title, hint) as progress,
            Processes(folder) as processes,
        ):
            report = run(plan(count), folder, processes, progress, server=server, timeout_s=timeout_s)
            progress.leave()
    except (_Ended, RuntimeError) as error:
        # Before Python 3.12 an error raised while a class is created is the cause of a RuntimeError.
        ended = error if isinstance(error, _Ended) else error.__cause__
        if not isinstance(ended, _Ended):
            raise
        click.echo(
            f"ekyc: the demo was stopped, and no process is left; logs: {shown(folder.logs)}", err=True
        )
        ctx.exit(128 + ended.number)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        Console().print(page(report), highlight=False)
    ctx.exit(0 if report.ok else 1)


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """Raise ``_Ended`` at the first signal; ignore later ones, so that they cannot interrupt the cleanup."""

    def end(number: int, _: object) -> NoReturn:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise _Ended(number)

    before = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
