"""One run: enqueue verifications, inject faults, wait until the fleet is done, and collect the state for the checks."""

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

    #: Called with each line of progress.
    Say = Callable[[str], object]

#: Verifications enqueued at the end, to check that every part still works; and how long they may take.
CANARIES: Final = 12
CANARIES_S: Final = 60.0

#: Seconds for the log to have all that has ended: the turn of a worker that was killed ends within a minute.
LOG_S: Final = 120.0

#: Seconds for each worker to report its tasks.
_ANSWER_S: Final = 20.0

#: Seconds between two attempts to enqueue, and between two checks of the fleet's progress.
_RETRY_S: Final = 0.2
_LOOK_S: Final = 0.5

#: How often the run prints its progress.
_SAY_EVERY_S: Final = 15.0


@dataclass(slots=True)
class Run:
    """The results of a run, for its checks and its report."""

    profile: Profile
    seed: int
    began_ms: int = 0
    took_s: float = 0.0
    #: Seconds from the last strike until the fleet was done; None: it never was.
    finished_s: float | None = None
    injected: list[Injected] = field(default_factory=list)
    accepted: list[Traveller] = field(default_factory=list)
    #: Calls of `enqueue` that failed and were repeated.
    enqueue_retries: int = 0
    received: list[Received] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    #: The vendor's answers outside of outages, and in outages.
    usual: Tally = field(default_factory=Tally)
    outages: Tally = field(default_factory=Tally)
    state: State = field(default_factory=State)
    sights: Sights = field(default_factory=Sights)
    lost_writes: int = 0
    canaries_done: bool = False
    #: The tasks that each worker reported at the end; None: it did not answer.
    doing: dict[str, list[Any] | None] = field(default_factory=dict)
    exit_codes: dict[str, int | None] = field(default_factory=dict)
    deserters: list[str] = field(default_factory=list)
    #: Workers that did not start, because a dependency was unavailable.
    refused_starts: int = 0
    disk_mounted: bool = False
    #: Whether verifications still wait to be logged at the end, and what `ekyc evidence verify` finds.
    log_pending: bool = False
    log_findings: list[str] = field(default_factory=list)


def run(profile: Profile, seed: int, folder: Path, say: Say) -> Run:
    """Carry out one run in an empty `folder`. Raises any error of the suite itself."""
    result = Run(profile, seed)
    began = time.monotonic()
    with World(profile, seed, folder) as world:
        result.disk_mounted = world.disk.mounted
        result.began_ms = round(time.time() * 1000)
        _travel(world, result, say)
        _finish(world, result, say)
        _look_for_the_stuck(world, result)
        result.log_pending = not world.await_log(LOG_S)
        result.exit_codes = world.crew.stop()
        result.deserters, result.refused_starts = world.crew.deserters, world.crew.refused
        world.await_pipeline()
        world.watch.end()
        result.sights, result.lost_writes = world.watch.sights, world.lost_writes
        result.asked = world.vendor.asked
        result.usual, result.outages = world.vendor.usual, world.vendor.outages
        result.received = pipeline.read(world.journal)
        result.state = gather(world)
        result.log_findings = world.verify_log()
    result.took_s = time.monotonic() - began
    return result


def _travel(world: World, result: Run, say: Say) -> None:
    """Enqueue verifications and inject faults, concurrently, by the schedule."""
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
            # Wake sleeping threads: the pool waits for them.
            world.stopped.set()
            raise


def _raise_early(*futures: Future[Any]) -> None:
    """Raise the error of a part of the suite at once, instead of at the end of the run."""
    for future in futures:
        if future.done():
            future.result()


def _enqueue_all(world: World, result: Run, calls: tuple[Wave, ...], started: float) -> None:
    for wave in calls:
        world.pause(max(0.0, started + wave.at_s - time.monotonic()))
        _enqueue(world, result, wave.travellers)


def _enqueue(world: World, result: Run, travellers: tuple[Traveller, ...]) -> None:
    """Repeat the call until it returns: only then the verifications are accepted."""
    while True:
        try:
            world.ledger.enqueue([each.request() for each in travellers])
        except LedgerUnavailable:
            result.enqueue_retries += 1
            world.pause(_RETRY_S)
        else:
            known = {(each.region, each.signature_id) for each in result.accepted}
            result.accepted += [each for each in travellers if (each.region, each.signature_id) not in known]
            return


def _finish(world: World, result: Run, say: Say) -> None:
    """Wait until no verification is open, after all faults have ended."""
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
    """Enqueue verifications after all faults, and ask each worker for its tasks: a stuck worker fails this."""
    random = Random(world.seed)
    canaries = tuple(
        traveller(random, world.profile.verifications + number, world.seed, "n1")
        for number in range(CANARIES)
    )
    # Without random faults: an image that fails three times in a row comes 15 s later, though no worker is stuck.
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
    statuses = (world.ledger.status(canary.region, canary.signature_id) for canary in canaries)
    return all(status is not None and status.verification.stage == "done" for status in statuses)
