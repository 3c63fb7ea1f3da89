"""The heads of answers: each header once, and a HEAD like its GET without a body."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from typing import Any

import pytest

from tests.support.web_process import ALL, READER, SLOW, Web, secret


def send(
    web: Web, method: str, path: str, body: Any = None, name: str | None = ALL
) -> tuple[int, list[tuple[str, str]], bytes]:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if name is not None:
        headers["Authorization"] = f"Bearer {secret(name)}"
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return (
            response.status,
            [(name.lower(), value) for name, value in response.getheaders()],
            response.read(),
        )
    finally:
        connection.close()


ONE = {"signature_id": "a", "region": "ph"}

REQUESTS = [
    ("POST", "/v1/verifications", ONE, ALL, 202),
    ("POST", "/v1/verifications", {"verifications": [ONE]}, ALL, 202),
    ("POST", "/v1/verifications", {}, ALL, 422),
    ("POST", "/v1/verifications", ONE, READER, 403),
    ("GET", "/v1/verifications", None, ALL, 200),
    ("GET", "/v1/verifications/ph/never", None, ALL, 404),
    ("GET", "/v1/decisions", None, ALL, 200),
    ("GET", "/v1/nowhere", None, ALL, 404),
    ("DELETE", "/v1/decisions", None, ALL, 405),
    ("GET", "/v1/decisions", None, None, 401),
    ("GET", "/v1/webhook-keys", None, None, 200),
    ("GET", "/openapi.json", None, None, 200),
]


@pytest.mark.parametrize(("method", "path", "body", "name", "status"), REQUESTS)
def test_each_header_is_there_once(  # noqa: PLR0917 - the parts of a request
    web: Web, method: str, path: str, body: Any, name: str | None, status: int
) -> None:
    found, headers, raw = send(web, method, path, body, name)
    assert found == status, raw
    assert [each for each, count in Counter(name for name, _ in headers).items() if count > 1] == []
    given = dict(headers)
    assert given["content-length"] == str(len(raw))
    assert given["x-content-type-options"] == "nosniff"
    assert given["cache-control"] == ("public, max-age=300" if path == "/v1/webhook-keys" else "no-store")
    assert ("ratelimit" in given, "ratelimit-policy" in given) == (name is not None, name is not None)


def test_a_refused_request_says_once_when_to_come_back(web: Web) -> None:
    answers = [send(web, "GET", "/v1/decisions", name=SLOW) for _ in range(8)]
    refused = next(headers for status, headers, _ in answers if status == 429)
    names = Counter(name for name, _ in refused)
    assert (names["retry-after"], names["ratelimit"], names["ratelimit-policy"]) == (1, 1, 1)


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/verifications?limit=1", "/v1/verifications/ph/a"])
def test_a_head_is_a_get_without_its_body(web: Web, path: str) -> None:
    assert send(web, "POST", "/v1/verifications", ONE)[0] == 202
    of_get, of_head = send(web, "GET", path), send(web, "HEAD", path)
    assert (of_head[0], of_head[2]) == (200, b"")
    assert of_get[2]
    changing = {"date", "ratelimit", "retry-after", "content-length"}
    assert {each for each in of_head[1] if each[0] not in changing} == {
        each for each in of_get[1] if each[0] not in changing
    }
    assert dict(of_head[1]).keys() == dict(of_get[1]).keys()


@pytest.mark.parametrize("path", ["/v1/verifications", "/v1/decisions", "/v1/deliveries"])
@pytest.mark.parametrize("limit", ["1_0", "%201", "0", "101", "1e1", "-1", "%D9%A1", "1.0", ""])
def test_the_size_of_a_page_is_decimal_digits(web: Web, path: str, limit: str) -> None:
    status, _, raw = send(web, "GET", f"{path}?limit={limit}")
    assert status == 422, raw
    assert [each["parameter"] for each in json.loads(raw)["errors"]] == ["limit"]
