"""`python -m benchmarks.bench`: run it, or parts of it, and say what came out."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from benchmarks.bench import needs, results
from benchmarks.bench.chart import chart
from benchmarks.bench.failure import BenchFailed
from benchmarks.bench.ground import FOLDER, ROOT, yard
from benchmarks.bench.headline import headline
from benchmarks.bench.lineup import CONTENDERS, OURS, OURS_FSYNC
from benchmarks.bench.profile import PROFILES
from benchmarks.bench.report import fill, report
from benchmarks.bench.rounds import Entry
from benchmarks.bench.sitting import PARTS, Sitting
from benchmarks.bench.smoke import smoke
from benchmarks.bench.summary import disagreeing
from worker.errors import EkycError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

#: Exit codes: something does not agree; something is missing or wrong; Ctrl-C.
RED: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130

_DOCS: Final = ROOT / "docs"
_RECORD: Final = _DOCS / "bench.json"
_PAGE: Final = _DOCS / "benchmarks.md"
_README: Final = ROOT / "README.md"
_PICTURE: Final = _DOCS / "images" / "bench.svg"


def main() -> None:
    """The command. Ends the process."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = bench.main(prog_name="python -m benchmarks.bench", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo("bench: interrupted; nothing is left behind", err=True)
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (EkycError, OSError, ValueError) as error:
        click.echo(f"bench: {error}", err=True)
        code = WRONG
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def bench() -> None:
    """Measure this project beside what a user would take instead: the same job on the same machine, in one run.

    Each run has a Valkey and a vendor of its own. Ctrl-C ends all that was started, and leaves nothing behind.
    """


_contenders = click.option(
    "--contender",
    "names",
    multiple=True,
    type=click.Choice([contender.name for contender in CONTENDERS]),
    help="Again for more. Default: all.",
)
_folder = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default="var",
    help="For what is written meanwhile. On a real disk: in memory a sync costs nothing.",
)
_output = click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=FOLDER / "bench.json",
    show_default="var/bench.json",
    help="The results. What the file holds stays, but for what is measured again. A picture goes beside it.",
)
_record = click.option(
    "--record",
    is_flag=True,
    help="Into docs/ (bench.json, the tables of benchmarks.md, the picture) and the README.",
)


@bench.command()
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(PARTS),
    help="A profile or a target; again for more. Default: all.",
)
@_contenders
@click.option(
    "--fsync",
    is_flag=True,
    help="Also run ours with each file synced by itself, beside ours as it is: the difference is what `syncfs` saves.",
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0.5),
    default=8.0,
    show_default=True,
    help="How long a run should take: as many verifications as pass in that time.",
)
@click.option(
    "--waiting",
    "numbers",
    multiple=True,
    type=click.IntRange(100),
    default=(100_000, 1_000_000),
    show_default=True,
    help="How many wait in the profile of that name; again for more.",
)
@_output
@_record
@_folder
def run(  # noqa: PLR0913, PLR0917 - the options
    only: Sequence[str],
    names: Sequence[str],
    fsync: bool,  # noqa: FBT001 - click gives it by name
    rounds: int,
    seconds: float,
    numbers: Sequence[int],
    output: Path,
    record: bool,  # noqa: FBT001 - click gives it by name
    folder: Path,
) -> int:
    """Measure. All of it takes more than an hour, of a machine that has nothing else to do.

    \b
      python -m benchmarks.bench run --only cpu --contender ours --contender "plain Celery" --rounds 1
      python -m benchmarks.bench run --only waiting --waiting 10000
      python -m benchmarks.bench run --only real --contender ours --fsync

    Exit status: 0 all is well, 1 counts disagree somewhere, 2 something is missing or wrong, 130 Ctrl-C.
    """  # noqa: D301 - click takes a backspace for "do not wrap"
    output = _RECORD if record else output
    versions = needs.versions()
    entries, parts = _entries(names), only or PARTS
    if fsync:
        entries.append(Entry(OURS, OURS_FSYNC))
    # What is wrong with the file is better told now than in an hour.
    results.check(output)
    with yard(folder) as where:
        needs.room(where, len(entries) * rounds * len(set(parts) & {*PROFILES, "synced"}), seconds)
        sitting = Sitting(
            entries=entries,
            rounds=rounds,
            seconds=seconds,
            numbers=sorted(numbers),
            where=where,
            output=output,
            versions=versions,
            tell=click.echo,
        )
        sitting.measure(parts)
    _draw(output, record=record)
    return _judged(disagreeing(results.read(output)))


@bench.command(name="smoke")
@_contenders
@_folder
@click.option(
    "--short", is_flag=True, help="One variant of each contender, and its further parts for two of them."
)
def smoke_(names: Sequence[str], folder: Path, short: bool) -> int:  # noqa: FBT001 - as above
    """Everything once with a few verifications: do all counts agree? Some three minutes; speed is no matter."""
    needs.versions()
    with yard(folder) as where:
        faults = smoke(_entries(names), where, click.echo, short=short)
    if not faults:
        click.echo("all of it runs, and all counts agree")
    return _judged(faults)


@bench.command()
@_output
@_record
def draw(output: Path, record: bool) -> None:  # noqa: FBT001 - as above
    """Measure nothing: write tables and picture of earlier results again."""
    _draw(_RECORD if record else output, record=record)


def _judged(faults: Sequence[str]) -> int:
    for fault in faults:
        click.echo(f"bench: {fault}", err=True)
    return RED if faults else 0


def _entries(names: Sequence[str]) -> list[Entry]:
    return [
        Entry(contender, variant)
        for contender in CONTENDERS
        for variant in contender.variants
        if not names or contender.name in names
    ]


def _draw(output: Path, *, record: bool) -> None:
    if not output.exists():
        raise BenchFailed(f"{output}: there are no results yet; make bench measures some")
    found = results.read(output)
    text = report(found)
    picture = _PICTURE if record else output.with_suffix(".svg")
    picture.write_text(chart(found))
    if record:
        fill(_PAGE, text)
        fill(_README, headline(found))
        click.echo(f"\nwritten: {_RECORD.name}, {_PAGE.name}, {_PICTURE.name}, {_README.name}")
    else:
        click.echo(f"\n{text}\n\nresults: {output}, picture: {picture}")
