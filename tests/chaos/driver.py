"""One run: verifications travel, strikes fall, the fleet finishes, and what is left is gathered for the checks."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from celery import Celery

from tests.chaos import pipeline
from tests.chaos.faults import inject
from tests.chaos.population import traveller, waves
from tests.chaos.schedule import schedule
from tests.chaos.state import State, gather
from tests.chaos.vendor import Tally
from tests.chaos.watch import Sights
from tests.chaos.world import World
from worker.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from tests.chaos.faults import Injected
    from tests.chaos.pipeline import Received
    from tests.chaos.population import Traveller, Wave
    from tests.chaos.profile import Profile
    from tests.chaos.vendor import Asked

    #: Is told what happens, a line at a time.
    Say = Callable[[str], object]

#: Enqueued when all is over, to see that every part still works; and how long that may take.
CANARIES: Final = 12
CANARIES_S: Final = 60.0

#: For each worker to say what it is doing.
_ANSWER_S: Final = 20.0

#: Between two tries to enqueue, and between two looks at how far the fleet is.
_RETRY_S: Final = 0.2
_LOOK_S: Final = 0.5

#: How often the run says how far it is.
_SAY_EVERY_S: Final = 15.0


@dataclass(slots=True)
class Run:
    """Everything that a run leaves behind for its checks and its report."""

    profile: Profile
    seed: int
    began_ms: int = 0
    took_s: float = 0.0
    #: How long after the last strike the fleet was done; None: it never was.
    finished_s: float | None = None
    injected: list[Injected] = field(default_factory=list)
    accepted: list[Traveller] = field(default_factory=list)
    #: Calls of `enqueue` that failed and were made again.
    enqueue_retries: int = 0
    received: list[Received] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    #: The vendor's answers while it was as usual, and in outages.
    usual: Tally = field(default_factory=Tally)
    outages: Tally = field(default_factory=Tally)
    state: State = field(default_factory=State)
    sights: Sights = field(default_factory=Sights)
    lost_writes: int = 0
    canaries_done: bool = False
    #: What each worker was still doing in the end by its own word; None: it did not answer.
    doing: dict[str, list[Any] | None] = field(default_factory=dict)
    exit_codes: dict[str, int | None] = field(default_factory=dict)
    deserters: list[str] = field(default_factory=list)
    #: Workers that did not start, because something was broken then.
    refused_starts: int = 0
    disk_mounted: bool = False


def run(profile: Profile, seed: int, folder: Path, say: Say) -> Run:
    """Carry out one run in an empty `folder`. Raises what a part of the suite itself raises when it fails."""
    result = Run(profile, seed)
    began = time.monotonic()
    with World(profile, seed, folder) as world:
        result.disk_mounted = world.disk.mounted
        result.began_ms = round(time.time() * 1000)
        _travel(world, result, say)
        _finish(world, result, say)
        _look_for_the_stuck(world, result)
        result.exit_codes = world.crew.stop()
        result.deserters, result.refused_starts = world.crew.deserters, world.crew.refused
        world.await_pipeline()
        world.watch.end()
        result.sights, result.lost_writes = world.watch.sights, world.lost_writes
        result.asked = world.vendor.asked
        result.usual, result.outages = world.vendor.usual, world.vendor.outages
        result.received = pipeline.read(world.journal)
        result.state = gather(world)
    result.took_s = time.monotonic() - began
    return result


def _travel(world: World, result: Run, say: Say) -> None:
    """Enqueue and strike by the clock, side by side."""
    plan, calls = schedule(world.seed, world.profile), waves(world.seed, world.profile)
    started = time.monotonic()
    with ThreadPoolExecutor(2 * len(plan) + 1, thread_name_prefix="strike") as pool:
        enqueued = pool.submit(_enqueue_all, world, result, calls, started)
        strikes: list[Future[Injected]] = []
        try:
            for strike in plan:
                world.pause(max(0.0, started + strike.at_s - time.monotonic()))
                _raise_early(enqueued, *strikes)
                say(str(strike))
                strikes.append(pool.submit(inject, world, strike))
            enqueued.result()
            result.injected = [future.result() for future in strikes]
        except BaseException:
            # What sleeps must wake, or the pool would wait for it.
            world.stopped.set()
            raise


def _raise_early(*futures: Future[Any]) -> None:
    """A part of the suite that failed ends the run now, and not a quarter of an hour later."""
    for future in futures:
        if future.done():
            future.result()


def _enqueue_all(world: World, result: Run, calls: tuple[Wave, ...], started: float) -> None:
    for wave in calls:
        world.pause(max(0.0, started + wave.at_s - time.monotonic()))
        _enqueue(world, result, wave.travellers)


def _enqueue(world: World, result: Run, travellers: tuple[Traveller, ...]) -> None:
    """Until it returns: before that nothing was promised."""
    while True:
        try:
            world.ledger.enqueue([one.request() for one in travellers])
        except LedgerUnavailable:
            result.enqueue_retries += 1
            world.pause(_RETRY_S)
        else:
            known = {(one.region, one.signature_id) for one in result.accepted}
            result.accepted += [one for one in travellers if (one.region, one.signature_id) not in known]
            return


def _finish(world: World, result: Run, say: Say) -> None:
    """Nothing is broken any more: wait until nothing waits."""
    began = time.monotonic()
    said_at = began
    while time.monotonic() < began + world.profile.patience_s:
        left = _left(world)
        if left == 0:
            result.finished_s = time.monotonic() - began
            return
        if time.monotonic() > said_at + _SAY_EVERY_S:
            said_at = time.monotonic()
            say(f"         {left} verifications are not done yet")
        world.pause(_LOOK_S)


def _left(world: World) -> int:
    try:
        counts = world.counts()
    except LedgerUnavailable:
        return -1
    return counts.waiting + counts.in_flight


def _look_for_the_stuck(world: World, result: Run) -> None:
    """Verifications after the storm, and a question to each worker: whoever is stuck does not get through this."""
    random = Random(world.seed)
    canaries = tuple(
        traveller(random, world.profile.verifications + number, world.seed, "n1")
        for number in range(CANARIES)
    )
    # An image that fails three times in a row comes 15 s later, and nobody would be stuck.
    world.vendor.calm()
    world.crew.await_ready()
    _enqueue(world, result, canaries)
    give_up_at = time.monotonic() + CANARIES_S
    while not result.canaries_done and time.monotonic() < give_up_at:
        world.pause(_LOOK_S)
        result.canaries_done = _are_done(world, canaries)
    app = Celery("chaos", broker=world.valkey.url, set_as_current=False)
    names = [worker.name for worker in world.crew.workers.values()]
    asked = [f"{name}@chaos" for name in names]
    answers = app.control.inspect(asked, timeout=_ANSWER_S, limit=len(asked)).active() or {}
    app.close()
    result.doing = {name: answers.get(f"{name}@chaos") for name in names}


def _are_done(world: World, canaries: tuple[Traveller, ...]) -> bool:
    statuses = (world.ledger.status(one.region, one.signature_id) for one in canaries)
    return all(status is not None and status.verification.stage == "done" for status in statuses)
