"""Traces of a worker process, as a collector on the loopback receives them."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from sandbox.demo import leaks
from schemas.enqueue import EnqueueRequest
from tests.acceptance.listener import Listener, attributes, listening
from tests.support.waiting import until
from worker.observability.otel.exporting import ATTRIBUTES
from worker.observability.otel.spans import trace_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def collector() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def traced(fleet: Fleet, collector: Listener, *names: str, **environment: str) -> list[Span]:
    """The spans of a worker that has done with these verifications, and ended."""
    worker = fleet.worker(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{collector.origin}", **environment)
    fleet.ledger().enqueue([EnqueueRequest(name, "ph", '{"name":"Juan dela Cruz"}') for name in names])
    until(lambda: sum(fleet.stats().counts("ph").quarantine.values()) + done(fleet) >= len(names), "all end")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0
    return collector.spans()


def done(fleet: Fleet) -> int:
    return fleet.stats().counts("ph").done


def of(spans: list[Span], signature_id: str) -> list[Span]:
    """Those of a verification's trace, in the order in which they began."""
    trace = trace_id("ph", signature_id).to_bytes(16, "big")
    return sorted(
        (span for span in spans if span.trace_id == trace), key=lambda span: span.start_time_unix_nano
    )


def test_a_verification_is_one_trace_across_its_polls_archive_and_decision(
    fleet: Fleet, collector: Listener
) -> None:
    spans = of(traced(fleet, collector, "pass-n2-1"), "pass-n2-1")
    stages = [span for span in spans if not span.parent_span_id]
    assert [span.name for span in stages] == ["get_result", "get_result", "get_result", "archive", "decide"]
    said: list[dict[str, Any]] = [attributes(span) for span in stages]
    assert [each.get("ekyc.answer") for each in said] == ["pending", "pending", "result", None, None]
    assert [each["ekyc.polls"] for each in said] == [0, 1, 2, 3, 3]
    assert said[2]["ekyc.detail"] == "PASS SUCCESS"
    assert said[4]["ekyc.decision"] == "approve"


def test_verifications_and_the_tasks_of_their_batches_link_to_each_other(
    fleet: Fleet, collector: Listener
) -> None:
    names = [f"pass-{number}" for number in range(5)]
    spans = traced(fleet, collector, *names)
    runs = {(span.trace_id, span.span_id): span for span in spans if span.name.startswith("run/tasks.")}
    for name in names:
        for span in (span for span in of(spans, name) if not span.parent_span_id):
            (there,) = span.links
            back = {(link.trace_id, link.span_id) for link in runs[there.trace_id, there.span_id].links}
            assert (span.trace_id, span.span_id) in back
    # The tasks of a batch are one trace, with what the ledger did for them.
    by_trace: dict[bytes, set[str]] = {}
    for span in spans:
        by_trace.setdefault(span.trace_id, set()).add(span.name)
    chains = [found for found in by_trace.values() if "run/tasks.route_decision" in found]
    assert chains
    for found in chains:
        assert {"run/tasks.get_result", "run/tasks.archive_images", "EVALSHA"} <= found


def test_traces_hold_nothing_personal(fleet: Fleet, collector: Listener) -> None:
    """Promise 6: neither what the vendor read, nor links, nor the context, nor what a pipeline sends along."""
    pipeline = Celery("pipeline", broker=fleet.redis_url)
    kwargs = {"signature_id": "pass-9", "region": "ph", "context": {"name": "Juan dela Cruz"}}
    parent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    pipeline.send_task(
        "tasks.enqueue", kwargs=kwargs, headers={"traceparent": parent, "tracestate": "pipeline=Juan"}
    )
    pipeline.send_task("tasks.enqueue", kwargs=kwargs | {"region": "Juan dela Cruz"})
    names = ["pass-1", "nosigid-2", "imgexpired-3", "html-4", "oversized-always-5"]
    spans = traced(fleet, collector, *names)
    assert "0123456789abcdef0123456789abcdef" in {span.trace_id.hex() for span in spans}
    assert {name for span in spans for name in attributes(span)} <= ATTRIBUTES
    assert not [span for span in spans if span.events or span.status.message or span.trace_state]
    for _, body in collector.heard:
        assert not leaks.holds(body)
        assert not re.search(rb"Juan|/images/|expires=", body)
    values = [str(value) for span in spans for value in attributes(span).values()]
    assert not [value for value in values if "://" in value or str(fleet.folder) in value]
    assert not re.search("Juan|OTEL|opentelemetry", fleet.log("w1"))


def test_decisions_carry_no_trace_and_keep_their_bytes(fleet: Fleet, collector: Listener) -> None:
    """What a pipeline receives is the same whether we are traced or not."""
    spans = traced(fleet, collector, "pass-1")
    assert not [span for span in spans if "onboarding" in span.name]
    with fleet.redis() as redis:
        (message,) = redis.lrange("onboarding", 0, -1)
    assert b"traceparent" not in message


def test_a_collector_that_is_away_holds_nobody_up(fleet: Fleet, unused_port: int) -> None:
    nowhere = Listener(f"127.0.0.1:{unused_port}")
    assert traced(fleet, nowhere, "pass-1", OTEL_EXPORTER_OTLP_TIMEOUT="2") == []
    assert done(fleet) == 1


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "ekyc: OTEL_TRACES_EXPORTER: no exporter zipkin is installed"),
        ({"SENTRY_DSN": "nonsense"}, "ekyc: SENTRY_DSN is not a Sentry DSN"),
    ],
)
def test_what_cannot_be_switched_on_is_one_clear_line(
    fleet: Fleet, environment: dict[str, str], line: str
) -> None:
    ended = fleet.run("celery", "-A", "worker", "worker", **environment)
    assert ended.returncode == 2
    (said,) = [text for text in ended.stderr.splitlines() if text.startswith("ekyc: ")]
    assert said.startswith(line)
    assert "Traceback" not in ended.stderr
