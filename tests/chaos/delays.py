"""The delays caused by crashes: the time from a crash until the verification is started again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tests.chaos.faults import CRASHES, DEATHS
from tests.chaos.leases import Step
from tests.chaos.watch import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.chaos.driver import Run
    from tests.chaos.faults import Injected
    from tests.chaos.leases import Deed
    from tests.chaos.state import Moment
    from tests.chaos.watch import Key

#: A message may be on its way to a dead worker, so a lease may begin this long after the fault that ended it.
_SLACK_MS: Final = 1000

#: A message that was not started by then was not lost with a dead worker. In two short runs with all their faults the
#: longest time from a claim to a start was 1.5 s; one in a thousand took more than 1.1 s.
_IN_HANDS_MS: Final = 10_000

#: Redelivered messages may be queued before a needed one.
_FLOOD: Final = "redelivery"


@dataclass(frozen=True, slots=True)
class Delay:
    """A lease that ended without an outcome, with the following leases that ended before a worker started.

    Parameters:
      crashes: the faults that may have ended it, the earliest first; empty: no injected fault.
      delay_s: seconds from the earliest fault, or from the holder's last sign of life if that is later, until a worker
        started the verification, or until a further fault interrupted it again. The time in which Valkey was
        unavailable or the machine stalled does not count; nor, for polling, the time in which the region was on hold
        or, once the lease had ended, half-open. None: it was never started again.
      unexplained: how many of the leases no fault explains.
      cut_off: True if a further fault ended the delay. The next delay of this verification is from that fault.
    """

    key: Key
    crashes: tuple[Injected, ...]
    delay_s: float | None
    unexplained: int = 0
    cut_off: bool = False

    @property
    def after(self) -> str:
        """The fault from which the delay is counted."""
        return self.crashes[0].strike.fault if self.crashes else "no fault"


@dataclass(frozen=True, slots=True)
class _Lapse:
    """A lease that ended: when, since when there was no sign of life, and the faults that may have ended it."""

    ended_ms: int
    from_ms: int
    crashes: tuple[Injected, ...]
    explained: bool
    polling: bool


def delays(run: Run) -> list[Delay]:
    """Return every delay of a run, from the ledger and from the leases in Valkey's append-only file."""
    return [delay for key in run.state.records for delay in _delays(run, key)]


def longest_way(found: Iterable[Delay]) -> float:
    """Return the longest total delay of a verification by consecutive faults, in seconds."""
    longest, total = 0.0, 0.0
    for delay in found:
        total += delay.delay_s or 0.0
        longest = max(longest, total)
        if not delay.cut_off:
            total = 0.0
    return longest


def longest_due(run: Run) -> float:
    """Return the longest time that a verification was due and claimable, in seconds."""
    waits = (ms for key, steps in run.state.deeds.items() for ms in _claimable_ms(run, key[0], steps))
    return max(waits, default=0) / 1000


def _delays(run: Run, key: Key) -> Iterator[Delay]:
    deeds = run.state.deeds.get(key, [])
    begun = [deed.at_ms for deed in deeds if deed.step is Step.BEGUN]
    lapses = [
        _lapse(run, moment, deeds)
        for moment in run.state.records[key].timeline
        if moment.event == "lease_expired"
    ]
    while lapses:
        first, *lapses = lapses
        unexplained = 0 if first.explained else 1
        until_ms = min((at_ms for at_ms in begun if at_ms >= first.ended_ms), default=None)
        cut_off = False
        while lapses and not cut_off and (until_ms is None or lapses[0].ended_ms <= until_ms):
            if cut_off := lapses[0].explained:
                until_ms = lapses[0].from_ms
            else:
                unexplained += 1
                lapses = lapses[1:]
        delay = Delay(key, first.crashes, None, unexplained, cut_off)
        if until_ms is not None:
            whole = Span(first.from_ms, until_ms)
            excused = _excused(run, key[0], polling=first.polling)
            if first.polling:
                # Only from the end of its lease: before, the dead worker held it, perhaps as the probe itself.
                trials = run.sights.half_open.get(key[0], [])
                excused += [
                    Span(max(trial.begin_ms, first.ended_ms), trial.end_ms)
                    for trial in trials
                    if trial.end_ms > first.ended_ms
                ]
            left_ms = until_ms - first.from_ms - _covered_ms(whole, excused)
            delay = replace(delay, delay_s=left_ms / 1000)
        yield delay


def _lapse(run: Run, moment: Moment, deeds: Sequence[Deed]) -> _Lapse:
    # A sign of life renews the lease. The lease that ended is the last that could have expired by then: a later one
    # belongs to the next holder, perhaps by the same script that found the expired lease.
    lease_ms = round(run.profile.lease_s * 1000)
    alive_ms = max(
        deed.at_ms for deed in deeds if deed.step is not Step.DUE and deed.at_ms + lease_ms <= moment.at_ms
    )
    meanwhile = Span(alive_ms - _SLACK_MS, moment.at_ms)
    faults = sorted(
        (fault for fault in run.injected if fault.span.meets(meanwhile)),
        key=lambda fault: fault.span.begin_ms,
    )
    in_flight = Span(meanwhile.begin_ms, min(alive_ms + _IN_HANDS_MS, moment.at_ms))
    causes = tuple(fault for fault in faults if _may_end(fault, moment.worker, in_flight))
    return _Lapse(
        moment.at_ms,
        max(alive_ms, causes[0].span.begin_ms) if causes else alive_ms,
        causes,
        bool(causes)
        or any(fault.strike.fault == _FLOOD for fault in faults)
        or any(stall.meets(meanwhile) for stall in run.sights.stalls),
        moment.detail == "polling",
    )


def _may_end(injected: Injected, worker: str, in_flight: Span) -> bool:
    """Return whether a fault may have ended a lease.

    Of the deaths of workers only that of `worker`, if one had started the batch; else any during `in_flight`.
    """
    if injected.strike.fault not in DEATHS:
        return injected.strike.fault in CRASHES
    if worker:
        return worker.partition("@")[0] == str(injected.pid)
    return injected.span.meets(in_flight)


def _claimable_ms(run: Run, region: str, deeds: Sequence[Deed]) -> Iterator[int]:
    """Yield for each claim how many ms earlier it could have been made, counted from the earliest due time."""
    since_ms, stage = None, ""
    for deed in deeds:
        if deed.step is Step.DUE:
            since_ms, stage = min(deed.at_ms, since_ms or deed.at_ms), deed.stage
        elif deed.step is Step.CLAIMED and since_ms is not None:
            excused = _excused(run, region, polling=stage == "polling")
            if stage == "polling":
                excused += run.sights.half_open.get(region, [])
            yield deed.at_ms - since_ms - _covered_ms(Span(since_ms, deed.at_ms), excused)
            since_ms = None


def _excused(run: Run, region: str, *, polling: bool) -> list[Span]:
    """Return the spans in which nothing could be claimed: for polling, also the holds of the region."""
    away = [
        injected.span
        for injected in run.injected
        if injected.strike.fault in {"valkey_killed", "valkey_frozen"}
    ]
    return away + run.sights.stalls + (run.sights.holds.get(region, []) if polling else [])


def _covered_ms(span: Span, others: Iterable[Span]) -> int:
    """Return how many ms of `span` the others cover together."""
    covered, at_ms = 0, span.begin_ms
    for other in sorted(others, key=lambda other: other.begin_ms):
        covered += Span(max(at_ms, other.begin_ms), other.end_ms).overlap_ms(span)
        at_ms = max(at_ms, other.end_ms)
    return covered
