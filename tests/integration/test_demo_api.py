"""The demo's pipeline that has HTTP alone, at a real `web`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import requests

from sandbox.demo.api import connected
from sandbox.demo.plan import plan
from tests.support.drive_ledger import decide, quarantine
from tests.support.web_process import ALL, READER, secret, web_process
from worker.ledger.webhooks import NewDelivery, Webhooks

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from worker.ledger import Ledger

PLANNED = tuple(replace(one, region="ph") for one in plan(1_003).all)


def test_it_enqueues_in_batches_and_repeats_the_first(redis_url: str, ledger: Ledger, tmp_path: Path) -> None:
    ledger.enqueue([PLANNED[0].request()])
    with (
        web_process(tmp_path, redis_url) as web,
        connected(f"http://127.0.0.1:{web.port}", secret(ALL)) as api,
    ):
        enqueued = api.enqueue(PLANNED)
        assert (enqueued.new, enqueued.requests, enqueued.repeated_alike) == (1_002, 2, True)
        seen = api.look({"ph": [one.signature_id for one in PLANNED], "sg": ["never"]})
        assert len(seen.reconciliations["ph"]["under_way"]) == 1_003
        assert seen.reconciliations["ph"]["balance"]["accepted"] == 1_003
        assert seen.reconciliations["sg"]["unknown"] == ["never"]
        # Nothing was enqueued under the same keys for this caller.
        assert api.enqueue([]) == replace(enqueued, new=0, requests=0)


def test_it_reads_every_page_of_the_feed(redis_url: str, ledger: Ledger, tmp_path: Path) -> None:
    for number in range(203):
        decide(ledger, f"done-{number}")
    quarantine(ledger, "odd")
    with (
        web_process(tmp_path, redis_url) as web,
        connected(f"http://127.0.0.1:{web.port}", secret(ALL)) as api,
    ):
        seen = api.look({"ph": ["odd"]})
        assert [one["signature_id"] for one in seen.decisions] == [f"done-{number}" for number in range(203)]
        assert seen.reconciliations["ph"]["quarantined"] == ["odd"]


def test_it_reads_every_page_of_the_deliveries(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    ids = [str(UUID(int=number)) for number in range(203)]
    Webhooks(redis).add("ph", "", [NewDelivery(each, "shop", "endpoint.test", "{}") for each in ids])
    with (
        web_process(tmp_path, redis_url) as web,
        connected(f"http://127.0.0.1:{web.port}", secret(ALL)) as api,
    ):
        seen = api.look({})
        assert sorted(each["id"] for each in seen.deliveries) == ids
        assert {each["state"] for each in seen.deliveries} == {"waiting"}


def test_what_it_may_not_do_is_an_error_with_the_reason(redis_url: str, tmp_path: Path) -> None:
    with (
        web_process(tmp_path, redis_url) as web,
        connected(f"http://127.0.0.1:{web.port}", secret(READER)) as api,
        pytest.raises(requests.HTTPError, match="web answered 403 to /v1/verifications: this needs a token"),
    ):
        api.enqueue(PLANNED[:1])
