"""The output of `ekyc poll-plan`, as text and as JSON: a timetable of polls, and the cost of a load."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import zip_longest
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from worker.cli.time_format import span
from worker.policy.simulation.workload import BUSY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.policy.simulation import Figures
    from worker.policy.simulation.timetable import Moment
    from worker.policy.simulation.workload import Cost, Load
    from worker.settings import Settings

#: The most memory of Redis that a waiting verification takes, without context. The README promises it.
WAITING_BYTES: Final = 400

_MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """The result of `ekyc poll-plan`. `load` is None if none was given."""

    settings: Settings
    unsubmitted: list[Moment]
    submitted: list[Moment]
    load: Load | None
    cost: Cost

    @property
    def rate_suffices(self) -> bool:
        """Whether EKYC_RATE allows the load."""
        rate = self.settings.rate
        return self.load is None or rate is None or self.load.calls_per_second <= rate

    def as_json(self) -> dict[str, Any]:
        """The keys that the help of `ekyc poll-plan` names."""
        return {
            "first_s": self.settings.poll_first_s,
            "factor": self.settings.poll_factor,
            "cap_s": self.settings.poll_cap_s,
            "deadline_s": self.settings.poll_deadline_s,
            "rate": self.settings.rate,
            "user_at_it": _moments(self.unsubmitted),
            "user_done": _moments(self.submitted),
            "load": self._load_as_json(self.load) if self.load else None,
        }

    def lines(self) -> Iterator[str]:
        """The timetable, and the load below it."""
        yield f"{'poll':>5}  {'until the user is done':<40}  after the user is done"
        for number, moments in enumerate(zip_longest(self.unsubmitted, self.submitted), start=1):
            yield f"{number:>5}  {_when(moments[0]):<40}  {_when(moments[1])}".rstrip()
        yield ""
        deadline = span(self.settings.poll_deadline_s)
        yield f"At the deadline, {deadline} after the enqueue, a verification is polled for the last time and decided."
        if self.load:
            yield ""
            yield from self._load_lines(self.load)

    def _load_as_json(self, load: Load) -> dict[str, Any]:
        figures = load.figures
        return {
            "per_second": round(load.per_second, 6),
            "polls_each": round(figures.polls, 3),
            "calls_per_second": round(load.calls_per_second, 3),
            "delay_median_s": round(figures.median_s, 3) if isfinite(figures.median_s) else None,
            "delay_p95_s": round(figures.p95_s, 3) if isfinite(figures.p95_s) else None,
            "waits_s": round(figures.waits_s, 3),
            "waiting": round(load.waiting),
            "redis_bytes": round(load.waiting) * WAITING_BYTES,
            "workers": load.workers(self.cost),
            "rate_suffices": self.rate_suffices,
        }

    def _load_lines(self, load: Load) -> Iterator[str]:
        yield f"{_number(load.per_second)} enqueued a second:"
        yield f"  vendor calls  {_number(load.calls_per_second)} a second: {load.figures.polls:.1f} for each"
        yield f"  delay         {_delay(load.figures)}"
        megabytes = load.waiting * WAITING_BYTES / _MEGABYTE
        yield f"  waiting       {load.waiting:,.0f} at any time, {megabytes:,.1f} MB of Redis"
        yield (
            f"  workers       {load.workers(self.cost):,}, busy for {BUSY:.0%} of the time at most: "
            f"{self.cost.poll_ms:g} ms for a poll, {self.cost.decision_ms:g} ms for a decision"
        )
        if not self.rate_suffices:
            yield (
                f"EKYC_RATE={self.settings.rate:g} is too small: this takes {_number(load.calls_per_second)} calls a "
                "second, so due verifications would wait longer and longer"
            )


def _number(value: float) -> str:
    """Format a number with four significant digits, and all digits before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - four digits


def _when(moment: Moment | None) -> str:
    if moment is None:
        return ""
    if moment.earliest_s == moment.latest_s:
        return span(moment.expected_s)
    return f"{span(moment.expected_s)} ({span(moment.earliest_s)} to {span(moment.latest_s)})"


def _delay(figures: Figures) -> str:
    if not isfinite(figures.median_s):
        return "none: the vendor answers no verification before the deadline"
    late = f"{span(figures.median_s)} (median), {span(figures.p95_s)} (95 %)"
    return f"{late} from the vendor's answer to the poll that finds it"


def _moments(moments: list[Moment]) -> list[dict[str, float]]:
    return [{name: round(at_s, 3) for name, at_s in asdict(moment).items()} for moment in moments]
