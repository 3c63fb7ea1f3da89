"""What `ekyc doctor` says about endpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worker.cli.checks.endpoints import troubles
from worker.decisions.endpoints import Endpoint
from worker.ledger.webhooks import Answer, EndpointState

WELL = EndpointState(
    "shop", "ph", now_ms=10**12, waiting=3, due=0, due_at_ms=None, in_flight=0, failed=0, acknowledged=5
)
ENDPOINTS = {"shop": Endpoint("shop", "https://shop.example/")}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            replace(WELL, name="old"),
            "3 deliveries of ph wait for it, and EKYC_ENDPOINTS_FILE does not have it",
        ),
        (
            replace(WELL, paused_at_ms=1, paused_why="GONE"),
            "is paused in ph (GONE): 3 deliveries wait",
        ),
        (
            replace(WELL, failing_since_ms=10**12 - 2 * 86_400_000),
            "acknowledges nothing in ph: it is paused soon",
        ),
        (
            replace(WELL, failures_in_a_row=5, answers=(Answer(2, "HTTP_401"), Answer(1, "HTTP_500"))),
            "has failed 5 times in a row in ph, the last with HTTP_401: 3 deliveries wait, and one at a time is tried",
        ),
        (replace(WELL, failed=2), "did not take 2 deliveries of ph"),
    ],
)
def test_an_endpoint_that_needs_a_person_is_a_warning(state: EndpointState, said: str) -> None:
    (finding,) = troubles([WELL, state], ENDPOINTS)
    assert (finding.level, finding.said) == ("warning", said)
    assert finding.todo


def test_an_endpoint_that_works_is_none() -> None:
    assert not list(troubles([WELL, replace(WELL, name="old", waiting=0)], ENDPOINTS))
    for few in (replace(WELL, failures_in_a_row=4), replace(WELL, failures_in_a_row=9, waiting=0)):
        assert not list(troubles([few], ENDPOINTS))
