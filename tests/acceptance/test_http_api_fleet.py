"""A pipeline that has HTTP alone: it enqueues, waits, reads every decision and reconciles, on a real fleet."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.waiting import until
from tests.support.web_process import NOTIFIER, READER, WRITER, secret, web_process

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet
    from tests.support.web_process import Web

pytestmark = pytest.mark.timeout(240)


def read_decisions(web: Web, after: str | None) -> tuple[list[dict[str, Any]], str]:
    """All decisions after the cursor, in pages of five."""
    found: list[dict[str, Any]] = []
    while True:
        cursor = "" if after is None else f"&after={after}"
        page = web.get(f"/v1/decisions?limit=5{cursor}", name=READER).json
        found += page["decisions"]
        after = str(page["next"])
        if not page["more"]:
            return found, after


def test_a_pipeline_needs_nothing_but_http(fleet: Fleet) -> None:
    fleet.worker()
    with web_process(fleet.folder, fleet.redis_url) as web:
        ids = [f"pass-n{number % 3}-{number}" for number in range(20)]
        items: list[dict[str, Any]] = [
            {"signature_id": name, "region": region, "context": {"application": number}}
            for number, name in enumerate(ids)
            for region in (("ph", "sg")[number % 2],)
        ]
        items.append({"signature_id": "CARD_NOT_FOUND-1", "region": "ph"})
        items.append({"signature_id": "wrongid-always-1", "region": "ph"})
        accepted = web.post("/v1/verifications", {"verifications": items}, name=WRITER)
        assert (accepted.status, accepted.json["new"]) == (202, 22)

        seen: list[dict[str, Any]] = []
        cursor: str | None = None

        def all_seen() -> bool:
            nonlocal cursor
            new, cursor = read_decisions(web, cursor)
            seen.extend(new)
            return len(seen) >= 21

        until(all_seen, "every decision is in the feed")
        until(
            lambda: web.get("/v1/verifications/ph/wrongid-always-1").json["stage"] == "quarantined",
            "the one that cannot be read needs a person",
        )
        fleet.await_done(11, "ph")
        fleet.await_done(10, "sg")
        assert read_decisions(web, cursor)[0] == []
        assert len({decision["id"] for decision in seen}) == 21
        delivered = {message["id"]: message["decision"] for message in fleet.delivered()}
        assert {decision["id"]: decision for decision in seen} == delivered

        one = web.get("/v1/verifications/ph/pass-n0-0", name=READER)
        assert (one.json["stage"], one.json["decision_name"]) == ("done", "approve")
        assert one.json["decision"]["context"] == {"application": 0}
        of_ph = [item["signature_id"] for item in items if item["region"] == "ph"]
        body = {"region": "ph", "signature_ids": [*of_ph, "never-1"]}
        found = web.post("/v1/reconciliations", body, name=READER).json
        assert sorted(found["done"]) == sorted(set(of_ph) - {"wrongid-always-1"})
        assert (found["quarantined"], found["unknown"], found["under_way"]) == (
            ["wrongid-always-1"],
            ["never-1"],
            [],
        )
        balance = found["balance"]
        assert balance.pop("accepted") == sum(balance.values()) == 12


def test_the_vendors_callback_makes_a_decision_quick(fleet: Fleet) -> None:
    """Without it the next poll would come after minutes."""
    fleet.environment |= {"EKYC_POLL_FIRST": "300", "EKYC_POLL_CAP": "600"}
    fleet.worker()
    with web_process(fleet.folder, fleet.redis_url) as web:
        web.post("/v1/verifications", {"signature_id": "pass-n1-1", "region": "ph"}, name=WRITER)
        url = "/v1/verifications/ph/pass-n1-1"
        until(lambda: web.get(url).json["polls"] == 1, "the vendor has no result yet")
        assert int(web.get(url).headers["retry-after"]) > 60
        began = time.monotonic()
        callback = {"signatureId": "pass-n1-1", "type": "COMPLETED"}
        answer = web.post(f"/v1/notifications/ph?secret={secret(NOTIFIER)}", callback, name=None)
        assert answer.status == 200
        until(lambda: web.get("/v1/decisions").json["decisions"], "the decision is made")
        assert time.monotonic() - began < 30
