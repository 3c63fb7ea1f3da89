"""A plan of polls as people and machines read it: a timetable, and what a load comes to."""

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

#: What a waiting verification takes of Redis at most, without context: a promise of the README.
WAITING_BYTES: Final = 400

_MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What `ekyc poll-plan` has found out. `load` is None where none was given."""

    settings: Settings
    unsubmitted: list[Moment]
    submitted: list[Moment]
    load: Load | None
    cost: Cost

    @property
    def rate_suffices(self) -> bool:
        """Whether EKYC_RATE lets the load through."""
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
        yield f"{'poll':>5}  {'while the user is at it':<40}  from when the user is done"
        for number, moments in enumerate(zip_longest(self.unsubmitted, self.submitted), start=1):
            yield f"{number:>5}  {_when(moments[0]):<40}  {_when(moments[1])}".rstrip()
        yield ""
        deadline = span(self.settings.poll_deadline_s)
        yield f"At the deadline, {deadline} after the enqueue, it is polled for the last time and decided."
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
                "second; with less, what is due waits ever longer"
            )


def _number(value: float) -> str:
    """Four digits that count, and all before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - four digits


def _when(moment: Moment | None) -> str:
    if moment is None:
        return ""
    if moment.earliest_s == moment.latest_s:
        return span(moment.expected_s)
    return f"{span(moment.expected_s)} ({span(moment.earliest_s)} to {span(moment.latest_s)})"


def _delay(figures: Figures) -> str:
    if not isfinite(figures.median_s):
        return "none: nobody is answered before the deadline"
    late = f"{span(figures.median_s)} (median), {span(figures.p95_s)} (95 %)"
    return f"{late} from the vendor's answer to the poll that finds it"


def _moments(moments: list[Moment]) -> list[dict[str, float]]:
    return [{name: round(at_s, 3) for name, at_s in asdict(moment).items()} for moment in moments]
