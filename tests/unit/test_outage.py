"""However often it is tried, the log has a line when an outage begins and one when it is over."""

from __future__ import annotations

from structlog.testing import capture_logs

from worker.errors import LedgerUnavailable
from worker.outage import Outage


def test_an_outage_is_two_lines() -> None:
    now = iter([100.0, 107.5])
    outage = Outage(clock=lambda: next(now))
    with capture_logs() as lines:
        outage.is_over()
        for _ in range(3):
            outage.goes_on(LedgerUnavailable("Redis is away"))
        outage.is_over()
        outage.is_over()
    told = [(line["event"], line.get("why"), line.get("rested_s")) for line in lines]
    assert told == [("worker_rests", "Redis is away", None), ("worker_goes_on", None, 7.5)]


def test_what_others_say_of_an_outage_is_not_repeated() -> None:
    with capture_logs() as lines:
        Outage().goes_on(ConnectionError("redis://:secret@host"))
    assert lines[0]["why"] == "ConnectionError"
