"""What one cause repeats is one line a minute with a count; what differs, or is over, is written at once."""

from __future__ import annotations

import io
import json
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from tests.support.waiting import until
from worker.observability import logs
from worker.observability.logs import Throttled, configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator


class Log:
    """The log of a process that was set up like a worker's."""

    def __init__(self, stream: io.StringIO, handler: Throttled) -> None:
        self._stream = stream
        self.handler = handler

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def await_lines_for(self, number: int) -> list[dict[str, Any]]:
        """Wait until the lines stand for `number`."""
        until(lambda: sum(line.get("repeated", 1) for line in self.lines) >= number, f"lines for {number}")
        return self.lines


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """A minute of it is an hour, unless a test makes it shorter."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers, root.level, structlog.get_config()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(logs, "REPEATS_S", 3600.0)
    configure_logging("INFO")
    (handler,) = root.handlers
    assert isinstance(handler, Throttled)
    try:
        yield Log(stream, handler)
    finally:
        root.handlers, root.level = before[:2]
        structlog.configure(**before[2])
        logging.captureWarnings(capture=False)


def fault(number: int, **more: Any) -> None:
    said = {"cause": "EVIDENCE_UNAVAILABLE", "region": "ph", "stage": "archiving", "retry": True} | more
    error = f"file:///evidence/{number} cannot be written"
    structlog.get_logger("t").warning("verification_fault", signature_id=f"a{number}", error=error, **said)


def test_a_cause_is_a_line_at_once_and_then_a_line_a_minute_with_a_count(log: Log) -> None:
    log.handler._every_s = 0.3
    for number in range(1560):
        fault(number)
    lines = log.await_lines_for(1560)
    assert "repeated" not in lines[0]
    assert {line["event"] for line in lines} == {"verification_fault"}
    assert sum(line.get("repeated", 1) for line in lines) == 1560
    assert len(lines) < 50
    time.sleep(0.7)
    assert len(log.lines) == len(lines), "nothing more happened"
    fault(1)
    assert "repeated" not in log.lines[-1], "the cause had ended"


def test_what_was_counted_is_written_when_the_process_ends(log: Log) -> None:
    for number in range(3):
        fault(number)
    log.handler.close()
    assert [line.get("repeated") for line in log.lines] == [None, 2]


@pytest.mark.parametrize(
    "other", [{"cause": "IMAGE_UNAVAILABLE"}, {"region": "sg"}, {"stage": "polling"}], ids=str
)
def test_other_causes_regions_and_stages_are_other_lines(log: Log, other: dict[str, str]) -> None:
    fault(1)
    fault(2, **other)
    assert len(log.lines) == 2


def test_a_fault_that_puts_a_person_into_quarantine_has_its_own_line(log: Log) -> None:
    for number in range(3):
        fault(number, cause="EVIDENCE_CONFLICT", retry=False)
    assert [line["signature_id"] for line in log.lines] == ["a0", "a1", "a2"]


def test_after_a_recovery_the_next_fault_is_written_at_once(log: Log) -> None:
    told = structlog.get_logger("t")
    for _ in range(3):
        told.warning("region_held", region="ph", reason="VENDOR_DOWN", cause="HTTP_503", until="…")
    told.warning("breaker_closed", region="ph")
    told.warning("region_held", region="ph", reason="VENDOR_DOWN", cause="HTTP_503", until="…")
    said = [(line["event"], line.get("repeated")) for line in log.lines]
    assert said == [
        ("region_held", None),
        ("region_held", 2),
        ("breaker_closed", None),
        ("region_held", None),
    ]


def test_each_act_of_a_person_is_a_line(log: Log) -> None:
    for _ in range(2):
        structlog.get_logger("t").warning("region_held", region="ph", reason="x", by="operator")
    assert len(log.lines) == 2


def test_below_warning_nothing_is_counted(log: Log) -> None:
    for _ in range(5):
        structlog.get_logger("t").info("token_issued", region="ph")
    assert len(log.lines) == 5


def test_the_same_failure_of_many_tasks_is_one_line(log: Log) -> None:
    """As Celery logs them: an id in the arguments, the same error."""
    for number in range(40):
        context = {"id": f"batch-{number}", "name": "tasks.get_result", "exc": "LedgerUnavailable('away')"}
        logging.getLogger("celery.app.trace").error(
            "Task %(name)s[%(id)s] raised unexpected: %(exc)s", context
        )
    log.handler.close()
    assert [line.get("repeated") for line in log.lines] == [None, 39]


def test_causes_without_end_do_not_fill_the_memory(log: Log) -> None:
    for number in range(2 * logs.MOST_CAUSES):
        fault(1, cause=f"CAUSE_{number}")
    assert len(log.lines) == 2 * logs.MOST_CAUSES
    assert len(log.handler._causes) == logs.MOST_CAUSES
