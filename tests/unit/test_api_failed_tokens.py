"""How often an address may send requests without a valid token."""

from __future__ import annotations

import pytest
import structlog.testing

from worker.web.api import failed_tokens
from worker.web.api.failed_tokens import AT_ONCE, INTERVAL_S, MOST_ADDRESSES, Failures


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(failures: Failures, address: str, times: int) -> None:
    for _ in range(times):
        failures.count(address)


def test_an_address_may_fail_some_times_at_once_and_slowly_for_ever() -> None:
    clock = Clock()
    failures = Failures(clock)
    fail(failures, "192.0.2.1", AT_ONCE - 1)
    assert failures.wait_s("192.0.2.1") == 0
    failures.count("192.0.2.1")
    assert failures.wait_s("192.0.2.1") == 1
    assert failures.wait_s("192.0.2.2") == 0
    for _ in range(1000):
        clock.now += INTERVAL_S * 1.01
        assert failures.wait_s("192.0.2.1") == 0
        failures.count("192.0.2.1")


def test_failures_are_forgotten_with_time() -> None:
    clock = Clock()
    failures = Failures(clock)
    fail(failures, "192.0.2.1", 2 * AT_ONCE)
    assert failures.wait_s("192.0.2.1") > 1
    clock.now += 2 * AT_ONCE * INTERVAL_S + 1
    assert failures.wait_s("192.0.2.1") == 0
    assert failures._arrivals == {}


def test_the_table_is_bounded_and_the_first_address_makes_room() -> None:
    failures = Failures(Clock())
    fail(failures, "10.0.0.0", AT_ONCE)
    for number in range(MOST_ADDRESSES + 10):
        failures.count(f"10.1.{number >> 8}.{number & 255}")
    assert len(failures._arrivals) == MOST_ADDRESSES
    assert failures.wait_s("10.0.0.0") == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "", True),
        ("unix", "", False),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(one: str, other: str, same: bool) -> None:
    failures = Failures(Clock())
    fail(failures, one, AT_ONCE)
    assert (failures.wait_s(other) > 0) is same


def test_refusals_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_tokens, "LOGGED_EACH_S", 3600.0)
    failures = Failures(Clock())
    with structlog.testing.capture_logs() as lines:
        for _ in range(50):
            failures.note_refusal()
        failures.write()
    assert lines == [{"event": "api_failures_refused", "count": 50, "log_level": "warning"}]
