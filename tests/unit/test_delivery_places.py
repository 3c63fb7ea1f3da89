"""The places of a process for deliveries: what one endpoint uses up is never missing to another."""

from __future__ import annotations

import gevent
import pytest

from tests.support.executor_calls import finish
from worker.concurrency.executor import EventLoop
from worker.decisions.endpoints import MAX_ENDPOINTS, Endpoint
from worker.ledger.webhooks import Delivery, Kind, Outcome, State
from worker.runtime.delivery_runner import BATCHES, CALLS, OF_ONE, Lanes, Places

NAMES = tuple(f"e{number}" for number in range(MAX_ENDPOINTS))


def deliveries(endpoint: str, count: int) -> list[Delivery]:
    return [
        Delivery(f"{endpoint}-{number}", "ph", endpoint, "", "t", "{}", State.WAITING, 0)
        for number in range(count)
    ]


def test_an_endpoint_that_hangs_takes_no_call_from_another() -> None:
    lanes = Lanes(NAMES, EventLoop())
    freed: list[bool] = []
    now = {"most": 0, "open": 0}

    def hang(one: Delivery) -> Outcome:
        while not freed:
            gevent.sleep(0.01)
        return Outcome(one.id, Kind.BACK)

    def send(one: Delivery) -> Outcome:
        now["open"] += 1
        now["most"] = max(now["most"], now["open"])
        gevent.sleep(0.05)
        now["open"] -= 1
        return Outcome(one.id, Kind.ACKNOWLEDGED)

    dead = lanes.begin(hang, deliveries("e0", 3 * CALLS), "e0")
    shop = lanes.begin(send, deliveries("e1", 2 * CALLS), "e1")
    assert len(finish(shop)) == 2 * CALLS
    assert now["most"] == CALLS
    assert len(dead.pending) == 3 * CALLS
    freed.append(True)
    assert len(finish(dead)) == 3 * CALLS


@pytest.mark.parametrize(("endpoints", "of_one"), [(1, OF_ONE), (6, OF_ONE), (12, 2), (MAX_ENDPOINTS, 1)])
def test_each_endpoint_has_a_batch_whatever_others_have(endpoints: int, of_one: int) -> None:
    places = Places(NAMES[:endpoints])
    assert places.most_batches == of_one * endpoints <= max(BATCHES, MAX_ENDPOINTS)
    configured = {name: Endpoint(name, f"https://{name}.example/") for name in NAMES[:endpoints]}
    taken = [places.batch("e0", 10) for _ in range(of_one)]
    for each in taken:
        assert each.__enter__()
    assert places.free("e0") == 0
    with places.batch("e0", 10) as has_place:
        assert not has_place
    assert [each.endpoint for each in places.wanted(configured)] == list(NAMES[1:endpoints])
    for each in taken:
        each.__exit__(None, None, None)
    assert places.free("e0") == CALLS


def test_deliveries_in_flight_count_as_well_as_batches() -> None:
    places = Places(NAMES[:1])
    with places.batch("e0", CALLS - 1):
        assert places.free("e0") == 1
    with places.batch("unknown", 5) as has_place:
        assert has_place
    assert places.free("e0") == CALLS
