"""`ekyc poll-plan`: when a verification would be polled. It uses neither Redis nor the vendor."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import zip_longest
from typing import TYPE_CHECKING

import click

from worker.cli.options import json_option
from worker.policy.simulation import timetable
from worker.policy.time_format import span
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.policy.simulation import Moment
    from worker.settings import Settings


@click.command("poll-plan")
@json_option
def poll_plan(*, as_json: bool) -> None:
    """Show when a verification is polled.

    The command applies the policy of the workers, under the settings of the environment; it uses neither Redis
    nor the vendor. It prints the expected time of each poll and its range: while the user has not submitted, and
    from the submission on. docs/scale.md says how many workers a load needs.

    With --json: first_s, factor, cap_s and deadline_s as set; user_at_it and user_done (for each poll earliest_s,
    expected_s, latest_s, since the enqueue or since the submission).

    Exit status: 0 success, 2 invalid settings.
    """
    settings = current()
    unsubmitted, submitted = (timetable(settings, submitted=done) for done in (False, True))
    if as_json:
        click.echo(json.dumps(_as_json(settings, unsubmitted, submitted)))
    else:
        click.echo("\n".join(_lines(settings, unsubmitted, submitted)))


def _as_json(settings: Settings, unsubmitted: list[Moment], submitted: list[Moment]) -> dict[str, object]:
    return {
        "first_s": settings.poll_first_s,
        "factor": settings.poll_factor,
        "cap_s": settings.poll_cap_s,
        "deadline_s": settings.poll_deadline_s,
        "user_at_it": _rounded(unsubmitted),
        "user_done": _rounded(submitted),
    }


def _lines(settings: Settings, unsubmitted: list[Moment], submitted: list[Moment]) -> Iterator[str]:
    yield f"{'poll':>5}  {'until the user is done':<40}  after the user is done"
    for number, moments in enumerate(zip_longest(unsubmitted, submitted), start=1):
        yield f"{number:>5}  {_when(moments[0]):<40}  {_when(moments[1])}".rstrip()
    yield ""
    deadline = span(settings.poll_deadline_s)
    yield f"At the deadline, {deadline} after the enqueue, a verification is polled for the last time and decided."


def _when(moment: Moment | None) -> str:
    if moment is None:
        return ""
    if moment.earliest_s == moment.latest_s:
        return span(moment.expected_s)
    return f"{span(moment.expected_s)} ({span(moment.earliest_s)} to {span(moment.latest_s)})"


def _rounded(moments: list[Moment]) -> list[dict[str, float]]:
    return [{name: round(at_s, 3) for name, at_s in asdict(moment).items()} for moment in moments]
