"""What is no request of HTTP gets a problem that quotes nothing, and the log has no text of it."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.ports import free_port
from tests.support.waiting import until
from tests.support.web_process import Web, web_process

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(120)

SECRET = "TOPSECRET"
HOST = b"Host: ekyc\r\n"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    redis_url = f"redis://127.0.0.1:{free_port()}/0"
    with web_process(tmp_path_factory.mktemp("web"), redis_url, FORWARDED_ALLOW_IPS="127.0.0.1") as web:
        yield web


@pytest.mark.parametrize(
    ("sent", "status", "slug"),
    [
        (b"GET /v1/notifications/ph?secret=TOPSECRET\r\n\r\n", 400, "bad-request"),
        (b"GET /v1/notifications/ph?secret=TOPSECRET HTTX/1.1\r\n" + HOST + b"\r\n", 400, "bad-request"),
        (b"GET /v1/x?secret=TOPSECRET x HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-request"),
        (b"get /v1/x?secret=TOPSECRET HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-request"),
        (b"GET /v1/x\xff?secret=TOPSECRET HTTP/1.1\r\n" + HOST + b"\r\n", 400, "bad-request"),
        (b"GET /v1/x HTTP/1.1\r\nAuthorization Bearer TOPSECRET\r\n\r\n", 400, "bad-request"),
        (b"GET /v1/x HTTP/1.1\r\nAuthorization : Bearer TOPSECRET\r\n\r\n", 400, "bad-request"),
        (b"GET /v1/x HTTP/1.1\r\nAuthorization: Bearer\r\n TOPSECRET\r\n\r\n", 400, "bad-request"),
        (b"GET /v1/x HTTP/1.1\r\nAuthorization: Bearer TOPSECRET\0\r\n\r\n", 400, "bad-request"),
        (b"POST /v1/x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "bad-request"),
        (b"POST /v1/x HTTP/1.1\r\nContent-Length: TOPSECRET\r\n\r\nab", 400, "bad-request"),
        (b"GET /" + b"a" * 5_000 + b"TOPSECRET HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri-too-long"),
        (b"POST /v1/x HTTP/1.1\r\nContent-Length: 0\r\nExpect: TOPSECRET\r\n\r\n", 417, "expectation-failed"),
        (b"GET /v1/x HTTP/1.1\r\nX: " + b"TOPSECRET" * 4_000 + b"\r\n\r\n", 431, "headers-too-large"),
        (b"GET /v1/x HTTP/1.1\r\n" + b"X: TOPSECRET\r\n" * 200 + b"\r\n", 431, "headers-too-large"),
        (
            b"POST /v1/x HTTP/1.1\r\nTransfer-Encoding: TOPSECRET\r\n\r\n",
            501,
            "transfer-coding-unknown",
        ),
        (b"GET //v1/TOPSECRET HTTP/1.1\r\n" + HOST + b"\r\n", 404, "not-found"),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"X: TOPSECRET\r\n\r\n", 404, "not-found"),
    ],
)
def test_what_is_malformed_is_a_problem_that_quotes_nothing(
    web: Web, sent: bytes, status: int, slug: str
) -> None:
    before = len(web.log)
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as client:
        client.sendall(sent)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        raw = answer.read()
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    found = json.loads(raw)
    assert (found["type"], found["status"]) == (f"urn:ekyc:problem:{slug}", status)
    assert SECRET not in raw.decode() + str(answer.headers)
    assert SECRET not in web.log[before:]


def test_a_refused_request_is_a_line_with_its_kind(web: Web) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as client:
        client.sendall(b"GET /v1/x?secret=TOPSECRET\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
    line = until(lambda: web.lines("request_refused"), "it is logged")[0]
    assert line["level"] == "warning"
    assert set(line) <= {"event", "kind", "level", "logger", "timestamp", "repeated"}
    assert SECRET not in web.log


@pytest.mark.parametrize("header", [b"SCRIPT_NAME: /v1", b"PATH_INFO: /metrics", b"Script_Name: /v1"])
def test_no_header_leads_from_the_api_to_another_page(web: Web, header: bytes) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=20) as client:
        client.sendall(b"GET /v1/metrics HTTP/1.1\r\n" + HOST + header + b"\r\n\r\n")
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
