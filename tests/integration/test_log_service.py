"""The thread of a worker that continues the logs: leases, an unavailable store, damage, and its end."""

from __future__ import annotations

import threading
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from tests.support.logged_evidence import PRIVATE, REGION, LoggedEvidence, names
from tests.support.timestamp_authority import TimestampAuthority
from tests.support.waiting import until
from worker.errors import EvidenceUnavailable, LedgerUnavailable
from worker.evidence.breaker import Breakers, State
from worker.evidence.log.commits import commit_name
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.log.sequencer import Sequencer
from worker.evidence.log.timestamps import Authority
from worker.evidence.store import Evidence
from worker.ledger.evidence_log import EvidenceLogQueue
from worker.runtime import log_sequencer
from worker.runtime.log_sequencer import LogSequencer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis


@pytest.fixture
def world(redis: Redis, tmp_path: Path) -> LoggedEvidence:
    return LoggedEvidence(redis, (tmp_path / "evidence").as_uri())


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_sequencer, "TRY_S", 0.0)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def service(
    world: LoggedEvidence,
    breakers: Breakers | None = None,
    authority: Authority | None = None,
    keys: str = "",
) -> LogSequencer:
    evidence = Evidence(world.url, keys=keys)
    return LogSequencer(
        evidence,
        LogKeys.parse(PRIVATE),
        EvidenceLogQueue(world.redis),
        breakers or Breakers(evidence.check, [REGION]),
        [REGION, "my"],
        authority,
    )


def size(world: LoggedEvidence) -> int:
    checkpoint = world.log.checkpoint()
    return checkpoint.size if checkpoint else 0


def test_one_process_continues_a_log_and_another_takes_over(world: LoggedEvidence) -> None:
    first, second = service(world), service(world)
    first.turn()
    world.end(*names(2))
    second.turn()
    assert size(world) == 0
    first.turn()
    assert size(world) == 2
    world.end(*names(2, 2))
    world.redis.delete(f"ekyc:{{{REGION}}}:log:lease")  # it ends 30 s after its holder died
    second.turn()
    first.turn()
    assert size(world) == 4
    assert world.audit().findings == []


def test_a_process_that_lacks_a_key_lets_another_log_what_is_under_it(world: LoggedEvidence) -> None:
    old, new = (f"{name}:{b64encode(name[:1].encode() * 32).decode()}" for name in ("old", "new"))
    LoggedEvidence(world.redis, world.url, keys=f"{new},{old}").end("one")
    lacks, has = service(world, keys=old), service(world, keys=f"{new},{old}")
    lacks.turn()
    assert size(world) == 0
    has.turn()
    lacks.turn()
    assert size(world) == 1
    state = world.queue.state(REGION)
    assert (state.pending, state.unopened) == (0, 0)


def test_a_process_that_cannot_use_the_store_lets_another_continue_the_log(world: LoggedEvidence) -> None:
    def away() -> None:
        raise EvidenceUnavailable("away")

    breakers = Breakers(away, [REGION])
    breakers.trip(EvidenceUnavailable("away"))
    apart, healthy = service(world, breakers), service(world)
    world.end("one")
    apart.turn()
    healthy.turn()
    apart.turn()
    assert size(world) == 1


def test_while_the_stores_breaker_is_open_nothing_is_read_or_written(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise EvidenceUnavailable("away")

    breakers = Breakers(away, [REGION])
    breakers.trip(EvidenceUnavailable("away"))
    running = service(world, breakers)
    world.end(*names(2))
    turns: list[Sequencer] = []
    original = Sequencer.turn

    def turn(self: Sequencer) -> int:
        turns.append(self)
        return original(self)

    monkeypatch.setattr(Sequencer, "turn", turn)
    running.turn()
    assert len(turns) <= 1, "only the region without anything to log"
    assert size(world) == 0
    healthy = service(world)
    world.redis.delete(f"ekyc:{{{REGION}}}:log:lease")
    healthy.turn()
    assert size(world) == 2


def test_a_store_that_fails_in_a_turn_opens_the_breaker_as_for_everybody(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> int:
        raise EvidenceUnavailable("away")

    def check() -> None:
        raise EvidenceUnavailable("away")

    breakers = Breakers(check, [REGION, "my"])
    running = service(world, breakers)
    world.end(*names(2))
    monkeypatch.setattr(Sequencer, "turn", away)
    running.turn()
    assert breakers._by_region[REGION].state is State.OPEN


def test_damage_is_logged_once_noted_for_the_metrics_and_withdrawn(
    world: LoggedEvidence, logged: list[Any]
) -> None:
    running = service(world)
    world.end("one")
    running.turn()
    good = (world.folder / commit_name(1)).read_bytes()
    (world.folder / commit_name(1)).write_bytes(b"{}")
    world.end("two")
    other = service(world)
    world.redis.delete(f"ekyc:{{{REGION}}}:log:lease")
    other.turn()
    other.turn()
    damaged = [line for line in logged if line["event"] == "evidence_log_damaged"]
    assert [line["region"] for line in damaged] == [REGION]
    assert world.queue.state(REGION).fault == "EVIDENCE_LOG_DAMAGED"
    (world.folder / commit_name(1)).write_bytes(good)
    other.turn()
    assert world.queue.state(REGION).fault == ""
    assert size(world) == 2
    assert "evidence_log_recovered" in [line["event"] for line in logged]


def test_a_fault_that_a_process_noted_which_is_gone_is_withdrawn_by_the_next(
    world: LoggedEvidence, logged: list[Any]
) -> None:
    world.end("one")
    world.queue.fault(REGION, "EVIDENCE_LOG_DAMAGED")
    service(world).turn()
    assert size(world) == 1
    assert world.queue.state(REGION).fault == ""
    assert "evidence_log_recovered" in [line["event"] for line in logged]


def test_a_rollback_shows_although_nothing_waits(
    world: LoggedEvidence, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = service(world)
    world.end("one")
    running.turn()
    world.end("two")
    running.turn()
    (world.folder / commit_name(2)).unlink()
    fresh = service(world)
    world.redis.delete(f"ekyc:{{{REGION}}}:log:lease")
    fresh.turn()
    assert world.queue.state(REGION).fault == "EVIDENCE_LOG_ROLLED_BACK"


def test_without_redis_and_after_any_error_the_thread_lives(
    world: LoggedEvidence, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = service(world)
    world.end("one")

    def raised(error: Exception) -> Any:
        def call(*_: object, **__: object) -> None:
            raise error

        return call

    with monkeypatch.context() as patched:
        patched.setattr(EvidenceLogQueue, "lease", raised(LedgerUnavailable("no Redis")))
        running.turn()
    with monkeypatch.context() as patched:
        patched.setattr(Sequencer, "turn", raised(RuntimeError("secret")))
        running.turn()
    failed = [line for line in logged if line["event"] == "evidence_log_failed"]
    assert failed
    assert "secret" not in failed[0]["error"]
    running.turn()
    assert size(world) == 1


def test_it_runs_by_itself_and_gives_its_lease_back_at_the_end(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_sequencer, "TURN_S", 0.05)
    running = service(world)
    running.start()
    world.end(*names(3))
    until(lambda: size(world) == 3, "the log has three entries")
    running.end()
    assert not running.is_alive()
    assert world.redis.keys("*:log:lease") == []


def test_it_stamps_days_and_an_authority_that_fails_stops_nothing(
    world: LoggedEvidence, tmp_path: Path, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tsa"
    folder.mkdir()
    with TimestampAuthority(folder).running() as tsa:
        tsa.answer = 503
        running = service(world, authority=Authority(tsa.url))
        world.end("one")
        running.turn()
        assert size(world) == 1
        assert [line["region"] for line in logged if line["event"] == "evidence_log_not_stamped"] == [REGION]
        tsa.answer = None
        world.end("two")
        running.turn()
        assert tsa.requests == 1, "not at every turn"
        monkeypatch.setattr(log_sequencer, "STAMP_S", 0.0)
        world.end("three")
        running.turn()
        assert [path.suffix for path in sorted((world.folder / "timestamps").iterdir())] == [
            ".checkpoint",
            ".tsr",
        ]
    assert world.audit().findings == []


def test_the_event_loop_is_not_used(world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch) -> None:
    running, threads = service(world), set[str]()
    monkeypatch.setattr(log_sequencer, "TURN_S", 0.05)
    original = Sequencer.turn

    def turn(self: Sequencer) -> int:
        threads.add(threading.current_thread().name)
        return original(self)

    monkeypatch.setattr(Sequencer, "turn", turn)
    world.end("one")
    running.start()
    until(lambda: threads, "a turn")
    running.end()
    assert threads == {"log-sequencer"}


def test_a_turn_that_the_end_of_the_process_breaks_is_no_failure(
    world: LoggedEvidence, logged: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = service(world)
    world.end("one")

    def ends(_: Sequencer) -> int:
        running._stopping.set()
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    with monkeypatch.context() as patched:
        patched.setattr(Sequencer, "turn", ends)
        running.turn()
    assert [line for line in logged if line["event"] == "evidence_log_failed"] == []
    world.redis.delete(f"ekyc:{{{REGION}}}:log:lease")
    service(world).turn()
    assert size(world) == 1
