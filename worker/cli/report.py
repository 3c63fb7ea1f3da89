"""`ekyc report`: the month of verifications for a regulator, from the evidence alone."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from worker.cli.options import canonical
from worker.cli.reporter import Reporter
from worker.cli.source import opened
from worker.cli.verdicts import dump_sample, read_verdicts
from worker.enqueue_request import REGIONS
from worker.errors import InvalidInput
from worker.evidence.log.commits import RegionLog
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.store import Evidence
from worker.records.new_file import new_file
from worker.records.report.acceptance import Acceptance
from worker.records.report.figures import APPROVE
from worker.records.report.log_comparison import LogComparison
from worker.records.report.month import Month
from worker.records.report.page import page
from worker.records.report.reading import MonthReader, checkpoints
from worker.records.report.report import Report, as_csv, as_json
from worker.records.report.sample import Sample
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from worker.records.report.reading import Unread
    from worker.records.report.report import Coverage

#: Verifications that cannot be read and are named one by one.
NAMED: Final = 10

#: Each format of a report.
_FORMATS: Final[Mapping[str, Callable[[Report], str]]] = {"html": page, "csv": as_csv, "json": as_json}


def _month(ctx: click.Context, param: click.Parameter, given: str) -> Month:
    try:
        return Month.parse(given)
    except InvalidInput as error:
        raise click.BadParameter(str(error).partition(": ")[2], ctx, param) from None


@click.command
@click.option("--month", metavar="YYYY-MM", required=True, callback=_month, help="The month, in UTC.")
@click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="Only this region. Default: every region that has evidence.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMATS)),
    default="html",
    show_default=True,
    help="Of the report.",
)
@click.option("--json", "as_json_", is_flag=True, help="The same as --format json.")
@click.option("--output", metavar="FILE", help="Write to a new file. Default: standard output.")
@click.option(
    "--sample",
    "size",
    metavar="N",
    type=click.IntRange(min=1),
    help="Write the ids of N random approvals instead of the report, for a person to check.",
)
@click.option(
    "--seed", metavar="N", type=int, help="A number that you choose: the same number draws the same sample."
)
@click.option(
    "--verdicts",
    metavar="FILE",
    help="Read the list of the sample with a verdict on each line, - for standard input.",
)
@click.pass_context
def report(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    month: Month,
    region: str | None,
    form: str,
    as_json_: bool,
    output: str | None,
    size: int | None,
    seed: int | None,
    verdicts: str | None,
) -> None:
    """Report a month for a regulator, from the evidence alone.

    The report has counts and rates by outcome, error code, type of document and region, times to decision, reviews and
    faults of the vendor, and nothing about a single person. A verification belongs to the month of its decision, in
    UTC. --format html is one page to print, without scripts.

    It needs EKYC_EVIDENCE_URL, the keys of the evidence if it is encrypted, and no Redis. With EKYC_LOG_KEY, or the
    public half of that key, it states the size and the root of each region's log, and compares the decisions with it:
    decisions of the month that are not logged, and decisions of the log that are not in the store, are counted.

    How often are persons approved that should not be? --sample 50 --seed 7 writes a list of 50 random approvals of the
    month, without their outcome, as CSV with an empty column `verdict` (with --json: as a JSON array). A person
    looks at the evidence of each, writes right, wrong or unsure, and hands the list back. The same command with
    --verdicts FILE then writes the report, with the rate of false acceptance and its confidence interval.

    Exit status: 0, also for a month without data; 1 some evidence could not be read, or is missing, or is not logged
    and the month is over, all of which the report counts, or the store does not answer; 2 invalid input.
    """
    now = datetime.now(UTC)
    if month.start > now:
        raise click.UsageError(f"--month {month} is in the future", ctx)
    if size is None and (seed is not None or verdicts):
        raise click.UsageError("--seed and --verdicts need --sample", ctx)
    if size is not None and seed is None:
        raise click.UsageError(
            "--sample needs --seed: choose a number and keep it, to read the verdicts later", ctx
        )
    form = "json" if as_json_ else form
    listing = size is not None and not verdicts
    if output is None and form == "html" and not listing and _is_terminal():
        raise click.UsageError("this is a page for a browser: pass --output FILE, or --format csv", ctx)
    settings = current()
    is_over = month.end <= now
    if size is not None and not is_over:
        click.echo(f"ekyc: {month} is not over: each approval that follows may change the sample", err=True)
    with _written(output) as write:
        regions = (region,) if region else REGIONS
        sample = Sample(size, seed, str(month)) if size is not None and seed is not None else None
        evidence = Evidence.from_settings(settings, must_exist=True)
        keys = LogKeys.parse(settings.log_key) if settings.log_key else None
        # A public half is enough.
        logged = checkpoints(evidence, keys, regions) if keys else ()
        reader = _read(evidence, month, regions, keys, sample)
        if listing and sample is not None:
            write(_list(sample, month, as_json=form == "json"))
        else:
            made = Report(
                month=month,
                regions=regions,
                computed_at=now,
                figures=reader.figures(),
                coverage=reader.coverage(),
                checkpoints=logged,
                acceptance=_acceptance(sample, month, verdicts) if sample and verdicts else None,
            )
            write(_FORMATS[form](made))
    if not reader.figures().decided and not reader.coverage().unreadable:
        click.echo(f"ekyc: no verification was decided in {month} in {', '.join(regions)}", err=True)
    ctx.exit(_status(reader.coverage(), month, is_over=is_over))


def _status(coverage: Coverage, month: Month, *, is_over: bool) -> int:
    """Return the exit status, and say what the log and the store disagree about."""
    verify = "run `ekyc evidence verify --all`, which names them"
    if count := coverage.missing:
        click.echo(f"ekyc: {_decisions(count)} of the log cannot be found in the store: {verify}", err=True)
    if count := coverage.not_logged:
        # In a month that goes on, a verification that has not ended is not logged yet.
        wait = "" if is_over else " yet"
        click.echo(
            f"ekyc: {_decisions(count)} of {month} cannot be found in the log{wait}: {verify}", err=True
        )
    is_wrong = coverage.unreadable or coverage.missing or (is_over and coverage.not_logged)
    return 1 if is_wrong else 0


def _decisions(count: int) -> str:
    return f"{count:,} decision{'s' * (count != 1)}"


def _read(
    evidence: Evidence, month: Month, regions: tuple[str, ...], keys: LogKeys | None, sample: Sample | None
) -> MonthReader:
    with closing(Reporter("reading", noun="verifications")) as reporter:
        faults = 0

        def say(unread: Unread) -> None:
            nonlocal faults
            faults += 1
            if faults <= NAMED:
                reporter.say(f"not read: {unread.region}/{unread.signature_id}: {unread.error}")

        logs = (
            {region: LogComparison(RegionLog(evidence.backend, region, keys)) for region in regions}
            if keys
            else None
        )
        reader = MonthReader(month, logs=logs, sample=sample, say=say, advance=reporter.advance)
        reader.read(evidence, regions)
        if faults:
            more = f", {NAMED} of them named above" if faults > NAMED else ""
            reporter.say(f"the evidence of {faults:,} verifications could not be read{more}")
    return reader


def _list(sample: Sample, month: Month, *, as_json: bool) -> str:
    """Return the list of a sample."""
    _check_size(sample, month)
    drawn = sample.drawn()
    if as_json:
        return (
            json.dumps(
                [{"region": each.region, "signature_id": each.signature_id} for each in drawn], indent=2
            )
            + "\n"
        )
    return dump_sample(drawn)


def _acceptance(sample: Sample, month: Month, verdicts: str) -> Acceptance:
    _check_size(sample, month)
    with opened(verdicts, option="--verdicts") as stream:
        return Acceptance.of(read_verdicts(stream, sample.drawn()), approvals=sample.offered)


def _check_size(sample: Sample, month: Month) -> None:
    """Raise ``InvalidInput`` if there are fewer approvals than the sample is to have."""
    if sample.offered < sample.size:
        if not sample.offered:
            raise InvalidInput(
                f"--sample {sample.size}: no verification was decided {APPROVE} in {month}: there is nothing to check"
            )
        were = "verification was" if sample.offered == 1 else "verifications were"
        raise InvalidInput(
            f"--sample {sample.size}: only {sample.offered} {were} decided {APPROVE} in {month}: "
            f"pass --sample {sample.offered} to check all of them"
        )


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def _written(output: str | None) -> Iterator[Callable[[str], object]]:
    """Yield a function that writes the result. A new file gets its name when the block has ended without an error.

    Raises ``InvalidInput`` if the file exists, before anything is read.
    """
    if output is None or output == "-":
        yield partial(click.echo, nl=False)
        return
    path = Path(output)
    with ExitStack() as opened_files:
        try:
            if _is_there(path):
                raise InvalidInput(f"--output {output} exists: give the name of a new file")
            file = opened_files.enter_context(new_file(path))
        except (OSError, ValueError) as error:
            problem = error.strerror if isinstance(error, OSError) else "this is not a file name"
            raise InvalidInput(f"--output {output}: {problem}") from None
        yield lambda text: file.write(text.encode())


def _is_there(path: Path) -> bool:
    """Return whether there is anything under a name. Raises ``OSError`` and ``ValueError`` for what is not a name."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True
