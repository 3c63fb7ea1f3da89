"""`ekyc demo`: watch verifications travel the whole way, on real parts on this machine."""

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
    """Somebody wants it to end; no fault, so nothing on the way may catch it as one."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@click.command
@click.option(
    "--count",
    type=click.IntRange(FEWEST, 10_000),
    default=300,
    show_default=True,
    help="Verifications; at least one for each thing that the vendor's stand-in can do.",
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
    help="Seconds after which it gives up, and says what is still under way.",
)
@json_option
@click.pass_context
def demo(ctx: click.Context, *, count: int, directory: Path | None, timeout_s: float, as_json: bool) -> None:
    """Watch verifications travel the whole way, on real parts.

    All on this machine: starts a Valkey, the vendor's stand-in, two workers and a pipeline, each a process of
    its own on a free port; hands over verifications that meet every errorCode and every fault; and ends with
    a report. What the environment says of a Redis or a vendor of your own does not count here.

    Progress is on stderr. With --json the report is one JSON object.

    Exit status: 0 every check holds, 1 one does not or a part failed, 130 Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Better a ? than no demo on a terminal that cannot show a bar.
            stream.reconfigure(errors="replace")
    forget_environment()
    server = valkey.binary()
    folder = Folder.make(directory)
    title = f"ekyc demo: {count:,} verifications, on real parts, on this machine"
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
        # Before Python 3.12 what is raised while a class is made comes as the cause of another error.
        ended = error if isinstance(error, _Ended) else error.__cause__
        if not isinstance(ended, _Ended):
            raise
        click.echo(f"ekyc: the demo is ended, and no process is left; logs: {shown(folder.logs)}", err=True)
        ctx.exit(128 + ended.number)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        Console().print(page(report), highlight=False)
    ctx.exit(0 if report.ok else 1)


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """Within it the first signal raises ``_Ended``; later ones do nothing, so that nothing keeps it from ending."""

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
