"""What the ledger counts of a shadow table, in the registry, `ekyc stats` and the metrics."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry, generate_latest

from schemas.enqueue import EnqueueRequest
from worker.decisions.table import Table
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.models import Batch, Stage
from worker.ledger.transitions import Heard
from worker.ledger.worker_registry import KEY, Worker, WorkerRegistry
from worker.observability.metrics import Metrics

if TYPE_CHECKING:
    from redis import Redis

    from tests.support.cli_process import Ekyc

SHADOWED = Worker("w1@host", "default-1", "0.1.0", "a", "mine-2")
PLAIN = Worker("w2@host", "default-1", "0.1.0", "b")
SIGNING = Worker("w3@host", "default-1", "0.1.0", "c", "", "0123456789abcdef")


def count(ledger: Ledger, signature_id: str, counter: str) -> None:
    """Fix a decision with a counter of the shadow table."""
    ledger.enqueue([EnqueueRequest(signature_id, "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.unsettled(one, Heard("pending"), reason="DEADLINE_PASSED")])
    routing = Batch(batch.id, "ph", Stage.ROUTING, batch.signature_ids)
    (one,) = ledger.load(routing)
    decide = transitions.decide(one, name="approve", decision="{}")
    (recorded,) = ledger.record(routing, [replace(decide, counts={counter: 1})])
    assert recorded.written


def metrics(redis: Redis) -> list[str]:
    registry = CollectorRegistry()
    registry.register(Metrics(redis, ["ph", "sg"], Table.load(None)))
    return [
        line
        for line in generate_latest(registry).decode().splitlines()
        if "shadow" in line and not line.startswith("#")
    ]


def test_the_registry_says_which_shadow_table_a_worker_has(redis: Redis) -> None:
    registry = WorkerRegistry(redis)
    registry.sign_in(SHADOWED)
    registry.sign_in(PLAIN)
    registry.sign_in(SIGNING)
    assert registry.present() == (SHADOWED, PLAIN, SIGNING)
    registry.sign_out(SHADOWED)
    registry.sign_out(SIGNING)
    assert registry.present() == (PLAIN,)


def test_releases_before_and_after_read_each_others_entries(redis: Redis) -> None:
    """Without a shadow table an entry is as before it; what a later release adds is ignored."""
    registry = WorkerRegistry(redis)
    registry.sign_in(PLAIN)
    (member,) = cast("list[bytes]", redis.zrange(KEY, 0, -1))
    assert json.loads(member) == ["w2@host", "default-1", "0.1.0", "b"]
    seconds, _ = redis.time()
    redis.zadd(
        KEY, {json.dumps(["w1@host", "default-1", "0.1.0", "a", "mine-2", "", "", "more"]): seconds * 1000}
    )
    assert registry.present() == (SHADOWED, PLAIN)


def test_differences_are_in_the_figures_and_metrics(ekyc: Ekyc, redis: Redis, ledger: Ledger) -> None:
    assert metrics(redis) == []
    for name, counter in (("a", "approve:review"), ("b", "approve:review"), ("c", "reject:review")):
        count(ledger, name, f"shadow:{counter}")
    assert Stats(redis).counts("ph").shadow == {"approve:review": 2, "reject:review": 1}
    WorkerRegistry(redis).sign_in(SHADOWED)
    assert sorted(metrics(redis)) == [
        'ekyc_decisions_shadow_differences_total{from="approve",region="ph",to="review"} 2.0',
        'ekyc_decisions_shadow_differences_total{from="reject",region="ph",to="review"} 1.0',
        'ekyc_worker_shadow_table{table="mine-2",worker="w1@host"} 1.0',
    ]
    figures = json.loads(ekyc("stats", "--json").out)
    assert figures["shadow_differences"] == {"approve:review": 2, "reject:review": 1}
    assert figures["workers"][0]["shadow"] == "mine-2"
    shown = ekyc("stats").out
    assert " workers: 1 with decision table default-1 and shadow table mine-2\n" in shown
    assert re.search(r"approve -> review +2\b", shown)
