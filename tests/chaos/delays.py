"""What crashes cost: for every lease that ended, how long its verification lay before somebody took it up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.faults import CRASHES
from tests.chaos.watch import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.chaos.driver import Run
    from tests.chaos.faults import Injected
    from tests.chaos.watch import Key

#: A message may be on its way to a worker that is dead already: by so much a lease may begin after what ended it.
_SLACK_MS = 1000


@dataclass(frozen=True, slots=True)
class Delay:
    """A lease that ended without an outcome.

    Parameters:
      crashes: the faults that may have ended it, the earliest first; none: nothing that was injected.
      delay_s: from the earliest, or from the holder's last sign of life where that came later, until somebody else took
        the verification up; less the time for which Valkey was away or, while it is polled, its region rested.
        None: nobody ever did.
    """

    key: Key
    crashes: tuple[Injected, ...]
    delay_s: float | None

    @property
    def after(self) -> str:
        """The fault that the delay is counted from."""
        return self.crashes[0].strike.fault if self.crashes else "no fault"


def delays(run: Run) -> list[Delay]:
    """Every ended lease of a run, from the ledger and from what Valkey wrote down of its leases."""
    crashes = sorted(
        (one for one in run.injected if one.strike.fault in CRASHES), key=lambda one: one.span.begin_ms
    )
    away = [one.span for one in run.injected if one.strike.fault in {"valkey_killed", "valkey_frozen"}]
    lease_ms = round(run.profile.lease_s * 1000)
    found = []
    for key, record in run.state.records.items():
        leases = run.state.leases.get(key, [])
        for moment in record.timeline:
            if moment.event == "lease_expired":
                # While its region rests nobody may poll it.
                rests = run.sights.rests.get(key[0], []) if moment.detail == "polling" else []
                found.append(_delay(key, moment.at_ms, leases, crashes, [*away, *rests], lease_ms))
    return found


def _delay(  # noqa: PLR0917 - one ended lease and all that is known around it
    key: Key,
    ended_ms: int,
    leases: Sequence[int],
    crashes: Sequence[Injected],
    excused: Sequence[Span],
    lease_ms: int,
) -> Delay:
    # A lease begins anew with every sign of life. The one that ended is the last that could be over by then: one that
    # began later is that of whoever took the verification up, perhaps in the very script that saw it end.
    alive_ms = max(began_ms for began_ms in leases if began_ms + lease_ms <= ended_ms)
    causes = tuple(
        one for one in crashes if one.span.end_ms >= alive_ms - _SLACK_MS and one.span.begin_ms <= ended_ms
    )
    taken_up_ms = min((began_ms for began_ms in leases if began_ms >= ended_ms), default=None)
    if taken_up_ms is None:
        return Delay(key, causes, None)
    from_ms = max(alive_ms, causes[0].span.begin_ms) if causes else alive_ms
    lain = Span(from_ms, taken_up_ms)
    return Delay(key, causes, (taken_up_ms - from_ms - _covered_ms(lain, excused)) / 1000)


def _covered_ms(span: Span, others: Iterable[Span]) -> int:
    """How much of `span` others cover, together."""
    covered, at_ms = 0, span.begin_ms
    for other in sorted(others, key=lambda one: one.begin_ms):
        covered += Span(max(at_ms, other.begin_ms), other.end_ms).overlap_ms(span)
        at_ms = max(at_ms, other.end_ms)
    return covered
