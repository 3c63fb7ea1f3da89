"""The time budget: what must be shorter than what, as shipped and within the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.evidence.breaker import LONGEST_S
from worker.http_client.adapter import MAX_IDLE_S
from worker.settings import Settings
from worker.time_budget import LEASE_LIMITS_S, LEASE_S, inequalities, lease_inequalities

if TYPE_CHECKING:
    from worker.time_budget import Inequality


@pytest.mark.parametrize("inequality", inequalities() + lease_inequalities(), ids=lambda one: one.why)
def test_it_holds_as_shipped(inequality: Inequality) -> None:
    assert inequality.holds, f"{inequality.shorter_s} s is not less than {inequality.longer_s} s"


@pytest.mark.parametrize("lease_s", LEASE_LIMITS_S)
def test_it_holds_within_the_limits_of_the_setting(lease_s: float) -> None:
    assert [one.why for one in inequalities(lease_s) if not one.holds] == []


def test_a_lease_below_the_limit_would_break_one() -> None:
    """The list can fail."""
    assert [one.why for one in inequalities(0.9) if not one.holds] == [
        "a batch checks at least once between two renewals",
        "a renewal that was missed is made up for",
    ]


def test_the_settings_have_the_same_lease() -> None:
    assert Settings().lease_s == LEASE_S


def test_idle_connections_and_the_store_s_probe_are_shorter_than_what_ends_them() -> None:
    """A NAT forgets a connection after a minute; the store's breaker probes more often than a lease lasts."""
    assert MAX_IDLE_S < 60
    assert LONGEST_S < LEASE_S
