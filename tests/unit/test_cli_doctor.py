"""What `ekyc doctor` makes of a Redis that a test cannot have."""

from __future__ import annotations

import pytest

from worker.cli.checks import ledger
from worker.cli.checks.finding import Level


@pytest.mark.parametrize(
    ("version", "level"),
    [("5.0.14", Level.ERROR), ("6.0.0", Level.OK), ("7.4.1", Level.OK), ("10.0.0", Level.OK)],
)
def test_a_redis_that_is_too_old_is_an_error(version: str, level: Level) -> None:
    assert ledger._version({"redis_version": version}, "here").level is level


def test_a_file_that_cannot_be_written_is_as_bad_as_none() -> None:
    assert ledger._append_only({"aof_enabled": 1, "aof_last_write_status": "err"}).level is Level.ERROR


class SlowClock:
    """A Redis whose clock is minutes behind."""

    def time(self) -> tuple[int, int]:
        return 1_000_000, 0


def test_a_clock_that_differs_from_redis_is_a_warning() -> None:
    (found,) = ledger._clock(SlowClock())  # type: ignore[arg-type]
    assert found.level is Level.WARNING
    assert "ahead of Redis" in found.said
