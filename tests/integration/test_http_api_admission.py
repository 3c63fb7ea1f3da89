"""What a request must pass before a resource sees it: tokens, scopes, rates, sizes, types, and an outage of Redis."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ports import free_port
from tests.support.waiting import until
from tests.support.web_process import (
    ALL,
    EXPIRED,
    NOTIFIER,
    READER,
    SLOW,
    WRITER,
    Answer,
    Web,
    secret,
    token,
    web_process,
)
from worker.ledger import Stats
from worker.policy.api_tokens import entry

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

#: Method and path of every operation, and the scope that it needs.
OPERATIONS = [
    ("POST", "/v1/verifications", "enqueue"),
    ("GET", "/v1/verifications", "read"),
    ("GET", "/v1/verifications/ph/a", "read"),
    ("POST", "/v1/verifications/ph/a/nudge", "enqueue"),
    ("GET", "/v1/decisions", "read"),
    ("POST", "/v1/reconciliations", "read"),
]


def slug(answer: Any) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    return str(answer.json["type"]).removeprefix("urn:ekyc:problem:")


@pytest.mark.parametrize(("method", "path", "scope"), OPERATIONS)
def test_every_operation_needs_a_valid_token_with_its_scope(
    web: Web, method: str, path: str, scope: str
) -> None:
    missing = web.send(method, path, name=None)
    assert (missing.status, slug(missing)) == (401, "unauthorized")
    assert missing.headers["www-authenticate"] == 'Bearer realm="ekyc"'
    for headers in (
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Basic {secret(ALL)}"},
        {"Authorization": f"Bearer {secret(EXPIRED)}"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer \xe4"},
    ):
        assert web.send(method, path, **headers).status == 401, headers
    wrong = web.send(method, path, name=NOTIFIER)
    assert (wrong.status, slug(wrong)) == (403, "forbidden")
    assert f"the scope {scope}" in wrong.json["detail"]
    right = web.send(method, path, name=READER if scope == "read" else WRITER)
    assert right.status in {200, 400, 404}


def test_an_expired_token_is_told_apart(web: Web) -> None:
    answer = web.get("/v1/decisions", name=EXPIRED)
    assert answer.json["detail"] == "the token has expired"
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_the_query_carries_the_token_of_a_notification_and_of_nothing_else(web: Web) -> None:
    assert web.get(f"/v1/decisions?secret={secret(ALL)}", name=None).status == 401
    assert web.post("/v1/notifications/ph", {"signatureId": "a"}, name=ALL).status == 401


def test_tokens_are_rotated_without_a_restart(redis_url: str, tmp_path: Path, redis: Redis) -> None:
    with web_process(tmp_path, redis_url) as web:
        assert web.get("/v1/decisions", name="second").status == 401
        web.tokens_path.write_text(entry(token(READER, "read")) + "\n" + entry(token("second", "read")))
        until(lambda: web.get("/v1/decisions", name="second").status == 200, "the new token is valid")
        assert web.get("/v1/decisions", name=READER).status == 200
        web.tokens_path.write_text(entry(token("second", "read")))
        until(lambda: web.get("/v1/decisions", name=READER).status == 401, "the old token is not")
        web.tokens_path.write_text("[[token")

        def logged() -> bool:
            assert web.get("/v1/decisions", name="second").status == 200
            return bool(web.lines("api_tokens_unusable"))

        until(logged, "the fault is logged")
        time.sleep(1.5)
        web.get("/v1/decisions", name="second")
        assert len(web.lines("api_tokens_unusable")) == 1


def test_without_a_file_of_tokens_every_request_is_refused_with_the_settings_name(
    redis_url: str, tmp_path: Path
) -> None:
    with web_process(tmp_path, redis_url, EKYC_API_TOKENS_FILE="") as web:
        for method, path, _ in OPERATIONS:
            answer = web.send(method, path)
            assert (answer.status, slug(answer)) == (403, "api-disabled")
            assert "EKYC_API_TOKENS_FILE" in answer.json["detail"]
        assert web.get("/healthz", name=None).status == 200
        assert web.get("/openapi.json", name=None).status == 200


def test_pages_for_probes_and_the_description_need_no_token(web: Web) -> None:
    for path in ("/healthz", "/metrics", "/openapi.json", "/docs", "/docs/docs.css"):
        assert web.get(path, name=None).status == 200, path


# Rates


def test_every_answer_to_a_token_says_what_is_left(web: Web) -> None:
    answers = [
        web.get("/v1/decisions"),
        web.get("/v1/verifications/ph/unknown"),
        web.get("/v1/nothing"),
        web.post("/v1/verifications", b"{"),
        web.send("DELETE", "/v1/verifications"),
        web.get("/v1/decisions", name=NOTIFIER),
    ]
    for answer in answers:
        assert answer.headers["ratelimit-policy"].startswith('"default";q=')
        assert answer.headers["ratelimit"].startswith('"default";r=')


def test_a_token_that_asks_too_often_waits_and_no_other_does(web: Web, redis: Redis) -> None:
    """0.3 requests per second: three at once."""
    answers = [web.get("/v1/decisions", name=SLOW) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == [
        '"default";r=2',
        '"default";r=1',
        '"default";r=0',
        '"default";r=0',
    ]
    assert slug(answers[3]) == "rate-limited"
    assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=10'
    assert 1 <= int(answers[3].headers["retry-after"]) <= 4
    assert web.get("/v1/decisions").status == 200
    # A flood asks Redis for nothing. All of it must come before the next place is free.
    calls = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    for _ in range(5):
        assert web.post(f"/v1/notifications/ph?secret={secret(SLOW)}", b"{", name=None).status == 429
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == calls
    until(lambda: web.get("/v1/decisions", name=SLOW).status == 200, "it may ask again", 20)


def once_known(web: Web, name: str) -> Answer:
    """The first answer to a token that the process has just been given."""

    def known() -> Answer | None:
        answer = web.get("/v1/decisions", name=name)
        return None if answer.status == 401 else answer

    found: Answer = until(known, "the token is known")
    return found


def test_all_processes_share_the_rate(web: Web, redis_url: str, tmp_path: Path) -> None:
    """One request in 100 seconds, so that no place becomes free meanwhile."""
    with web_process(tmp_path, redis_url) as another:
        statuses = [each.get("/v1/decisions", name="few").status for each in (web, another)]
        assert statuses == [401, 401]
        for each in (web, another):
            each.tokens_path.write_text(
                each.tokens_path.read_text() + "\n" + entry(token("few", "read", rate=0.01))
            )
        assert once_known(web, "few").status == 200
        assert once_known(another, "few").status == 429
        assert web.get("/v1/decisions", name="few").status == 429


# Bodies


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml",
        "application/json; charset=latin-1", "application/jsonx", "", "nonsense",
    ],
)  # fmt: skip
def test_any_other_content_type_is_refused(web: Web, redis: Redis, content_type: str) -> None:
    body = b'{"signature_id": "a", "region": "ph"}'
    answer = web.send("POST", "/v1/verifications", body, Content_Type=content_type)
    assert (answer.status, slug(answer)) == (415, "unsupported-media-type")
    assert Stats(redis).counts("ph").enqueued == 0


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8"])
def test_json_in_utf_8_is_taken(web: Web, content_type: str) -> None:
    body = '{"signature_id": "a", "region": "ph", "context": "é"}'.encode()
    assert web.send("POST", "/v1/verifications", body, Content_Type=content_type).status == 202


def raw(web: Web, head: str, body: bytes = b"") -> bytes:
    """What is answered to bytes on a socket, up to its end."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as client:
        client.sendall(head.replace("\n", "\r\n").encode() + body)
        received = b""
        while part := client.recv(65_536):
            received += part
        return received


HEAD = (
    f"POST /v1/verifications HTTP/1.1\nHost: ekyc\nAuthorization: Bearer {secret(ALL)}\n"
    "Content-Type: application/json\n"
)


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(web: Web) -> None:
    answer = raw(web, f"{HEAD}Content-Length: 2097153\n\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"urn:ekyc:problem:body-too-large" in answer


def test_the_largest_body_is_read(web: Web) -> None:
    answer = web.post("/v1/verifications", b" " * (2 * 1024 * 1024 - 2) + b"{}")
    assert (answer.status, slug(answer)) == (422, "invalid-request")


def test_a_body_in_chunks_is_refused(web: Web) -> None:
    answer = raw(web, f"{HEAD}Transfer-Encoding: chunked\n\n", b"2\r\n{}\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 411 ")


# Everything else is a problem, too.


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nothing", "/v1/verifications/", "/docs/nothing", "//v1/decisions"]
)
def test_an_unknown_path_is_a_problem(web: Web, path: str) -> None:
    answer = web.get(path)
    assert answer.status == 404
    if not path.startswith("//"):
        assert slug(answer) == "not-found"


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "OPTIONS", "TRACE", "NONSENSE"])
def test_an_unknown_method_is_a_problem_that_names_the_known_ones(web: Web, method: str) -> None:
    answer = web.send(method, "/v1/verifications")
    assert (answer.status, slug(answer)) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_without_redis_every_request_is_told_to_come_back(tmp_path: Path) -> None:
    with web_process(tmp_path, f"redis://127.0.0.1:{free_port()}/0") as web:
        for method, path, _ in OPERATIONS:
            answer = web.send(method, path)
            assert (answer.status, slug(answer)) == (503, "ledger-unavailable")
            assert answer.headers["retry-after"] == "5"
        assert web.get("/v1/decisions", name="nobody").status == 401


def test_a_bug_is_a_problem_and_its_traceback_is_in_the_log_alone(web: Web, redis: Redis) -> None:
    """No process of ours writes a decision that is no JSON."""
    redis.hset("ekyc:{ph}:v:broken", mapping={"s": "done", "e": "1", "d": "{"})
    answer = web.get("/v1/verifications/ph/broken")
    assert (answer.status, slug(answer)) == (500, "internal-error")
    assert "Traceback" not in answer.raw.decode()
    (line,) = web.lines("api_failed")
    assert "Traceback" in line["exception"]
    assert line["route"] == "/v1/verifications/<region:region>/<signature_id:signature_id>"


def test_no_line_of_a_request_is_lost_when_web_ends(redis_url: str, tmp_path: Path) -> None:
    """They are written together, a moment later."""
    with web_process(tmp_path, redis_url) as web:
        for _ in range(5):
            web.get("/v1/decisions")
        web.process.terminate()
        web.process.wait(30)
    assert [line["status"] for line in web.lines("api_request")] == [200] * 5


def test_a_request_is_one_line_without_what_was_sent(web: Web) -> None:
    web.post(
        "/v1/verifications",
        {"signature_id": "very-secret-id", "region": "ph", "context": "very-secret-context"},
    )
    web.get("/v1/verifications/ph/very-secret-id?very-secret-query=1")
    web.send("GET", "/v1/very-secret-path", name=None)
    web.send("VERY-SECRET-METHOD", "/v1/decisions")
    web.post(f"/v1/notifications/ph?secret={secret(NOTIFIER)}", {"signatureId": "very-secret-id"}, name=None)
    expected = [
        ("POST", "/v1/verifications", 202, ALL),
        ("GET", "/v1/verifications/<region:region>/<signature_id:signature_id>", 200, ALL),
        ("GET", "none", 404, ""),
        ("other", "none", 405, ALL),
        ("POST", "/v1/notifications/<region:region>", 200, NOTIFIER),
    ]

    def logged() -> list[tuple[str, str, int, str]]:
        return [
            (line["method"], line["route"], line["status"], line["token"])
            for line in web.lines("api_request")[-5:]
        ]

    until(lambda: logged() == expected, "the five are logged")
    lines = web.lines("api_request")[-5:]
    assert all(line["ms"] >= 0 and line["timestamp"] and line["level"] == "info" for line in lines)
    assert "very-secret" not in web.log.lower()
    assert "secret-of-" not in web.log
