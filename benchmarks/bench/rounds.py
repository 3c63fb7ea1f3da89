"""The rounds: every contender in every profile, again and again, each time in another order."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from benchmarks.bench.failure import BenchFailed
from benchmarks.bench.ground import ground
from benchmarks.bench.run import Run
from sandbox.demo.failure import DemoFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.bench.contender import Contender, Variant
    from benchmarks.bench.profile import Profile
    from benchmarks.bench.run import Figures

#: What ends one run and not the benchmark.
FAILURES: Final = (BenchFailed, DemoFailed)

#: A variant that is slower than this part of its contender's best in the first round sits out the others.
SITS_OUT_BELOW: Final = 0.8

#: Verifications by which a contender warms up, and whose CPU says how many make a run as long as it should be.
_PILOT: Final = 200
WARM_S: Final = 4.0

#: Fewer say little about a rate, and more fill the disk: 120 kB each.
_FEWEST: Final = 400
_MOST: Final = 6000

#: The part of its planned time that a run must take.
_LONG_ENOUGH: Final = 0.8

#: How much longer than planned a run may take before it counts as not finished, and how long in any case.
_PATIENCE: Final = 8
_PATIENCE_S: Final = 60.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender in one of its variants."""

    contender: Contender
    variant: Variant

    @property
    def name(self) -> str:
        return f"{self.contender.name} ({self.variant.name})"


@dataclass(slots=True)
class Rounds:
    """Runs them, and keeps what they came to.

    Parameters:
      seconds: how long a run should take, about.
      where: a folder for what they write meanwhile.
      tell: is given a line for each run.
    """

    entries: Sequence[Entry]
    profiles: Sequence[Profile]
    seconds: float
    where: Path
    tell: Callable[[str], None]
    runs: list[dict[str, Any]] = field(default_factory=list)

    def play(self, rounds: int) -> None:
        for number in range(rounds):
            for profile in self.profiles:
                playing = [entry for entry in self.entries if not self.sits_out(entry, profile)]
                for entry in rotated(playing, number):
                    self._run(entry, profile, number + 1)

    def sits_out(self, entry: Entry, profile: Profile) -> bool:
        """Whether another variant of the same contender was so much better that this one cannot count."""
        first: dict[str, float] = {
            run["variant"]: run.get("per_s", 0.0)
            for run in reversed(self.runs)
            if (run["contender"], run["profile"]) == (entry.contender.name, profile.name)
        }
        pace = first.get(entry.variant.name)
        return pace is not None and pace < SITS_OUT_BELOW * max(first.values())

    def _run(self, entry: Entry, profile: Profile, number: int) -> None:
        what = f"round {number} · {profile.name} · {entry.name}"
        outcome: dict[str, Any]
        try:
            figures = run_once(entry, profile, self.seconds, self.where)
        except FAILURES as error:
            said = str(error).splitlines()[0]
            self.tell(f"{what}: {said}")
            outcome = {
                "contender": entry.contender.name,
                "variant": entry.variant.name,
                "profile": profile.name,
                "failure": said,
            }
        else:
            self.tell(f"{what}: {line(figures)}")
            outcome = figures.as_json()
        self.runs.append(outcome | {"round": number})


def run_once(entry: Entry, profile: Profile, seconds: float, where: Path) -> Figures:
    """One run on fresh ground. Raises one of ``FAILURES``."""
    # What earlier runs left to the kernel to write goes first, or this one would share its disk.
    os.sync()
    with ground(where) as fresh:
        run = Run(fresh, entry.contender, entry.variant)
        pilot = run.start(profile, count=_PILOT, for_s=WARM_S)
        # Not by its rate: two hundred that wait three seconds each pass in three seconds, and so may two thousand.
        count = min(max(_FEWEST, round(pilot.at_most_per_s * seconds)), _MOST)
        while True:
            figures = run.let_through(profile, count, within_s=max(_PATIENCE_S, seconds * _PATIENCE))
            # Few that wait cost more each than many that do. A run that was short says little: once more, and longer.
            if count == _MOST or figures.seconds >= (seconds + profile.waits_s) * _LONG_ENOUGH:
                return figures
            count = min(2 * count, _MOST)


def line(figures: Figures) -> str:
    odd = f", BUT {', '.join(figures.disagreements)}" if figures.disagreements else ""
    each_ms = figures.cpu_s / figures.count * 1000
    return f"{figures.per_s:.0f} a second, {each_ms:.1f} ms of CPU each{odd}"


def rotated(items: Sequence[_T], turns: int) -> list[_T]:
    """The same in another order: whoever was first comes last."""
    start = turns % len(items) if items else 0
    return [*items[start:], *items[:start]]
