"""The targets: ratios of medians and plain bounds, and whether what was measured meets them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.bench.summary import BARE, OURS, PLAIN_CELERY, profiles, standings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench.results import Results

#: `cpu` alone measures what the fleet itself costs, so more is asked of it.
TIMES_PLAIN_CELERY: Final = {"cpu": 4.0}
TIMES_PLAIN_CELERY_ELSEWHERE: Final = 3.0
TIMES_PEERS: Final = {"cpu": 1.3}
TIMES_PEERS_ELSEWHERE: Final = 1.2
TIMES_BARE: Final = 0.55
TIMES_DELAY: Final = 10.0
TIMES_WITHOUT_EVENTS: Final = 0.9
MOST_CLAIM_RATIO: Final = 1.5
MOST_REDIS_BYTES: Final = 400.0
#: Less than a byte is none: a page of memory more or less is what it takes to measure otherwise.
MOST_WORKER_BYTES: Final = 1.0
MOST_NUDGE_MS: Final = 150.0


@dataclass(frozen=True, slots=True)
class Goal:
    """`found` must be at least (or, `at_most`, at most) `bound`."""

    what: str
    found: float
    bound: float
    unit: str = "×"
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.found <= self.bound if self.at_most else self.found >= self.bound


def goals(results: Results) -> list[Goal]:
    """Those for which there is something measured."""
    return [*_paces(results), *_waiting(results), *_targets(results)]


def _paces(results: Results) -> Iterator[Goal]:
    for profile in profiles(results):
        paces = {one.contender: one.per_s.median for one in standings(results, profile) if one.per_s}
        ours = paces.get(OURS)
        if ours is None:
            continue
        if PLAIN_CELERY in paces:
            bound = TIMES_PLAIN_CELERY.get(profile, TIMES_PLAIN_CELERY_ELSEWHERE)
            yield Goal(f"against plain Celery at its best, {profile}", ours / paces[PLAIN_CELERY], bound)
        peers = {name: pace for name, pace in paces.items() if name not in {OURS, PLAIN_CELERY, BARE}}
        if peers:
            best = max(peers, key=lambda name: peers[name])
            bound = TIMES_PEERS.get(profile, TIMES_PEERS_ELSEWHERE)
            yield Goal(f"against the best other peer ({best}), {profile}", ours / peers[best], bound)
        if BARE in paces:
            yield Goal(f"against the bare limit, {profile}", ours / paces[BARE], TIMES_BARE)


def _waiting(results: Results) -> Iterator[Goal]:
    steps = results["waiting"]
    ours = [step for step in steps if step["contender"] == OURS and not step["failure"]]
    for step in ours:
        paces = {one["contender"]: one["taken_per_s"] for one in steps if one["asked"] == step["asked"]}
        what = f"waiting, {step['asked']:,} taken up"
        if paces.get(PLAIN_CELERY):
            ratio = step["taken_per_s"] / paces[PLAIN_CELERY]
            yield Goal(f"against plain Celery, {what}", ratio, TIMES_PLAIN_CELERY_ELSEWHERE)
        peers = {
            name: pace for name, pace in paces.items() if name not in {OURS, PLAIN_CELERY, BARE} and pace
        }
        if peers:
            best = max(peers, key=lambda name: peers[name])
            ratio = step["taken_per_s"] / peers[best]
            yield Goal(f"against the best other peer ({best}), {what}", ratio, TIMES_PEERS_ELSEWHERE)
    if ours:
        last = ours[-1]
        among = f"up to {last['asked']:,}"
        yield Goal(
            f"memory of a worker for each that waits, {among}",
            *(last["worker_bytes_each"], MOST_WORKER_BYTES, "bytes", True),
        )
        yield Goal(
            f"memory of Redis for each that waits, {among}",
            *(last["redis_bytes_each"], MOST_REDIS_BYTES, "bytes", True),
        )


def _targets(results: Results) -> Iterator[Goal]:
    targets = results["targets"]
    if enqueue := targets.get("enqueue"):
        ratio = median(enqueue["ours_per_s"]) / median(enqueue["delay_per_s"])
        yield Goal("enqueue in batches of 1,000 against plain Celery's `delay`", ratio, TIMES_DELAY)
    if claim := targets.get("claim"):
        ratio = median(claim["many_ms"]) / median(claim["few_ms"])
        what = f"cost of a claim, {claim['many']:,} waiting against {claim['few']:,}"
        yield Goal(what, ratio, MOST_CLAIM_RATIO, at_most=True)
    if events := targets.get("events"):
        ratio = median(events["on_per_s"]) / median(events["off_per_s"])
        yield Goal("task events on against off, cpu", ratio, TIMES_WITHOUT_EVENTS)
    if nudge := targets.get("nudge"):
        what = "from the vendor being ready to the decision, idle fleet, told by `nudge` (median)"
        yield Goal(what, nudge["median_ms"], MOST_NUDGE_MS, "ms", at_most=True)
