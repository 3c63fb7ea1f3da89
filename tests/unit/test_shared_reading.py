"""One reading for all threads: at most one a second, and nobody hangs with a Redis that hangs."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.waiting import until
from worker.errors import LedgerUnavailable
from worker.web.console import shared_reading
from worker.web.console.shared_reading import EVERY_S, OLD_S, WAIT_S, SharedReading


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers wait until a busy machine has read."""
    monkeypatch.setattr(shared_reading, "WAIT_S", 30.0)


class Source:
    """What is read: a number that counts the readings. `gate` holds one back, `fails` ends it."""

    def __init__(self) -> None:
        self.readings = 0
        self.at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self.fails: Exception | None = None

    def read(self) -> int:
        self.readings += 1
        self.at_once += 1
        assert self.at_once == 1
        try:
            self.gate.wait()
            if self.fails:
                raise self.fails
            return self.readings
        finally:
            self.at_once -= 1


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.usefixtures("patient")
def test_many_threads_at_once_share_one_reading() -> None:
    source = Source()
    shared = SharedReading(source.read, clock=Clock())
    source.gate.clear()
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(shared.get) for _ in range(50)]
        until(lambda: source.readings, "the reading has begun")
        source.gate.set()
        values = {each.result().value for each in asked}
    assert (values, source.readings) == ({1}, 1)


@pytest.mark.usefixtures("patient")
def test_a_value_is_read_again_once_a_second_has_passed() -> None:
    source, clock = Source(), Clock()
    shared = SharedReading(source.read, clock=clock)
    assert [shared.get().value for _ in range(5)] == [1] * 5
    clock.now += EVERY_S - 0.01
    assert shared.get().value == 1
    clock.now += 0.01
    assert [shared.get().value for _ in range(5)] == [2] * 5
    assert not shared.get().is_old


def test_a_reading_that_hangs_delays_one_reader_once_and_the_last_value_stays_with_its_age() -> None:
    source, clock = Source(), Clock()
    shared = SharedReading(source.read, clock=clock)
    assert shared.get().value == 1
    source.gate.clear()
    try:
        clock.now += OLD_S + 1
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            found = [each.result() for each in [pool.submit(shared.get) for _ in range(8)]]
        assert {(each.value, each.age_s, each.is_old) for each in found} == {(1, OLD_S + 1, True)}
        began = time.monotonic()
        for _ in range(50):
            clock.now += EVERY_S
            assert shared.get().is_old
        # Ten times off: none of the fifty waits.
        assert time.monotonic() - began < 10 * WAIT_S
        assert source.readings == 2
    finally:
        source.gate.set()
    until(lambda: not shared.get().is_old, "it recovers by itself")
    assert shared.get().value > 1


@pytest.mark.usefixtures("patient")
def test_a_failed_reading_leaves_the_last_value_which_is_old_at_once() -> None:
    source, clock = Source(), Clock()
    shared = SharedReading(source.read, clock=clock)
    assert shared.get().value == 1
    source.fails = LedgerUnavailable("Redis is away")
    clock.now += EVERY_S
    until(lambda: shared.get().is_old, "the failure is seen")
    assert shared.get().value == 1
    source.fails = None
    clock.now += EVERY_S
    until(lambda: not shared.get().is_old, "it recovers by itself")


@pytest.mark.usefixtures("patient")
def test_without_any_value_the_failure_is_raised() -> None:
    source = Source()
    source.fails = LedgerUnavailable("Redis is away")
    shared = SharedReading(source.read, clock=Clock())
    for _ in range(3):
        with pytest.raises(LedgerUnavailable, match="Redis is away"):
            shared.get()
    assert source.readings == 1


def test_a_reading_that_hangs_from_the_start_is_an_error_after_one_wait() -> None:
    source = Source()
    source.gate.clear()
    shared = SharedReading(source.read, clock=Clock())
    try:
        began = time.monotonic()
        for _ in range(30):
            with pytest.raises(LedgerUnavailable, match="no figures yet"):
                shared.get()
        assert time.monotonic() - began < 10 * WAIT_S
    finally:
        source.gate.set()
    until(lambda: _value(shared) == 1, "it recovers by itself")


@pytest.mark.usefixtures("patient")
def test_a_bug_in_a_reading_is_logged_and_does_not_stop_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    source, clock = Source(), Clock()
    shared = SharedReading(source.read, clock=clock)
    source.fails = ValueError("a bug")
    with pytest.raises(LedgerUnavailable, match="cannot be read"):
        shared.get()
    assert "census_failed" in capsys.readouterr().out
    source.fails = None
    clock.now += EVERY_S
    until(lambda: _value(shared) == 2, "the next one is read")


def _value(shared: SharedReading[int]) -> int | None:
    try:
        return shared.get().value
    except LedgerUnavailable:
        return None


@pytest.mark.usefixtures("patient")
def test_a_failure_that_nobody_saw_for_long_says_nothing_about_now() -> None:
    """After minutes without a tab, the first page waits for its own reading."""
    source, clock = Source(), Clock()
    shared = SharedReading(source.read, clock=clock)
    shared.get()
    clock.now += EVERY_S
    source.fails = LedgerUnavailable("away")
    until(lambda: shared.get().is_old, "the failure is known")
    source.fails = None
    clock.now += 90.0
    reading = shared.get()
    assert (reading.is_old, reading.age_s) == (False, 0.0)
