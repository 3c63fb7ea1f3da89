"""The ledger: one method per transition, one round trip per call."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Final

from worker.ledger import codec
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

#: By how much the others oversleep the one dispatcher that promised to wake for the next due moment.
GRACE_S: Final = 1.0

#: A verification that was started this often without a recorded outcome kills workers.
MOST_STARTS: Final = 5

#: Characters of a holder. A hash with a longer value takes Redis several times the memory (`hash-max-listpack-value`).
MOST_HOLDER: Final = 64

#: What `record.lua` answers for a write that was made and closed the breaker. What is greater is a moment.
BREAKER_CLOSED: Final = 2

#: Ids per call of `enqueue`: one call blocks Redis for some 2 ms.
ENQUEUE_CHUNK: Final = 500

#: Random bytes that name a call of `enqueue`; each verification keeps them, in four thirds as many characters.
CALL_BYTES: Final = 9

#: Hash of refused messages that asked for a verification, by the field at fault. Of no region: that may be the field.
REFUSALS: Final = "ekyc:enqueue_refused"


class Ledger:
    """The record of every verification, in Redis.

    Safe to share between threads. Every method raises ``LedgerUnavailable`` when Redis cannot be used.

    Parameters:
      redis: a client that answers bytes.
      lease_s: how long a batch may hold a verification before others may take it.
      rate: vendor calls per second and region for the whole fleet; None for no limit.
      retention_s: how long a verification is remembered after it is done.
      worker: who loads and writes, for the timeline.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        lease_s: float = 20.0,
        rate: float | None = None,
        retention_s: float = 7 * 86_400.0,
        worker: str = "",
    ) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._lease_ms = round(lease_s * 1000)
        self._rate = rate or 0
        self._retention_ms = round(retention_s * 1000)
        self._worker = plain(worker)
        self._dispatcher = secrets.token_hex(8)
        #: By region: the ledger's clock when this process last read it, and when that was by its own.
        self._seen: dict[str, tuple[int, float]] = {}

    @property
    def lease_s(self) -> float:
        return self._lease_ms / 1000

    # What pipelines and people do.

    def enqueue(self, requests: Sequence[EnqueueRequest]) -> list[bool]:
        """Accept verifications, due now. False for each that was known: nothing changed.

        A call that redis-py sends twice, because the first reply was lost, gets the answer of the first.
        """
        call = secrets.token_urlsafe(CALL_BYTES)
        new: dict[tuple[str, str], bool] = {}
        repeated: list[bool] = []
        by_region: dict[str, list[EnqueueRequest]] = {}
        for request in requests:
            by_region.setdefault(request.region, []).append(request)
        for region, of_region in by_region.items():
            for start in range(0, len(of_region), ENQUEUE_CHUNK):
                chunk = of_region[start : start + ENQUEUE_CHUNK]
                flat = [text for request in chunk for text in (request.signature_id, request.context or "")]
                answers = self._scripts.call("enqueue", region, call, *flat)
                for request, answer in zip(chunk, answers, strict=True):
                    new.setdefault((region, request.signature_id), bool(answer))
        for request in requests:
            # An id that stands twice in one call is new once.
            repeated.append(new.get((request.region, request.signature_id), False))
            new[request.region, request.signature_id] = False
        return repeated

    def count_refusal(self, field: str) -> None:
        """Count a message that asked for a verification and could not be accepted, by the field at fault."""
        with translated():
            self._redis.hincrby(REFUSALS, field)

    def nudge(self, region: str, signature_ids: Sequence[str]) -> list[bool]:
        """Poll these now. False for each that was not waiting to be polled."""
        return [bool(answer) for answer in self._scripts.call("nudge", region, *signature_ids)]

    def identify(self, region: str, *, new: str = "") -> Identity:
        """The identity of a region's ledger; `new` becomes it where there is none."""
        base = prefix(region)
        with translated():
            if new:
                self._redis.hsetnx(f"{base}ledger", "id", new)
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.hmget(f"{base}ledger", "id", "before")
                pipe.get(f"{base}ledger:replaced")
                (found, before), replaced = pipe.execute()
        expected, _, since_ms = (replaced or b"").decode().partition("|")
        return Identity(
            (found or b"").decode(), tuple((before or b"").decode().split()), expected, int(since_ms or 0)
        )

    def accept(self, region: str, *, new: str, replaces: str, who: str) -> str:
        """People take this ledger in place of another. Returns its identity: `new` where it had none."""
        accepted: bytes = self._scripts.call("accept", region, new, replaces, plain(who))
        return accepted.decode()

    def hold(self, region: str, *, for_s: float, reason: str, who: str = "") -> int:
        """Put a region on hold; a hold that ends later stays. Returns when it ends, in ms of Redis's clock.

        `who`: the person that wants it, for the record; empty for the fleet itself.
        """
        return int(self._scripts.call("hold", region, round(for_s * 1000), plain(reason), plain(who)))

    def resume(self, region: str, *, who: str = "") -> bool:
        """End a region's hold now, and close its circuit breaker. False: it had none."""
        return bool(self._scripts.call("resume", region, plain(who)))

    # What dispatchers and tasks do.

    def claim(self, region: str, *, limit: int, identity: str = "") -> Claim:
        """Take what is due, at most `limit` per stage: one batch a stage, and what crashed before by itself.

        `identity`: nothing is taken from a ledger that has another; empty: from any.
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
        )
        self._seen[region] = (now_ms, _since_boot_s())
        if sleep_ms < 0:
            found, before, since_ms = answer
            replaced = Identity(found.decode(), tuple(before.decode().split()), identity, since_ms)
            return Claim((), DISPATCHER_SLEEP_S, replaced=replaced)
        act, killers, ended, *rows = answer
        batches = tuple(
            Batch(row[0].decode(), region, Stage(row[1].decode()), tuple(text.decode() for text in row[2:]))
            for row in rows
        )
        quarantined = tuple(
            codec.verification(region, row[0].decode(), codec.pairs(row[1]), read_at_ms=now_ms)
            for row in killers
        )
        expired = tuple(
            LeaseExpired(signature_id.decode(), Stage(stage.decode()), worker.decode())
            for signature_id, stage, worker in ended
        )
        return Claim(batches, sleep_ms / 1000, quarantined, codec.event(act) if act else None, expired)

    def wait(self, regions: Iterable[str], *, timeout_s: float) -> str | None:
        """Sleep on Redis until something new is due in one of the regions, and say in which. None: in none.

        Needs a client whose socket timeout is longer than `timeout_s`.
        """
        with translated():
            token = self._redis.blpop([prefix(region) + "wake" for region in regions], timeout=timeout_s)
        return None if token is None else region_of(token[0])

    def wake(self, region: str) -> None:
        """Wake another dispatcher: for one that woke and has no hands free."""
        with translated():
            self._redis.rpush(prefix(region) + "wake", b"1")

    def load(self, batch: Batch) -> list[Verification]:
        """Start a batch: what it still holds at its stage, each handed out once; the lease starts over."""
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
        """Renew the lease for what is still being worked on. Returns how many the batch still holds."""
        return int(
            self._scripts.call("renew", batch.region, self._holder(batch), self._lease_ms, *signature_ids)
        )

    def record(self, batch: Batch, writes: Sequence[Transition]) -> list[Recorded]:
        """Write what became of verifications, those that the batch still holds."""
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
        )
        return [
            Recorded(answer > 0, answer if answer > BREAKER_CLOSED else 0, answer == BREAKER_CLOSED)
            for answer in answers
        ]

    def _watched(self, region: str) -> tuple[int, int]:
        """What a script needs to notice that Redis's clock has leaped."""
        seen_ms, at_s = self._seen.get(region, (0, 0.0))
        return seen_ms, round((_since_boot_s() - at_s) * 1000)

    def _holder(self, batch: Batch) -> str:
        """Who holds what was loaded: the fence, and who is named when a lease ends."""
        holder = "/".join(filter(None, (batch.id, batch.stage.value, self._worker)))
        return holder[:MOST_HOLDER]

    def spend(self, region: str) -> float:
        """Take the right to one vendor call beyond those claimed; 0, or for how many seconds there is none."""
        return int(self._scripts.call("spend", region, self._rate)) / 1000

    # What people look at.

    def status(self, region: str, signature_id: str) -> Status | None:
        """All there is to say about one verification; None if it is not known."""
        now_ms, flat, steps, faults, leased, *due = self._scripts.call("status", region, signature_id)
        if not flat:
            return None
        fields = codec.pairs(flat)
        due_at = next((int(moment) for moment in due if moment is not None), None)
        holder = fields.get(Field.HOLDER.key, b"").decode().partition("/")[0]
        return Status(
            verification=codec.verification(region, signature_id, fields, read_at_ms=now_ms),
            now_ms=now_ms,
            due_at_ms=due_at,
            leased_until_ms=None if leased is None else int(leased),
            starts=int(fields.get(Field.STARTS.key, 0)),
            batch_id=holder or None,
            timeline=codec.timeline(steps, faults),
        )


def _since_boot_s() -> float:
    """A clock that nobody sets, and that does not stop while the machine sleeps, where there is such a one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
