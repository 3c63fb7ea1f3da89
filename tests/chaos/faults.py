"""The faults: each breaks one thing for a while, restores it, and records the verifications that it touched."""

from __future__ import annotations

import base64
import json
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import redis as redis_py
from celery import Celery
from kombu.exceptions import OperationalError

from sandbox.faults import Faults, Mode
from tests.chaos.watch import Key, Span, batches
from worker.errors import EvidenceUnavailable, LedgerUnavailable
from worker.ledger.models import Batch
from worker.messaging import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.chaos.schedule import Strike
    from tests.chaos.world import World

T = TypeVar("T")

#: Faults that may occur between the delivery of a decision and its record, or separate a batch from the ledger.
CRASHES: Final = frozenset(
    {"worker_killed", "zombie", "valkey_killed", "valkey_frozen", "connections_dropped", "queue_flushed"}
)
#: Those of them that are the death of a worker.
DEATHS: Final = frozenset({"worker_killed", "zombie"})

#: The schedule has the earliest time of a strike. It waits this long for a target, and then starts without one.
MOMENT_S: Final = 20.0

#: A fault without an effect lasts at most this much longer than planned.
LONGER_S: Final = 20.0

#: The same for a fault with a duration: two outages of the vendor, 60 s each, may follow each other.
UNTIL_IT_HITS_S: Final = 120.0

#: The cause in a timeline if the evidence store failed.
NO_EVIDENCE: Final = EvidenceUnavailable.cause

#: How often the queue is read while it is flushed, and batches are read while they are redelivered.
_FLUSH_EVERY_S: Final = 0.002
#: Longer than a worker waits for a message before it asks again, so that it is then queued behind us.
_FLUSH_WAIT_S: Final = 1.5
_REDELIVER_EVERY_S: Final = 0.1
#: The number of newest batches that are redelivered.
_REDELIVERED: Final = 20

#: How often to check for a lease, to strike at once.
_CATCH_EVERY_S: Final = 0.02

#: How often a command is retried while Valkey is unavailable.
_ASK_AGAIN_S: Final = 0.1

#: Takes all messages from the queue of our tasks.
_TAKE: Final = """
local lost = redis.call('LRANGE', 'celery', 0, -1)
redis.call('DEL', 'celery')
return lost
"""

#: Keys that a flush of the broker keeps: the ledger's, the suite's own, and the pipeline's queue.
_SPARED: Final = (b"ekyc:", b"chaos:", b"onboarding")


@dataclass(slots=True)
class Injected:
    """An executed strike."""

    strike: Strike
    span: Span
    #: Verifications that it is known to have touched. ``tests.chaos.touched`` adds others afterwards.
    touched: set[Key] = field(default_factory=set)
    note: str = ""
    #: The process id of the worker that it killed or froze.
    pid: int = 0
    #: True if that worker was ready.
    ready: bool = False
    #: True if workers counted a fault of the evidence store.
    noticed: bool = False


def inject(world: World, strike: Strike) -> Injected:
    """Carry out one strike, once it has a target and no other strike of its lane is active."""
    planned = time.monotonic()
    with world.turns.get(strike.fault, nullcontext()):
        _await(world, lambda: _worth_it(world, strike), planned + MOMENT_S - time.monotonic())
        injected = Injected(strike, Span(_now_ms(), 0))
        late_s = time.monotonic() - planned
        FAULTS[strike.fault](world, strike, injected)
        injected.span = Span(injected.span.begin_ms, _now_ms())
    notes = (f"begun {late_s:.0f} s later" if late_s >= 1 else "", injected.note)
    injected.note = "; ".join(filter(None, notes))
    return injected


def _worth_it(world: World, strike: Strike) -> bool:
    """Return whether there is a target: for the death of a worker a task in flight, for all other faults a lease."""
    if strike.fault in DEATHS:
        return world.crew.at_work(strike.place)
    try:
        return bool(world.watch.held())
    except redis_py.RedisError:
        return False


def _last(world: World, strike: Strike, hit: Callable[[], object]) -> None:
    """As long as planned, and then until it has hit something, within reason.

    The breakers of all regions may be open for the whole time, where the vendor's own faults fall together with it.
    """
    world.pause(strike.for_s)
    _await(world, hit, UNTIL_IT_HITS_S)


def _await(world: World, true: Callable[[], object], patience_s: float = MOMENT_S) -> None:
    """Wait until `true` returns a true value, or `patience_s` is over."""
    give_up_at = time.monotonic() + patience_s
    while not true() and time.monotonic() < give_up_at:
        world.pause(_ASK_AGAIN_S)


def _catch(world: World, injected: Injected) -> None:
    """Wait up to 20 s for a lease and start then: leases last for milliseconds, and earlier ones are over."""
    give_up_at = time.monotonic() + LONGER_S
    while not (held := _patiently(world, world.watch.held)) and time.monotonic() < give_up_at:
        world.pause(_CATCH_EVERY_S)
    injected.touched |= held.keys()
    injected.span = Span(_now_ms(), 0)


def _worker_killed(world: World, strike: Strike, injected: Injected) -> None:
    # A frozen worker must be resumed, not replaced.
    while strike.place in world.crew.frozen:
        world.pause(_ASK_AGAIN_S)
    worker = world.crew.kill(strike.place)
    injected.pid, injected.ready = worker.process.pid, worker.ready()
    if not injected.ready:
        injected.note = "it was still starting: does not count"
    elif not worker.at_work():
        injected.note = "it had nothing in flight"


def _zombie(world: World, strike: Strike, injected: Injected) -> None:
    """Freeze a worker for longer than the lease of something that it holds. Then it continues with an expired lease."""
    give_up_at = time.monotonic() + MOMENT_S
    while True:
        injected.span = Span(_now_ms(), 0)
        worker = world.crew.freeze(strike.place)
        injected.pid, injected.ready = worker.process.pid, worker.ready()
        try:
            holds = _holds(world, worker.process.pid)
            # While no other worker runs, no claim finds that their leases have ended: no delay shows this fault then.
            injected.touched |= holds
            if holds or time.monotonic() > give_up_at:
                world.pause(strike.for_s)
                break
        finally:
            world.crew.thaw(strike.place)
        world.pause(_ASK_AGAIN_S)
    injected.note = "" if holds else "it held nothing"


def _holds(world: World, pid: int) -> set[Key]:
    """Return the verifications that a process holds and has started."""
    held = _patiently(world, world.watch.held)
    return {
        key for key, lease in held.items() if lease.holder.rpartition("/")[2].partition("@")[0] == str(pid)
    }


def _valkey_killed(world: World, _: Strike, injected: Injected) -> None:
    _catch(world, injected)
    lost = world.valkey.kill()
    world.lost_writes += lost
    injected.note = f"{lost} acknowledged writes lost" if lost else ""


def _valkey_frozen(world: World, strike: Strike, injected: Injected) -> None:
    _catch(world, injected)
    world.valkey.freeze()
    try:
        world.pause(strike.for_s)
    finally:
        world.valkey.thaw()


def _connections_dropped(world: World, _: Strike, injected: Injected) -> None:
    _catch(world, injected)
    with world.valkey.client() as client:
        dropped = _patiently(world, lambda: client.execute_command("CLIENT", "KILL", "TYPE", "normal"))
    injected.note = f"{dropped} connections"


def _queue_flushed(world: World, strike: Strike, injected: Injected) -> None:
    """Delete all keys of the broker, then every message for a while, because the queue is empty most of the time."""
    lost: list[bytes] = []
    with world.valkey.client() as client:
        take = client.register_script(_TAKE)
        planned_at = time.monotonic() + strike.for_s
        with suppress(redis_py.RedisError):
            lost += take()
            client.delete(*(key for key in client.scan_iter() if not key.startswith(_SPARED)))
        while time.monotonic() < planned_at or (not lost and time.monotonic() < planned_at + LONGER_S):
            with suppress(redis_py.RedisError):
                # Block in the same way as the workers, a second at a time: an idle worker gets a message before it is
                # visible on the queue.
                if message := client.brpop(["celery"], timeout=_FLUSH_WAIT_S):
                    lost.append(message[1])
                lost += take()
            world.pause(_FLUSH_EVERY_S)
    injected.touched |= {key for message in lost for key in _named(message)}
    injected.note = f"{len(lost)} messages lost"


def _redelivery(world: World, strike: Strike, injected: Injected) -> None:
    """Deliver messages of all stages again: of batches in flight, and of batches that have ended."""
    app = Celery("chaos", broker=world.valkey.url, set_as_current=False)
    seen: dict[tuple[str, str], tuple[str, ...]] = {}
    sent = 0
    with app.connection_for_write() as connection:
        producer = connection.Producer()
        planned_at = time.monotonic() + strike.for_s
        while time.monotonic() < planned_at or (not sent and time.monotonic() < planned_at + LONGER_S):
            with suppress(redis_py.RedisError, OperationalError, OSError):
                seen |= batches(world.watch.held())
                for (region, batch_id), signature_ids in list(seen.items())[-_REDELIVERED:]:
                    injected.touched |= {(region, signature_id) for signature_id in signature_ids}
                    for stage in publish.TASKS:
                        publish.send(app, Batch(batch_id, region, stage, signature_ids), producer)
                        sent += 1
            world.pause(_REDELIVER_EVERY_S)
    app.close()
    injected.note = f"{sent} messages"


def _vendor(faults: Faults) -> Callable[[World, Strike, Injected], None]:
    def break_it(world: World, strike: Strike, _: Injected) -> None:
        with world.vendor.broken(faults):
            asked = len(world.vendor.asked)
            _last(world, strike, lambda: _asked_since(world, asked, "result"))

    return break_it


def _vendor_refuses(world: World, strike: Strike, injected: Injected) -> None:
    with world.vendor.refusing():
        _last(world, strike, lambda: _noted_since(world, injected.span.begin_ms))


def _images_fail(world: World, strike: Strike, _: Injected) -> None:
    with world.vendor.images_failing():
        asked = len(world.vendor.asked)
        _last(world, strike, lambda: _asked_since(world, asked, "image"))


def _evidence_fails(world: World, strike: Strike, injected: Injected) -> None:
    noticed = _evidence_faults_since(world)
    with world.disk.failing():
        _last(world, strike, noticed)
    injected.noticed = noticed()


def _disk_full(world: World, strike: Strike, injected: Injected) -> None:
    injected.note = "" if world.disk.mounted else "no tmpfs can be mounted here: the folder failed instead"
    noticed = _evidence_faults_since(world)
    with world.disk.full():
        _last(world, strike, noticed)
    injected.noticed = noticed()


FAULTS: Final[Mapping[str, Callable[[World, Strike, Injected], None]]] = {
    "worker_killed": _worker_killed,
    "zombie": _zombie,
    "valkey_killed": _valkey_killed,
    "valkey_frozen": _valkey_frozen,
    "connections_dropped": _connections_dropped,
    "queue_flushed": _queue_flushed,
    "redelivery": _redelivery,
    "vendor_refuses": _vendor_refuses,
    "vendor_5xx": _vendor(Faults(Mode.BROKEN)),
    "vendor_garbage": _vendor(Faults(Mode.GARBAGE)),
    "vendor_busy": _vendor(Faults(Mode.BUSY, retry_after_s=10)),
    "vendor_rejects_tokens": _vendor(Faults(Mode.REJECT_TOKENS)),
    "images_fail": _images_fail,
    "evidence_fails": _evidence_fails,
    "disk_full": _disk_full,
}


def _asked_since(world: World, number: int, call: str) -> bool:
    """Return whether the vendor got a request for `call` after the first `number` requests."""
    return any(asked.call == call for asked in world.vendor.asked[number:])


def _noted_since(world: World, since_ms: int) -> bool:
    """Return whether the timeline of any verification that was ever held has a fault since then."""
    with world.valkey.client() as client, client.pipeline(transaction=False) as pipe:
        for region, signature_id in list(world.watch.sights.held):
            pipe.lrange(f"ekyc:{{{region}}}:f:{signature_id}", -1, -1)
        try:
            ends = pipe.execute()
        except redis_py.RedisError:
            return False
    events = (line.decode().split("|")[:2] for lines in ends for line in lines)
    return any(event == "fault" and int(at_ms) >= since_ms for at_ms, event in events)


def _evidence_faults_since(world: World) -> Callable[[], bool]:
    """Return a function that returns whether workers have counted a fault of the evidence store since this call.

    No timeline has it while the breaker of each worker is open, as in workers that started during the outage: their
    probes are counted, and verifications wait.
    """

    def number() -> int:
        return _patiently(world, world.counts).faults.get(NO_EVIDENCE, 0)

    before = number()
    return lambda: number() > before


def _patiently(world: World, ask: Callable[[], T]) -> T:
    """Return what Valkey answers, and retry until it does: another fault may make it unavailable."""
    while True:
        try:
            return ask()
        except (redis_py.RedisError, LedgerUnavailable):
            world.pause(_ASK_AGAIN_S)


def _named(message: bytes) -> set[Key]:
    """Return the verifications that a message of our tasks names."""
    body: Any = json.loads(base64.b64decode(json.loads(message)["body"]))
    region, _, signature_ids = body[0]
    return {(region, signature_id) for signature_id in signature_ids}


def _now_ms() -> int:
    return round(time.time() * 1000)
