"""`python -m tests.chaos`: run the suite, print the faults and the report, exit with 0 if every check holds."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from tests.chaos.checks import check
from tests.chaos.driver import run
from tests.chaos.profile import LONG, PROFILES
from tests.chaos.report import page
from tests.chaos.schedule import schedule

if TYPE_CHECKING:
    from types import FrameType

#: Exit codes: a check failed; the suite itself failed.
RED, BROKEN = 1, 2


@click.command
@click.option("--version", "name", type=click.Choice(list(PROFILES)), default=LONG.name, show_default=True)
@click.option("--seed", type=int, help="The seed of the schedule and the verifications. Default: random.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Also write the report to this file."
)
@click.option(
    "--keep", is_flag=True, help="Keep logs, journal, Valkey's file and evidence also after a green run."
)
@click.option("--plan", is_flag=True, help="Print the schedule of the faults, and do nothing.")
def main(name: str, seed: int | None, report: Path | None, *, keep: bool, plan: bool) -> None:
    """Inject faults into all dependencies of a fleet at work, and check that no verification is lost."""
    profile = PROFILES[name]
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    command = f"python -m tests.chaos --version {name} --seed {seed}"
    click.echo(f"{command}\n")
    if plan:
        click.echo("\n".join(map(str, schedule(seed, profile))))
        return
    signal.signal(signal.SIGTERM, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="ekyc-chaos-"))
    try:
        result = run(profile, seed, folder, click.echo)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        click.echo("interrupted: all files and processes are removed", err=True)
        sys.exit(130)
    except Exception:  # noqa: BLE001 - any error: the suite has found nothing
        traceback.print_exc()
        click.echo(f"the suite itself failed; its files: {folder}", err=True)
        sys.exit(BROKEN)
    checks = check(result)
    text = page(result, checks, command)
    click.echo(f"\n{text}")
    if report is not None:
        report.write_text(text)
    green = all(each.holds for each in checks)
    if green and not keep:
        shutil.rmtree(folder)
    else:
        (folder / "report.md").write_text(text)
        click.echo(f"kept: {folder}", err=True)
    sys.exit(0 if green else RED)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt
