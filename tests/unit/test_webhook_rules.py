"""The schedule of a delivery by webhook."""

from __future__ import annotations

from random import Random

from worker.ledger.webhooks import Delivery, State
from worker.policy.backoff import WEBHOOK
from worker.policy.webhooks import LIMITS, after_answer, after_fault
from worker.time_budget import LEASE_S, WEBHOOK_S

DAY_S = 86_400


def delivery(tries: int) -> Delivery:
    return Delivery("1", "ph", "shop", "", "t", "{}", State.WAITING, 0, tries)


def test_ten_tries_take_about_three_days() -> None:
    random = Random(1)
    for _ in range(100):
        waits = [
            after_fault(delivery(tries), "TIMEOUT", random).in_s for tries in range(LIMITS.most_tries - 1)
        ]
        assert 2.7 * DAY_S < sum(waits) < 3.3 * DAY_S
        assert waits[0] <= 10
    assert WEBHOOK.limit == LIMITS.most_tries == 10
    assert LIMITS.pause_after_s == 3 * DAY_S


def test_two_deliveries_do_not_wait_equally_long() -> None:
    random = Random(1)
    assert len({after_fault(delivery(3), "TIMEOUT", random).in_s for _ in range(50)}) == 50


def test_retry_after_counts_only_where_it_means_a_wait() -> None:
    random = Random(1)
    assert after_answer(delivery(0), 500, 60.0, random).hold_s == 0
    assert after_answer(delivery(0), 429, 60.0, random).hold_s == 60
    assert after_answer(delivery(0), 429, 60.0, random).in_s == 60
    assert after_answer(delivery(8), 429, 60.0, random).in_s > DAY_S / 2


def test_a_try_ends_within_a_lease() -> None:
    assert WEBHOOK_S == 15
    assert WEBHOOK_S < LEASE_S
