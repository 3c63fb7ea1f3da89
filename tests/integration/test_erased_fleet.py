"""A whole fleet and a person who is erased: nothing brings the person back, whatever is lost."""

from __future__ import annotations

import time
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from worker.client import enqueue
from worker.evidence.log.notes import new_signer
from worker.evidence.marks import Act
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.ledger.erasures import Erasures
from worker.ledger.models import Stage
from worker.records.erasure import Eraser, Order
from worker.runtime import closings
from worker.runtime.closings import ClosingsThread
from worker.runtime.services import services
from worker.settings import current
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

KEYS = f"now:{b64encode(b'k' * 32).decode()}"
SIGNER = new_signer("kyc.example.com/ph")


@pytest.fixture(params=["encrypted", "plain"])
def fleet(request: pytest.FixtureRequest) -> Iterator[LocalFleet]:
    more = {"EKYC_EVIDENCE_KEYS": KEYS} if request.param == "encrypted" else {}
    with LocalFleet(settings=more) as running:
        yield running


def redis_of_fleet() -> Redis:
    return connect(current().redis_url)


def erase(redis: Redis, signature_id: str) -> None:
    parts = Eraser(services().evidence, Erasures(redis), None, lambda _, text: SIGNER.sign(text))
    parts.erase(Order("ph", signature_id, Act(datetime.now(UTC), "maria", "asked")))


def stage(redis: Redis, signature_id: str) -> Stage | None:
    status = Ledger(redis).status("ph", signature_id)
    return status.verification.stage if status else None


def test_a_second_enqueue_changes_nothing(fleet: LocalFleet) -> None:
    enqueue("pass-1", "ph")
    assert [each.name for each in fleet.drain()] == ["approve"]
    with redis_of_fleet() as redis:
        erase(redis, "pass-1")
        assert enqueue("pass-1", "ph") is False
        assert fleet.drain() == []
        assert stage(redis, "pass-1") is Stage.ERASED


@pytest.mark.parametrize("signature_id", ["pass-1", "pass-n2-1", "notexist-1", "CARD_NOT_FOUND-garbage-1"])
def test_after_a_lost_redis_the_tombstone_ends_it_without_a_decision(
    fleet: LocalFleet, signature_id: str
) -> None:
    """The vendor may still answer, or no longer know it: nothing is stored and nothing is decided."""
    enqueue(signature_id, "ph")
    assert len(fleet.drain()) == 1
    with redis_of_fleet() as redis:
        erase(redis, signature_id)
        for key in redis.keys("ekyc:{ph}:v:*"):
            redis.delete(key)
        assert enqueue(signature_id, "ph") is True
        assert fleet.drain() == []
        assert stage(redis, signature_id) is Stage.ERASED
        assert fleet.quarantined() == []
        counts = fleet.counts("ph")
        assert counts.enqueued == counts.done + counts.dropped == 2
    evidence = services().evidence
    left = {each.path.rpartition("/")[2] for each in evidence.backend.list(f"ph/{signature_id}")}
    assert left == {"key.json", "certificate.txt"}


def test_a_thread_of_the_worker_stores_closing_times(
    fleet: LocalFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closings, "LOOK_S", 0.05)
    enqueue("pass-1", "ph")
    fleet.drain()
    with redis_of_fleet() as redis:
        ledger = Erasures(redis)
        ledger.close("ph", "pass-1")
        thread = ClosingsThread(services().evidence, ledger, ["ph", "sg"])
        thread.start()
        ends = time.monotonic() + 20
        while services().evidence.lifecycle("ph", "pass-1").closed() is None:
            assert time.monotonic() < ends
            time.sleep(0.05)
        thread.stop()
        thread.join(10)
        assert not thread.is_alive()
