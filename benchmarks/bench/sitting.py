"""One sitting: the parts that were asked for, one after the other, each kept as soon as it is done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench import needs, results
from benchmarks.bench.profile import PROFILES, WAITING
from benchmarks.bench.rounds import FAILURES, WARM_S, Rounds
from benchmarks.bench.targets import claim, enqueue, events, nudge, synced
from benchmarks.bench.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.bench.results import Results
    from benchmarks.bench.rounds import Entry

TARGETS: Final = ("enqueue", "claim", "events", "synced", "nudge")

#: What may be asked for.
PARTS: Final = (*PROFILES, *TARGETS, WAITING.name)

#: How long it may take until the first number waits, and until each further one does, in seconds. With 100,000 who
#: takes up fewer than 500 a second is stopped, and shown with the rate until then.
_WAITING_WITHIN_S: Final = (200.0, 900.0)
_SETTLE_S: Final = 20.0

#: Enqueued in a round by ours and by plain Celery: a second or more of each.
_ENQUEUED: Final = (50_000, 5_000)

_CLAIMS: Final = 200
_FEW: Final = 1_000
_NUDGED: Final = 60


@dataclass(frozen=True, slots=True)
class Sitting:
    """Measures.

    Parameters:
      rounds, seconds: of profiles and targets; see ``Rounds``.
      numbers: how many wait in the profile `waiting`, ascending; the last is also that of the claims.
      output: where results are kept, beside what is there already.
    """

    entries: Sequence[Entry]
    rounds: int
    seconds: float
    numbers: Sequence[int]
    where: Path
    output: Path
    versions: Mapping[str, str]
    tell: Callable[[str], None]

    def measure(self, parts: Sequence[str]) -> None:
        """Each part of `parts`, in the order of ``PARTS``."""
        name = datetime.now(UTC).isoformat(timespec="seconds")
        profiles = [profile for profile in PROFILES.values() if profile.name in parts]
        if profiles:
            rounds = Rounds(self.entries, profiles, self.seconds, self.where, self.tell)
            rounds.play(self.rounds)
            self._keep(name, {"runs": rounds.runs})
        for target in TARGETS:
            if target in parts:
                self._target(name, target)
        # Last, as it takes the longest.
        if WAITING.name in parts:
            for entry in first_variants(self.entries):
                waiting = Waiting(entry, _WAITING_WITHIN_S, WARM_S, _SETTLE_S, self.where, self.tell)
                waiting.play(self.numbers)
                self._keep(name, {"waiting": [step.as_json() for step in waiting.steps]})

    def _target(self, name: str, target: str) -> None:
        try:
            figures = self._measured(target)
        except FAILURES as error:
            self.tell(f"{target}: {error}")
        else:
            self._keep(name, {"targets": {target: figures}})

    def _measured(self, target: str) -> dict[str, Any]:
        where, rounds, tell = self.where, self.rounds, self.tell
        match target:
            case "enqueue":
                return enqueue.measure(where, rounds=rounds, counts=_ENQUEUED, tell=tell)
            case "claim":
                many = self.numbers[-1]
                return claim.measure(where, few=_FEW, many=many, rounds=rounds, claims=_CLAIMS, tell=tell)
            case "events":
                return events.measure(where, rounds=rounds, seconds=self.seconds, warm_s=WARM_S, tell=tell)
            case "synced":
                entries = first_variants(self.entries)
                return synced.measure(where, entries, rounds=rounds, seconds=self.seconds, tell=tell)
            case _:
                return nudge.measure(where, count=_NUDGED, warm_s=WARM_S, tell=tell)

    def _keep(self, name: str, found: dict[str, Any]) -> None:
        new: Results = results.empty() | found
        for record in (*new["runs"], *new["waiting"], *new["targets"].values()):
            record["sitting"] = name
        new["sittings"] = {name: {"versions": self.versions, "machine": needs.machine(self.where)}}
        results.write(self.output, results.merged(results.read(self.output), new))


def first_variants(entries: Sequence[Entry]) -> list[Entry]:
    """Where one variant of each contender has to do."""
    return [entry for entry in entries if entry.variant is entry.contender.variants[0]]
