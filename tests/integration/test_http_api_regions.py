"""Requests that name several regions, or one that the fleet does not poll."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.ledger import Stats

if TYPE_CHECKING:
    from redis import Redis

    from tests.support.web_process import Web


def test_a_batch_of_which_one_region_failed_is_completed_by_sending_it_again(web: Web, redis: Redis) -> None:
    redis.set("ekyc:{sg}:due:polling", "not a sorted set")
    body = {"verifications": [{"signature_id": "a", "region": region} for region in ("ph", "sg")]}
    answer = web.post("/v1/verifications", body)
    assert answer.status == 503
    assert answer.json["detail"].startswith("a part of a batch may be accepted: send the request again")
    assert Stats(redis).counts("ph").enqueued == 1
    redis.delete("ekyc:{sg}:due:polling", "ekyc:{sg}:v:a", "ekyc:{sg}:t:a")
    again = web.post("/v1/verifications", body)
    assert (again.status, [each["new"] for each in again.json["verifications"]]) == (202, [False, True])


@pytest.mark.parametrize("ids", [["a"], [f"v{number}" for number in range(600)]])
def test_a_reconciliation_of_a_region_that_is_not_polled_is_refused_as_an_enqueue_is(
    web: Web, ids: list[str]
) -> None:
    answer = web.post("/v1/reconciliations", {"region": "vn", "signature_ids": ids})
    assert answer.status == 422
    assert answer.json["errors"] == [{"pointer": "/region", "detail": "this fleet polls ph, sg only"}]
    refused = web.post("/v1/verifications", {"signature_id": "a", "region": "vn"})
    assert answer.json["errors"] == refused.json["errors"]
    for region in ("ph", "sg"):
        assert web.post("/v1/reconciliations", {"region": region, "signature_ids": ids}).status == 200
