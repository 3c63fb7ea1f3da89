"""`ekyc poll-plan`: when a verification would be polled, and what a load means. Nobody is asked, not even Redis."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from worker.cli.options import json_option
from worker.cli.plan import Plan
from worker.cli.time_format import seconds
from worker.policy.simulation import Span, Traffic
from worker.policy.simulation.timetable import timetable
from worker.policy.simulation.workload import Cost, load
from worker.settings import current

if TYPE_CHECKING:
    from worker.policy.simulation.workload import Load
    from worker.settings import Settings

#: What 95 % of users or answers take, in medians: about what docs/schedule.md assumes.
TAIL: Final = 3.0

#: Where the user is not done before the enqueue, as docs/schedule.md assumes it.
ABANDONED: Final = 0.25

DAY_S: Final = 86_400.0

#: More than anybody would mean, so that `inf` is none.
MOST: Final = 1e9


def duration(ctx: click.Context, param: click.Parameter, given: str) -> float:
    """A callback for an option: how many seconds it means, a day at most."""
    try:
        found_s = seconds(given)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    if found_s > DAY_S:
        raise click.BadParameter("must be a day at most", ctx, param)
    return found_s


def above_zero(ctx: click.Context, param: click.Parameter, given: float | None) -> float | None:
    """A callback for an option: a number above zero. `nan` and `inf` are none."""
    if given is not None and not 0 < given <= MOST:
        raise click.BadParameter("must be above 0, and a thousand million at most", ctx, param)
    return given


def share(ctx: click.Context, param: click.Parameter, given: float | None) -> float | None:
    """A callback for an option in per cent: as a share."""
    if given is not None and not 0 <= given <= 100:  # noqa: PLR2004 - per cent
        raise click.BadParameter("must be 0 to 100", ctx, param)
    return None if given is None else given / 100


@click.command("poll-plan")
@click.option(
    "--per-second",
    type=float,
    callback=above_zero,
    metavar="N",
    help="A load: enqueued a second, in one region.",
)
@click.option(
    "--per-day",
    type=float,
    callback=above_zero,
    metavar="N",
    help="The same in a day: an average, peaks are higher.",
)
@click.option(
    "--user",
    "user_s",
    metavar="TIME",
    default="2m",
    show_default=True,
    callback=duration,
    help="Half of all users are done so soon after the enqueue, 95 % in three times that. 0s: they are by then.",
)
@click.option(
    "--vendor",
    "vendor_s",
    metavar="TIME",
    default="6s",
    show_default=True,
    callback=duration,
    help="Half of all answers come so soon after that, 95 % in three times that.",
)
@click.option(
    "--abandoned",
    type=float,
    callback=share,
    metavar="PERCENT",
    help=f"How many users in a hundred never finish. Default: {ABANDONED:.0%}, with --user 0s none.",
)
@click.option("--told", is_flag=True, help="The pipeline calls `nudge` when a user is done.")
@click.option(
    "--poll-ms",
    type=float,
    callback=above_zero,
    metavar="MS",
    default=1.0,
    show_default=True,
    help="A worker's processor time for a poll; measured in docs/adr/0002-batches.md.",
)
@click.option(
    "--decision-ms",
    type=float,
    callback=above_zero,
    metavar="MS",
    default=2.0,
    show_default=True,
    help="The same for archiving and deciding; measured in docs/benchmarks.md.",
)
@json_option
@click.pass_context
def poll_plan(  # noqa: PLR0913 - each is an option
    ctx: click.Context,
    *,
    per_second: float | None,
    per_day: float | None,
    user_s: float,
    vendor_s: float,
    abandoned: float | None,
    told: bool,
    poll_ms: float,
    decision_ms: float,
    as_json: bool,
) -> None:
    """Show when a verification is polled, and what a load means.

    It plays the workers' own policy under the settings of the environment; Redis and the vendor are not asked.
    First the expected time of each poll, and between what it lies; with --per-second or --per-day also what that
    load comes to, all else as assumed by the options. docs/schedule.md says what the assumptions leave out.

    With --json: first_s, factor, cap_s, deadline_s and rate as set; user_at_it and user_done (for each poll
    earliest_s, expected_s, latest_s, since the enqueue or since the user is done); load (null, or per_second,
    polls_each, calls_per_second, delay_median_s, delay_p95_s, waits_s, waiting, redis_bytes, workers,
    rate_suffices).

    Exit status: 0 all is well, 1 EKYC_RATE is too small for the load, 2 what was given is wrong.
    """
    if per_second and per_day:
        raise click.UsageError("give --per-second or --per-day, not both", ctx)
    settings = current()
    if abandoned is None:
        abandoned = ABANDONED if user_s else 0.0
    traffic = Traffic(_span(user_s), _span(vendor_s), abandoned=abandoned, told=told)
    plan = Plan(
        settings,
        timetable(settings, submitted=False),
        timetable(settings, submitted=True),
        _load(settings, traffic, per_second or (per_day or 0.0) / DAY_S),
        Cost(poll_ms, decision_ms),
    )
    click.echo(json.dumps(plan.as_json()) if as_json else "\n".join(plan.lines()))
    ctx.exit(0 if plan.rate_suffices else 1)


def _span(median_s: float) -> Span:
    return Span(median_s, TAIL * median_s)


def _load(settings: Settings, traffic: Traffic, per_second: float) -> Load | None:
    return load(settings, traffic, per_second) if per_second else None
