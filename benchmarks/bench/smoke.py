"""Every contender, profile and target once with a few verifications: counts must agree, and speed is no matter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.bench.ground import ending, ground
from benchmarks.bench.profile import CPU, PROFILES, REAL
from benchmarks.bench.rounds import FAILURES, line
from benchmarks.bench.run import Run
from benchmarks.bench.sitting import first_variants
from benchmarks.bench.targets import claim, enqueue, events, nudge
from benchmarks.bench.targets.synced import synced
from benchmarks.bench.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.bench.profile import Profile
    from benchmarks.bench.rounds import Entry

_COUNT: Final = 20
#: Generous: other work on the machine is no fault.
_WITHIN_S: Final = 180.0
_WAITING: Final = (40, 80)
_SETTLE_S: Final = 0.4

#: The contenders that the short version also runs with synced files, and with waiting verifications.
_SHORT: Final = 2

#: Side by side: mostly they start up.
_AT_ONCE: Final = 3


def smoke(entries: Sequence[Entry], where: Path, tell: Callable[[str], None], *, short: bool) -> list[str]:
    """Return what did not work, or did not agree. `short`: what differs between contenders once for each, no more."""
    faults: list[str] = []

    def check(name: str, part: Callable[[], list[str]]) -> None:
        try:
            faults.extend(f"{name}: {fault}" for fault in part())
        except FAILURES as error:
            faults.append(f"{name}: {error}")

    firsts = first_variants(entries)
    parts: list[tuple[str, Callable[[], list[str]]]] = [("targets", partial(_targets, where, tell))]
    for entry in firsts if short else entries:
        profiles = list(PROFILES.values()) if entry in firsts else [REAL]
        parts.append((entry.name, partial(_profiles, entry, profiles, where, tell)))
    further = firsts[:_SHORT] if short else firsts
    parts += [(entry.name, partial(_profiles, entry, [CPU], where, tell)) for entry in map(synced, further)]
    parts += [(f"{entry.name}, waiting", partial(_waiting, entry, where, tell)) for entry in further]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        checks = [pool.submit(check, *part) for part in parts]
        try:
            for done in as_completed(checks):
                done.result()
        except BaseException:
            ending.set()
            pool.shutdown(cancel_futures=True)
            raise
    return faults


def _profiles(
    entry: Entry, profiles: Sequence[Profile], where: Path, tell: Callable[[str], None]
) -> list[str]:
    """All on one ground: starting takes longer than running."""
    faults = []
    with ground(where) as fresh:
        run = Run(fresh, entry.contender, entry.variant)
        run.start(profiles[0], count=2, for_s=0.0)
        for profile in profiles:
            figures = run.let_through(profile, _COUNT, within_s=_WITHIN_S)
            tell(f"smoke · {profile.name} · {entry.name}: {line(figures)}")
            faults += [f"{profile.name}: {fault}" for fault in figures.disagreements]
    return faults


def _waiting(entry: Entry, where: Path, tell: Callable[[str], None]) -> list[str]:
    waiting = Waiting(entry, (_WITHIN_S, _WITHIN_S), 0.0, _SETTLE_S, where, tell)
    waiting.play(_WAITING)
    return [
        step.failure or f"{step.settled.decided} of {step.settled.asked} settled"
        for step in waiting.steps
        if step.failure or step.settled.decided < step.settled.asked
    ]


def _targets(where: Path, tell: Callable[[str], None]) -> list[str]:
    enqueue.measure(where, rounds=1, counts=(50, 50), tell=tell)
    claim.measure(where, few=100, many=500, rounds=1, claims=3, tell=tell)
    events.measure(where, rounds=1, seconds=0.2, warm_s=0.0, tell=tell)
    nudge.measure(where, count=2, warm_s=0.0, tell=tell)
    return []
