"""Reports of a worker process, as a Sentry on the loopback receives them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from sandbox.demo import leaks
from sandbox.documents import PERSON
from schemas.enqueue import EnqueueRequest
from tests.acceptance.listener import Listener, attributes, listening
from tests.support.waiting import until
from worker.ledger import Ledger
from worker.ledger.ledger import MOST_STARTS
from worker.observability.otel.spans import trace_id
from worker.observability.sentry import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet, Process

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def sentry() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def enqueue(fleet: Fleet, *names: str) -> None:
    fleet.ledger().enqueue([EnqueueRequest(name, "ph", '{"name":"Juan dela Cruz"}') for name in names])


def end(worker: Process) -> None:
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0


def start_and_die(fleet: Fleet, *, times: int) -> None:
    """The one verification that there is was in the hands of workers that were killed."""
    with fleet.redis() as redis:
        doomed = Ledger(redis, lease_s=0.05)
        for start in range(times):
            until(
                lambda: any(doomed.load(batch) for batch in doomed.claim("ph", limit=1).batches),
                f"start {start + 1}",
            )


def clean(sentry: Listener) -> None:
    for event in sentry.reports():
        assert event.keys() <= set(KEPT)
    for path, body in sentry.heard:
        assert path == "/api/7/envelope/"
        assert not leaks.holds(body)
        assert b"Juan" not in body


def test_what_was_given_up_is_reported_once_and_nothing_else_is(fleet: Fleet, sentry: Listener) -> None:
    """Neither what ends well, nor what fails on the way there."""
    worker = fleet.worker(SENTRY_DSN=f"http://key@{sentry.origin}/7")
    enqueue(fleet, "pass-1", "nosigid-2", "pass-http500-3", "pass-html-4", "imgexpired-5")
    until(lambda: fleet.stats().counts("ph").quarantined, "one is in quarantine")
    fleet.await_done(4)
    end(worker)
    (event,) = sentry.reports()
    assert event["message"] == "polling: UNREADABLE"
    assert event["tags"] == {"region": "ph", "stage": "polling", "reason": "UNREADABLE"}
    assert event["extra"]["signature_id"] == "nosigid-2"
    assert event["extra"]["look"] == "ekyc quarantine show nosigid-2 --region ph"
    clean(sentry)


def test_what_kills_workers_is_reported_by_the_one_that_finds_it(fleet: Fleet, sentry: Listener) -> None:
    """Those who were killed could not. The ledger tells whoever claims, and its trace has it, too."""
    enqueue(fleet, "poison-1")
    start_and_die(fleet, times=MOST_STARTS)
    with listening() as collector:
        worker = fleet.worker(
            SENTRY_DSN=f"http://key@{sentry.origin}/7",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.origin}",
        )
        until(lambda: fleet.stats().counts("ph").quarantined, "it is in quarantine")
        end(worker)
    (event,) = sentry.reports()
    assert event["message"] == "polling: CRASHES_WORKERS"
    assert event["tags"] == {"region": "ph", "stage": "polling", "reason": "CRASHES_WORKERS"}
    assert event["extra"]["look"] == "ekyc quarantine show poison-1 --region ph"
    clean(sentry)
    trace = trace_id("ph", "poison-1").to_bytes(16, "big")
    (span,) = (span for span in collector.spans() if span.trace_id == trace)
    assert attributes(span)["ekyc.quarantine"] == "CRASHES_WORKERS"
    assert not span.links, "no task was left"


def test_a_fault_that_nobody_foresaw_is_reported_with_its_place_and_without_its_words(
    fleet: Fleet, sentry: Listener
) -> None:
    """Promise 6: the error quotes a person, and so does a variable beside it."""
    worker = fleet.start(
        "celery", "-A", "tests.acceptance.buggy", "worker", name="buggy",
        SENTRY_DSN=f"http://key@{sentry.origin}/7",
    )  # fmt: skip
    enqueue(fleet, "pass-1")
    until(lambda: fleet.stats().counts("ph").quarantined, "it is in quarantine")
    end(worker)
    (event,) = sentry.reports()
    (raised,) = event["exception"]["values"]
    assert raised["stacktrace"]["frames"][-1]["function"] == "poll"
    assert (raised["type"], raised["value"]) == ("KeyError", "")
    assert event["tags"]["reason"] == "UNFORESEEN"
    clean(sentry)


def test_a_task_that_fails_is_reported_once_its_verification_does_not_come_back(
    fleet: Fleet, sentry: Listener
) -> None:
    """With the place of the error, by whoever failed last; the report of who gives it up is the same one to Sentry."""
    enqueue(fleet, "taskfails-1")
    start_and_die(fleet, times=MOST_STARTS - 1)
    worker = fleet.start(
        "celery", "-A", "tests.acceptance.buggy", "worker", name="buggy",
        SENTRY_DSN=f"http://key@{sentry.origin}/7",
    )  # fmt: skip
    until(sentry.reports, "the last of its failures is reported")
    enqueue(fleet, "taskfails-2")
    until(lambda: fleet.stats().counts("ph").quarantined, "it is in quarantine")
    assert fleet.ledger().status("ph", "taskfails-2").starts  # type: ignore[union-attr]
    end(worker)
    first, *more = sentry.reports()
    assert first["tags"] == {"region": "ph", "stage": "polling", "reason": "CRASHES_WORKERS"}
    assert first["extra"]["look"] == "ekyc quarantine show taskfails-1 --region ph"
    (raised,) = first["exception"]["values"]
    assert (raised["type"], raised["value"]) == ("LookupError", "")
    assert raised["stacktrace"]["frames"][-1]["function"] == "load"
    assert [event["event_id"] for event in more] == [first["event_id"]], "taskfails-2 comes back by itself"
    log = fleet.log("buggy")
    assert "LookupError" in log
    assert "in load" in log, "its place"
    assert PERSON not in log
    clean(sentry)
