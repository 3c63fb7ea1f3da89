"""The worker registry: the running workers, and the decision table and the signing keys that each uses.

Key (of no region, because a worker serves all of them):

    ekyc:workers   zset: `[name, table's version, our version, process, shadow table's version, signing keys, evidence
                   keys]` as JSON, without the last ones where there is none -> ms of Redis's clock at which it was last
                   seen. Each sign-in removes those not seen for `WORKER_FORGOTTEN_S`, after which the key expires

Only Redis's clock counts, so the clocks of workers need not agree.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from worker.ledger.connection import translated
from worker.ledger.scripts import plain
from worker.time_budget import WORKER_FORGOTTEN_S, WORKER_SEEN_S

if TYPE_CHECKING:
    from redis import Redis

KEY: Final = "ekyc:workers"

#: The entries that are read, those that were seen last: no fleet has as many workers, and pages read them each second.
MOST: Final = 5000

#: The first entries of a member, which are always there.
_ALWAYS: Final = 4

# ARGV: member, ms since it was seen, ms after which a member is removed
_SIGN_IN: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now - ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[3]))
-- Redis's clock has gone back since these were seen: workers that run sign in again.
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('%.0f', now + 1000), '+inf')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""


@dataclass(frozen=True, slots=True, order=True)
class Worker:
    """One worker process: its Celery name, the version of its decision table, and ours."""

    name: str
    table: str
    version: str
    #: A token of the process, to tell apart two processes with one name.
    process: str = ""
    #: The version of its shadow table; empty: it has none.
    shadow: str = ""
    #: The ids of its signing keys, the newest first, with commas; empty: it signs nothing.
    signing: str = ""
    #: The ids of its evidence keys, the current one first, with commas; empty: it has none.
    evidence_keys: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Presence:
    """A worker, and how long ago it was seen last."""

    worker: Worker
    seen_s_ago: float

    @property
    def is_missing(self) -> bool:
        """Whether it stopped without signing out, or cannot reach Redis."""
        return self.seen_s_ago > WORKER_SEEN_S


class WorkerRegistry:
    """Signs workers in and out, and lists those present. Every method may raise ``LedgerUnavailable``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._sign_in = redis.register_script(_SIGN_IN)

    def sign_in(self, worker: Worker, *, seen_s_ago: float = 0.0) -> None:
        with translated():
            arguments = (_member(worker), round(seen_s_ago * 1000), round(WORKER_FORGOTTEN_S * 1000))
            self._sign_in(keys=[KEY], args=arguments)

    def sign_out(self, worker: Worker) -> None:
        with translated():
            self._redis.zrem(KEY, _member(worker))

    def present(self) -> tuple[Worker, ...]:
        """Return the workers seen in the last `WORKER_SEEN_S`, by name."""
        return tuple(each.worker for each in self.seen() if not each.is_missing)

    def seen(self) -> tuple[Presence, ...]:
        """Return the workers that have not signed out and are not forgotten yet, by name.

        What no worker has written is left out: one such entry must not hide the others.
        """
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrange(KEY, -MOST, -1, withscores=True)
            (seconds, micros), found = pipe.execute()
        now_ms = seconds * 1000 + micros // 1000
        known = ((_worker(member), max(now_ms - seen_ms, 0.0) / 1000) for member, seen_ms in found)
        return tuple(sorted(Presence(worker, ago_s) for worker, ago_s in known if worker is not None))


def _member(worker: Worker) -> str:
    # A release that knows no shadow tables reads four entries and no more.
    texts = astuple(worker)
    while len(texts) > _ALWAYS and not texts[-1]:
        texts = texts[:-1]
    return json.dumps([plain(text) for text in texts])


def _worker(member: Any) -> Worker | None:
    try:
        texts = json.loads(member)
        if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
            return None
        # A later release may add entries, and an older one has fewer.
        return Worker(*texts[: len(fields(Worker))])
    except (ValueError, TypeError, RecursionError):
        return None
