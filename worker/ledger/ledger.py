"""The ledger: one method per transition, one round trip per call."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from random import Random
from typing import TYPE_CHECKING, Final

from worker.enqueue_request import DEFAULT_PIPELINE
from worker.errors import LedgerDamaged
from worker.ledger import codec
from worker.ledger.audit import done, write_lines
from worker.ledger.connection import translated
from worker.ledger.fields import Field
from worker.ledger.models import Batch, Claim, Identity, LeaseExpired, Recorded, Stage, Status, Verification
from worker.ledger.scripts import Scripts, plain, prefix, region_of
from worker.time_budget import DISPATCHER_SLEEP_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

    from worker.enqueue_request import EnqueueRequest
    from worker.ledger.transitions import Transition
    from worker.ledger.webhooks import NewDelivery

#: How much longer the other dispatchers sleep than the one that wakes for the next due moment.
GRACE_S: Final = 1.0

#: Starts without a recorded outcome after which a verification counts as one that kills workers.
MOST_STARTS: Final = 5

#: Most characters of a holder. A longer value makes its hash several times as large in Redis
#: (`hash-max-listpack-value`).
MOST_HOLDER: Final = 64

#: `record.lua` returns it for a transition that closed the breaker. A greater value is the end of a hold, in ms.
BREAKER_CLOSED: Final = 2

#: Ids per call of `enqueue`: one call blocks Redis for about 2 ms.
ENQUEUE_CHUNK: Final = 500

#: Random bytes that identify a call of `enqueue`. Each verification stores them, in four thirds as many characters.
CALL_BYTES: Final = 9

#: Hash that counts refused enqueue messages by the invalid field. The key has no region: it may be that field.
REFUSALS: Final = "ekyc:enqueue_refused"


class Ledger:
    """The record of every verification, in Redis.

    Safe to share between threads. Every method raises ``LedgerUnavailable`` when Redis cannot be used.

    Parameters:
      redis: a client that returns bytes.
      lease_s: how long a batch may hold a verification before others may take it.
      rate: vendor calls per second and region for the whole fleet; None for no limit.
      retention_s: how long a verification is kept after it is done.
      worker: name of the worker that loads and writes, for timelines.
      logs: whether a verification that is done is queued for the log of evidence.
    """

    def __init__(  # noqa: PLR0913 - one a setting
        self,
        redis: Redis,
        *,
        lease_s: float = 20.0,
        rate: float | None = None,
        retention_s: float = 7 * 86_400.0,
        worker: str = "",
        logs: bool = False,
    ) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._lease_ms = round(lease_s * 1000)
        self._rate = rate or 0
        self._retention_ms = round(retention_s * 1000)
        self._worker = plain(worker)
        self._logs = "1" if logs else ""
        self._dispatcher = secrets.token_hex(8)
        #: By region: the ledger's clock when this process last read it, and its own clock at that moment.
        self._seen: dict[str, tuple[int, float]] = {}

    @property
    def lease_s(self) -> float:
        return self._lease_ms / 1000

    # What pipelines and people do.

    def enqueue(self, requests: Sequence[EnqueueRequest], *, call: str = "") -> list[bool]:
        """Accept verifications, due now. False for each that the ledger has already: it does not change.

        `call` names this call: see `new_call`. A later call with the same name and requests has the same result.
        If redis-py sends a call twice because the first reply was lost, the second reply equals the first.
        """
        call = call or new_call()
        if len(requests) == 1:
            return [bool(self._enqueue(requests[0].region, requests[0].pipeline, call, requests)[0])]
        new: dict[tuple[str, str], bool] = {}
        repeated: list[bool] = []
        alike: dict[tuple[str, str], list[EnqueueRequest]] = {}
        for request in requests:
            alike.setdefault((request.region, request.pipeline), []).append(request)
        for (region, pipeline), several in alike.items():
            for start in range(0, len(several), ENQUEUE_CHUNK):
                chunk = several[start : start + ENQUEUE_CHUNK]
                answers = self._enqueue(region, pipeline, call, chunk)
                for request, answer in zip(chunk, answers, strict=True):
                    new.setdefault((region, request.signature_id), bool(answer))
        for request in requests:
            # An id that occurs twice in one call is new only once.
            repeated.append(new.get((request.region, request.signature_id), False))
            new[request.region, request.signature_id] = False
        return repeated

    def _enqueue(
        self, region: str, pipeline: str, call: str, requests: Sequence[EnqueueRequest]
    ) -> Sequence[int]:
        name = "" if pipeline == DEFAULT_PIPELINE else pipeline
        flat = [text for request in requests for text in (request.signature_id, request.context or "")]
        answers: Sequence[int] = self._scripts.call("enqueue", region, call, name, *flat)
        return answers

    def count_refusal(self, field: str) -> None:
        """Count a refused enqueue message by the invalid field."""
        with translated():
            self._redis.hincrby(REFUSALS, field)

    def nudge(
        self, region: str, signature_ids: Sequence[str], *, in_s: float = 0.0, who: str = "", via: str = ""
    ) -> list[bool]:
        """Make verifications due for polling in `in_s` at the latest. False for each that was not waiting to be polled.

        With `in_s` 0, one that is being polled now is polled again at once if the answer is null.
        `who`: the person that asks for it, for the audit log, which has no nudges of pipelines, nor any that changed
        nothing.
        """
        in_ms = max(0, round(in_s * 1000))
        answers = self._scripts.call("nudge", region, in_ms, plain(who), via, *signature_ids)
        changed = done(signature_ids, [answer & 2 for answer in answers])
        write_lines("nudge", who=plain(who), via=via, region=region, subjects=changed)
        return [bool(answer & 1) for answer in answers]

    def identify(self, region: str, *, new: str = "") -> Identity:
        """Return the identity of a region's ledger. If it has none, `new` becomes its identity."""
        base = prefix(region)
        with translated():
            if new:
                self._redis.hsetnx(f"{base}ledger", "id", new)
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hmget(f"{base}ledger", "id", "before", "store")
                pipe.get(f"{base}ledger:replaced")
                (found, before, store), replaced = pipe.execute()
        expected, _, since_ms = codec.text(replaced or b"").partition("|")
        return Identity(
            codec.text(found or b""),
            tuple(codec.text(before or b"").split()),
            expected,
            codec.moment(since_ms.encode()),
            codec.text(store or b"") if found else "",
        )

    def note_store(self, region: str, url: str) -> None:
        """Record the evidence store that has noted the identity of a region's ledger."""
        with translated():
            self._redis.hset(f"{prefix(region)}ledger", "store", url)

    # `events`: what endpoints receive, recorded in the same step if something changes.

    def accept(  # noqa: PLR0913 - one a fact
        self,
        region: str,
        *,
        new: str,
        replaces: str,
        who: str,
        via: str = "",
        events: Sequence[NewDelivery] = (),
    ) -> str:
        """Accept this ledger instead of the ledger `replaces`. Return its identity: `new` if it had none.

        `replaces`: empty, if it replaces none and an evidence store without a note of it is accepted.
        """
        accepted: bytes = self._scripts.call(
            "accept", region, new, replaces, plain(who), via, codec.deliveries(events)
        )
        subjects = [accepted.decode()]
        detail = f"in place of {replaces}" if replaces else "with another evidence store"
        write_lines("ledger_accept", who=plain(who), via=via, region=region, subjects=subjects, detail=detail)
        return accepted.decode()

    def hold(  # noqa: PLR0913 - one a fact
        self,
        region: str,
        *,
        for_s: float,
        reason: str,
        who: str = "",
        via: str = "",
        events: Sequence[NewDelivery] = (),
    ) -> int:
        """Put a region on hold. A hold that ends later stays. Return when the hold ends, in ms of Redis's clock.

        `who`: the person that orders it, for the operator log; empty for the fleet itself. In the body of an event
        `"until":null` becomes the end of the hold.
        """
        for_ms = round(for_s * 1000)
        ends_ms = self._scripts.call(
            "hold", region, for_ms, plain(reason), plain(who), via, codec.deliveries(events)
        )
        detail = f"{plain(reason)} (for {round(for_s)} s)"
        write_lines("region_hold", who=plain(who), via=via, region=region, detail=detail)
        return int(ends_ms)

    def resume(
        self, region: str, *, who: str = "", via: str = "", events: Sequence[NewDelivery] = ()
    ) -> bool:
        """End a region's hold now, and close its circuit breaker. False if it was neither on hold nor half-open."""
        was_held = bool(self._scripts.call("resume", region, plain(who), via, codec.deliveries(events)))
        if was_held:
            write_lines("region_resume", who=plain(who), via=via, region=region)
        return was_held

    # What dispatchers and tasks do.

    def claim(self, region: str, *, limit: int, identity: str = "") -> Claim:
        """Claim due verifications, at most `limit` per stage.

        Each stage gives one batch, and separate batches for verifications that were in a crash.
        `identity`: if the ledger has another identity, nothing is claimed; empty: any identity is right.
        """
        batch_id = secrets.token_hex(6)
        sleep_ms, now_ms, *answer = self._scripts.call(
            "claim",
            region,
            batch_id,
            limit,
            self._lease_ms,
            self._rate,
            MOST_STARTS,
            self._dispatcher,
            round(DISPATCHER_SLEEP_S * 1000),
            round(GRACE_S * 1000),
            self._retention_ms,
            identity,
            *self._watched(region),
            self._logs,
        )
        self._seen[region] = (now_ms, _since_boot_s())
        if sleep_ms < 0:
            found, before, since_ms = answer
            replaced = Identity(codec.text(found), tuple(codec.text(before).split()), identity, since_ms)
            return Claim((), DISPATCHER_SLEEP_S, replaced=replaced)
        act, killers, ended, damaged, *rows = answer
        batches = tuple(
            Batch(row[0].decode(), region, Stage(row[1].decode()), tuple(map(codec.text, row[2:])))
            for row in rows
        )
        quarantined = tuple(
            codec.verification(region, codec.text(row[0]), codec.pairs(row[1]), read_at_ms=now_ms)
            for row in killers
        )
        expired = tuple(
            LeaseExpired(codec.text(signature_id), Stage(stage.decode()), codec.text(worker))
            for signature_id, stage, worker in ended
        )
        newest = codec.event(act) if act else None
        return Claim(batches, sleep_ms / 1000, quarantined, newest, expired, tuple(map(codec.text, damaged)))

    def wait(self, regions: Iterable[str], *, timeout_s: float) -> str | None:
        """Wait until something new is due in one of the regions, and return that region. None after `timeout_s`.

        Needs a client whose socket timeout is longer than `timeout_s`.
        """
        with translated():
            token = self._redis.blpop([prefix(region) + "wake" for region in regions], timeout=timeout_s)
        return None if token is None else region_of(token[0])

    def wake(self, region: str) -> None:
        """Wake another dispatcher. A dispatcher calls this if it woke up and has no free slots."""
        with translated():
            self._redis.rpush(prefix(region) + "wake", b"1")

    def load(self, batch: Batch) -> list[Verification]:
        """Start a batch: return what it still holds at its stage, each only once. Their leases start over."""
        (now_ms, ahead_ms), *rows = self._scripts.call(
            "load",
            batch.region,
            batch.id,
            batch.stage.value,
            self._lease_ms,
            self._holder(batch),
            *self._watched(batch.region),
            *batch.signature_ids,
        )
        self._seen[batch.region] = (now_ms, _since_boot_s())
        return [
            codec.verification(
                batch.region,
                row[0].decode(),
                codec.pairs(row[1]),
                read_at_ms=now_ms,
                clock_ahead_ms=ahead_ms,
            )
            for row in rows
        ]

    def renew(self, batch: Batch, signature_ids: Sequence[str]) -> int:
        """Renew the leases of verifications in progress. Return how many of them the batch still holds."""
        return int(
            self._scripts.call("renew", batch.region, self._holder(batch), self._lease_ms, *signature_ids)
        )

    def record(
        self, batch: Batch, writes: Sequence[Transition], *, resumed: Sequence[NewDelivery] = ()
    ) -> list[Recorded]:
        """Record transitions. One for a verification that the batch no longer holds changes nothing.

        `resumed`: events that are recorded in the same step if an answer closes the circuit breaker.
        """
        if not writes:
            return []
        answers = self._scripts.call(
            "record",
            batch.region,
            batch.id,
            self._holder(batch),
            self._lease_ms,
            self._retention_ms,
            self._worker,
            json.dumps([write.packed() for write in writes], separators=(",", ":")),
            self._logs,
            codec.deliveries(resumed),
        )
        return [
            Recorded(answer > 0, answer if answer > BREAKER_CLOSED else 0, answer == BREAKER_CLOSED)
            for answer in answers
        ]

    def _watched(self, region: str) -> tuple[int, int]:
        """Return what a script needs to detect a jump of Redis's clock: the clock when last read, and ms since then."""
        seen_ms, at_s = self._seen.get(region, (0, 0.0))
        return seen_ms, round((_since_boot_s() - at_s) * 1000)

    def _holder(self, batch: Batch) -> str:
        """Return the holder of a loaded batch: the fencing token, and the worker to name when a lease ends."""
        holder = "/".join(filter(None, (batch.id, batch.stage.value, self._worker)))
        return holder[:MOST_HOLDER]

    def spend(self, region: str) -> float:
        """Take a permit for one vendor call beyond the claimed polls. Return 0, or the seconds until there is one."""
        return int(self._scripts.call("spend", region, self._rate)) / 1000

    # What people look at.

    def status(self, region: str, signature_id: str) -> Status | None:
        """Return everything about one verification. None if the ledger does not have it.

        Raises ``LedgerDamaged`` for a hash that no script wrote.
        """
        now_ms, flat, steps, faults, leased, *due = self._scripts.call("status", region, signature_id)
        if not flat:
            return None
        fields = codec.pairs(flat)
        if not codec.is_verification(fields):
            raise LedgerDamaged(
                f"the hash of this verification in the ledger of {region} is none of ours: restore or remove it"
            )
        due_at = next((codec.moment(each) for each in due if each is not None), None)
        holder = codec.text(fields.get(Field.HOLDER.key, b"")).partition("/")[0]
        return Status(
            verification=codec.verification(region, signature_id, fields, read_at_ms=now_ms),
            now_ms=now_ms,
            due_at_ms=due_at,
            leased_until_ms=None if leased is None else codec.moment(leased),
            starts=codec.count(fields.get(Field.STARTS.key)),
            batch_id=holder or None,
            timeline=codec.timeline(steps, faults),
        )


#: Names need not be secret, and a system call for each takes longer. A fork must not continue the names of its parent.
_call_names: Final = Random()  # noqa: S311
os.register_at_fork(after_in_child=_call_names.seed)


def new_call() -> str:
    """A name for a call of `Ledger.enqueue`: no two calls of any processes have the same."""
    return base64.urlsafe_b64encode(_call_names.randbytes(CALL_BYTES)).rstrip(b"=").decode()


def _since_boot_s() -> float:
    """Return a monotonic clock in seconds; if the system has one, a clock that also counts while it is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
