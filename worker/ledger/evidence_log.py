"""What the ledger knows of the log of evidence: what waits to be added to it, and the newest commit that was seen.

Keys, per region:

    ekyc:{<region>}:log:pending   zset: id -> when its evidence became final, by the ledger's clock
    ekyc:{<region>}:log           hash: seq, size, root: the newest commit seen; queued, logged, skipped: how many ids
                                  were put into the queue, and taken out of it with a new entry or without; fault: why
                                  the log is not continued; unopened: how many of those that wait could not be read or
                                  opened, or may be planted
    ekyc:{<region>}:log:lease     string: the process that continues the log
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from worker.ledger import codec
from worker.ledger.audit import AuditLog, Wanted
from worker.ledger.connection import translated
from worker.ledger.keys import now_ms
from worker.ledger.models import Stage
from worker.ledger.reconciliation import stages
from worker.ledger.scripts import Scripts, prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis import Redis

#: Ids per call of a script: one call blocks Redis for about 1 ms.
CHUNK: Final = 500

#: Stages at which a verification gets no more evidence; None: the ledger does not know it any more.
_ENDED: Final = frozenset({None, Stage.DONE, Stage.DROPPED, Stage.DELIVERING, Stage.ERASED})


@dataclass(frozen=True, slots=True)
class Queued:
    """A verification that waits to be added to the log. `score`: when it was queued, as Redis has it."""

    signature_id: str
    score: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest commit that the ledger has seen; `root` in base64. All zero and empty: none."""

    seq: int = 0
    size: int = 0
    root: str = ""


@dataclass(frozen=True, slots=True)
class LogState:
    """The log of a region as the ledger sees it."""

    seen: Seen
    pending: int
    oldest_pending_s: float
    queued: int
    logged: int
    skipped: int
    #: Why the log is not continued; empty: it is.
    fault: str
    #: How many of those that wait could not be read or opened, or may be planted, when a worker tried last.
    unopened: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether the region has a log."""
        return bool(self.seen.size or self.queued or self.fault)

    @property
    def lost(self) -> int:
        """How many ids left the queue without a note: no sequencer took them out."""
        return self.queued - self.logged - self.skipped - self.pending


class EvidenceLogQueue:
    """The queue of the log, and the notes about it. Safe to share between threads.

    Every method raises ``LedgerUnavailable`` when Redis cannot be used.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)

    def add(self, region: str, signature_ids: Sequence[str]) -> int:
        """Queue verifications, for example after an erasure. Return how many were not queued already."""
        return sum(
            int(self._scripts.call("queue_for_log", region, *signature_ids[start : start + CHUNK]))
            for start in range(0, len(signature_ids), CHUNK)
        )

    def pending(self, region: str, limit: int, *, skip: int = 0) -> list[Queued]:
        """Return what has waited longest, after the first `skip`."""
        with translated():
            rows: Any = self._redis.zrange(
                f"{prefix(region)}log:pending", skip, skip + limit - 1, withscores=True, score_cast_func=_text
            )
        # A client of Redis may have added anything.
        return [Queued(signature_id.decode(errors="replace"), score) for signature_id, score in rows]

    def is_pending(self, region: str, signature_ids: Sequence[str]) -> list[bool]:
        """Return for each id whether it waits."""
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for signature_id in signature_ids:
                pipe.zscore(f"{prefix(region)}log:pending", signature_id)
            return [score is not None for score in pipe.execute()]

    def note(self, region: str, seen: Seen, taken: Iterable[tuple[Queued, bool]] = ()) -> int:
        """Note the newest commit, and take ids out of the queue. True: an entry was added for it.

        Return how many were taken out: one that was queued again in the meantime stays.
        """
        flat = [text for each, logged in taken for text in (each.signature_id, each.score, int(logged))]
        count = 0
        for start in range(0, max(len(flat), 1), CHUNK * 3):
            some = flat[start : start + CHUNK * 3]
            count += int(self._scripts.call("logged", region, seen.seq, seen.size, seen.root, *some))
        return count

    def seen(self, region: str) -> Seen:
        """Return the newest commit that was noted."""
        with translated():
            row: Any = self._redis.hmget(f"{prefix(region)}log", "seq", "size", "root")
        return _seen(row)

    def fault(self, region: str, word: str) -> None:
        """Note why the log is not continued; empty: it is continued."""
        with translated():
            if word:
                self._redis.hset(f"{prefix(region)}log", "fault", word)
            else:
                self._redis.hdel(f"{prefix(region)}log", "fault")

    def has_fault(self, region: str) -> bool:
        """Whether it is noted that the log is not continued."""
        with translated():
            return bool(self._redis.hget(f"{prefix(region)}log", "fault"))

    def note_unopened(self, region: str, count: int) -> None:
        """Note how many of those that wait the worker that continues the log cannot add to it."""
        name = f"{prefix(region)}log"
        with translated():
            if count:
                self._redis.hset(name, "unopened", str(count))
            else:
                self._redis.hdel(name, "unopened")

    def state(self, region: str) -> LogState:
        """Return what the metrics show."""
        at_ms, base = now_ms(self._redis, region), prefix(region)
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(
                f"{base}log", "seq", "size", "root", "queued", "logged", "skipped", "fault", "unopened"
            )
            pipe.zcard(f"{base}log:pending")
            pipe.zrange(f"{base}log:pending", 0, 0, withscores=True)
            row, pending, oldest = pipe.execute()
        queued, logged, skipped = map(codec.count, row[3:6])
        waits_s = max(0.0, (at_ms - oldest[0][1]) / 1000) if oldest else 0.0
        fault, unopened = codec.text(row[6] or b""), min(codec.count(row[7]), pending)
        return LogState(_seen(row[:3]), pending, waits_s, queued, logged, skipped, fault, unopened)

    def lease(self, region: str, owner: str, *, for_s: float) -> bool:
        """Take or renew the right to continue the log. It saves useless work; a commit is written once without it."""
        name, ms = f"{prefix(region)}log:lease", round(for_s * 1000)
        with translated():
            if self._redis.set(name, owner, nx=True, px=ms):
                return True
            if self._redis.get(name) != owner.encode():
                return False
            return bool(self._redis.pexpire(name, ms))

    def end_lease(self, region: str, owner: str) -> None:
        """Give the right back, so that another process need not wait."""
        name = f"{prefix(region)}log:lease"
        with translated():
            if self._redis.get(name) == owner.encode():
                self._redis.delete(name)


class LogLedger:
    """What an audit of a region's log asks the ledger. Every method raises ``LedgerUnavailable``."""

    def __init__(self, redis: Redis, region: str) -> None:
        self._redis = redis
        self._region = region
        self._queue = EvidenceLogQueue(redis)

    def state(self) -> LogState:
        """Return what the ledger knows of the log."""
        return self._queue.state(self._region)

    def open_ids(self, signature_ids: Sequence[str]) -> set[str]:
        """Return which of some verifications have not ended, or wait to be added to the log."""
        # In this order: one that ends in between is queued by then.
        damaged: list[str] = []
        by_stage = stages(self._redis, self._region, signature_ids, damaged.append)
        waits = self._queue.is_pending(self._region, signature_ids)
        under_way = {each for stage, ids in by_stage.items() if stage not in _ENDED for each in ids}
        # Of these it is not known.
        under_way |= {each.removeprefix(f"{prefix(self._region)}v:") for each in damaged}
        return under_way | {each for each, pending in zip(signature_ids, waits, strict=True) if pending}

    def why_open(self, signature_id: str) -> str:
        """Return why a verification has no entry yet; empty: it has ended, and waits for none."""
        damaged: list[str] = []
        stage = self._stage(signature_id, damaged.append)
        if self._queue.is_pending(self._region, [signature_id])[0]:
            return "has no entry yet: it waits for the log"
        if damaged:
            return f"cannot be judged: the key {damaged[0]} in Redis is no hash"
        if stage is None or stage in _ENDED:
            return ""
        return f"has no entry yet: it has not ended, its stage is {stage}"

    def was_dropped(self, signature_id: str) -> bool:
        """Return whether a person dropped a verification in quarantine."""
        stage = self._stage(signature_id, lambda _: None)
        if stage is not None:
            return stage is Stage.DROPPED
        # The ledger forgets a verification after its retention, and the audit log keeps the act for longer.
        return signature_id in self._dropped

    def _stage(self, signature_id: str, on_damaged: Callable[[str], object]) -> Stage | None:
        return next(iter(stages(self._redis, self._region, [signature_id], on_damaged)), None)

    @cached_property
    def _dropped(self) -> frozenset[str]:
        """What the audit log has as dropped, read once: what is dropped later, the ledger still knows."""
        acts = AuditLog(self._redis).entries(Wanted(act="quarantine_drop", region=self._region))
        return frozenset(act.subject for act in acts)


def _seen(row: Sequence[bytes | None]) -> Seen:
    seq, size, root = row
    return Seen(codec.count(seq), codec.count(size), codec.text(root or b""))


def _text(score: bytes | float) -> str:
    return score.decode() if isinstance(score, bytes) else f"{score:.0f}"
