"""`ekyc poll-plan`: when a verification would be polled, and what a load costs. It makes no calls."""

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

#: The 95th percentile of a time, in medians: about what docs/schedule.md assumes.
TAIL: Final = 3.0

#: The default share of users who never finish, as in docs/schedule.md. With `--user 0s` it is 0.
ABANDONED: Final = 0.25

DAY_S: Final = 86_400.0

#: An upper limit that also excludes `inf`.
MOST: Final = 1e9


def duration(ctx: click.Context, param: click.Parameter, given: str) -> float:
    """Return an option's value in seconds, at most a day. A callback for click."""
    try:
        found_s = seconds(given)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    if found_s > DAY_S:
        raise click.BadParameter("must be at most a day", ctx, param)
    return found_s


def above_zero(ctx: click.Context, param: click.Parameter, given: float | None) -> float | None:
    """Check that an option's value is above zero, and not `nan` or `inf`. A callback for click."""
    if given is not None and not 0 < given <= MOST:
        raise click.BadParameter("must be above 0 and at most 1000000000", ctx, param)
    return given


def share(ctx: click.Context, param: click.Parameter, given: float | None) -> float | None:
    """Return an option in per cent as a share. A callback for click."""
    if given is not None and not 0 <= given <= 100:  # noqa: PLR2004 - per cent
        raise click.BadParameter("must be 0 to 100", ctx, param)
    return None if given is None else given / 100


@click.command("poll-plan")
@click.option(
    "--per-second",
    type=float,
    callback=above_zero,
    metavar="N",
    help="The load: verifications enqueued per second, in one region.",
)
@click.option(
    "--per-day",
    type=float,
    callback=above_zero,
    metavar="N",
    help="The load per day: an average, peaks are higher.",
)
@click.option(
    "--user",
    "user_s",
    metavar="TIME",
    default="2m",
    show_default=True,
    callback=duration,
    help="Median time from the enqueue until the user is done; 95 % take at most three times that. 0s: done by then.",
)
@click.option(
    "--vendor",
    "vendor_s",
    metavar="TIME",
    default="6s",
    show_default=True,
    callback=duration,
    help="Median time from then until the vendor has the result; 95 % take at most three times that.",
)
@click.option(
    "--abandoned",
    type=float,
    callback=share,
    metavar="PERCENT",
    help=f"How many users in a hundred never finish. Default: {ABANDONED:.0%}, or none with --user 0s.",
)
@click.option("--told", is_flag=True, help="The pipeline calls `nudge` when a user is done.")
@click.option(
    "--poll-ms",
    type=float,
    callback=above_zero,
    metavar="MS",
    default=1.0,
    show_default=True,
    help="CPU time of a worker for a poll; measured in docs/adr/0002-batches.md.",
)
@click.option(
    "--decision-ms",
    type=float,
    callback=above_zero,
    metavar="MS",
    default=2.0,
    show_default=True,
    help="CPU time of a worker for archiving and deciding; measured in docs/benchmarks.md.",
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
    """Show when a verification is polled, and what a load costs.

    It simulates the workers' own policy with the settings of the environment, without calls to Redis or the vendor.
    It prints the expected time of each poll with its range; with --per-second or --per-day also what that load costs
    under the assumptions of the other options. docs/schedule.md explains what the assumptions leave out.

    With --json: first_s, factor, cap_s, deadline_s and rate as set; user_at_it and user_done (for each poll
    earliest_s, expected_s, latest_s, since the enqueue or since the user is done); load (null, or per_second,
    polls_each, calls_per_second, delay_median_s, delay_p95_s, waits_s, waiting, redis_bytes, workers,
    rate_suffices).

    Exit status: 0 success, 1 EKYC_RATE is too small for the load, 2 invalid input.
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
