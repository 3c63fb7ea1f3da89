"""However often it is tried, the log has a line when an outage begins and one, of its level, when it is over."""

from __future__ import annotations

import pytest
from redis import exceptions
from structlog.testing import capture_logs

from worker.errors import LedgerUnavailable, RightMissing
from worker.ledger.connection import translated
from worker.runtime.outage import DependencyLog


def test_an_outage_is_two_lines_of_one_level() -> None:
    now = iter([100.0, 107.5])
    outage = DependencyLog(clock=lambda: next(now))
    with capture_logs() as lines:
        outage.recovered()
        for _ in range(3):
            outage.unavailable(LedgerUnavailable("Redis is away"))
        outage.recovered()
        outage.recovered()
    assert lines == [
        {"event": "dependency_unavailable", "why": "Redis is away", "log_level": "warning"},
        {"event": "dependency_recovered", "after_s": 7.5, "log_level": "warning"},
    ]


def test_another_cause_within_an_outage_is_one_more_line_and_each_cause_only_one() -> None:
    outage = DependencyLog(clock=lambda: 0.0)
    with capture_logs() as lines:
        for why in ("refused", "password", "refused", "password"):
            outage.unavailable(LedgerUnavailable(why))
        outage.recovered()
        outage.unavailable(LedgerUnavailable("refused"))
    assert [line.get("why") for line in lines] == ["refused", "password", None, "refused"]


def test_what_others_say_of_an_outage_is_not_repeated() -> None:
    with capture_logs() as lines:
        DependencyLog().unavailable(ConnectionError("redis://:secret@host"))
    assert lines[0]["why"] == "ConnectionError"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (exceptions.OutOfMemoryError("command not allowed"), "Redis is out of memory (OOM)"),
        (exceptions.ResponseError("MISCONF see the log at 10.0.0.7"), "Redis refuses a command (MISCONF)"),
        (exceptions.ConnectionError("10.0.0.7"), "Redis does not answer (ConnectionError)"),
    ],
    ids=["OOM", "MISCONF", "away"],
)
def test_an_error_of_redis_reads_as_one_of_redis(error: Exception, why: str) -> None:
    wrapped = OSError("kombu's")
    wrapped.__cause__ = error
    with capture_logs() as lines:
        DependencyLog().unavailable(error)
        DependencyLog().unavailable(wrapped)
    assert [line["why"] for line in lines] == [why, why]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            exceptions.NoPermissionError("User zoe has no permissions to run the 'xrevrange' command"),
            "denies our account the command xrevrange (NOPERM)",
        ),
        (
            exceptions.ResponseError(
                "ACL failure in script: User zoe has no permissions to run the 'hsetnx' command script: 2f, on @x:1."
            ),
            "denies our account the command hsetnx (NOPERM)",
        ),
        (exceptions.NoPermissionError("No permissions to access a key"), "denies our account a key (NOPERM)"),
    ],
    ids=["command", "script", "key"],
)
def test_a_right_that_is_missing_has_a_name_and_an_error_of_its_own(error: Exception, said: str) -> None:
    with pytest.raises(RightMissing, match="ekyc doctor") as raised, translated():
        raise error
    assert said in str(raised.value)
    assert "zoe" not in str(raised.value)
