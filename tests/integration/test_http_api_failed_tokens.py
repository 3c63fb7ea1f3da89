"""A flood of requests without a valid token: it is refused cheaply, and a valid token is served beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import until
from tests.support.web_process import ALL, EXPIRED, NOTIFIER, Answer, Web, secret, web_process
from worker.web.api.failed_tokens import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

BODY = {"signatureId": "a", "type": "COMPLETED"}


@pytest.fixture
def web(redis: Redis, redis_url: str, tmp_path: Path) -> Iterator[Web]:
    with web_process(tmp_path, redis_url) as running:
        yield running


def test_a_flood_without_a_valid_token_is_refused_and_a_valid_one_is_not(web: Web) -> None:
    statuses: list[int] = []
    # Some more than AT_ONCE: one is allowed again every 200 ms.
    while 429 not in statuses and len(statuses) < 5 * AT_ONCE:
        statuses.append(web.post("/v1/notifications/ph?secret=wrong", BODY, name=None).status)
    assert statuses[:AT_ONCE] == [401] * AT_ONCE
    assert 429 in statuses
    for name in (None, "nobody", EXPIRED):
        refused = flooded(web, name)
        assert refused.json["type"] == "urn:ekyc:problem:too-many-failures"
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["content-type"] == "application/problem+json"
    assert web.post(f"/v1/notifications/ph?secret={secret(NOTIFIER)}", BODY, name=None).status == 200
    assert web.get("/v1/decisions", name=ALL).status == 200
    for path in ("/v1/webhook-keys", "/openapi.json", "/docs", "/healthz"):
        assert web.get(path, name=None).status == 200, path
    until(lambda: web.lines("api_failures_refused"), "the refusals are one line", 20)
    assert len(web.lines("api_failures_refused")) == 1
    assert "secret=wrong" not in web.log
    assert [line for line in web.lines("api_request") if line["status"] == 429] == []


def flooded(web: Web, name: str | None) -> Answer:
    """The first answer that is no 401: now and then one failure is allowed again."""
    for _ in range(500):
        answer = web.get("/v1/decisions", name=name)
        if answer.status != 401:
            assert answer.status == 429
            return answer
    raise AssertionError("a flood is never refused")
