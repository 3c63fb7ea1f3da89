"""Costly requests: while as many run as may, further ones are refused, and everything else is served."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.web_process import ALL, secret, tokens_text
from worker.ledger import pages
from worker.ledger.models import Stage
from worker.settings import Settings
from worker.web.api.application import make_application
from worker.web.api.backend import Backend
from worker.web.api.costly import LARGE_BODY
from worker.web.api.gate import Gate
from worker.web.api.reconciliations import FEW
from worker.web.api.token_file import TokenFile

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask
    from redis import Redis

    from worker.ledger import Ledger

ONE = {"signature_id": "a", "region": "ph"}
LARGE = json.dumps(ONE | {"context": "x"}).encode().ljust(LARGE_BODY + 1)

#: Method, path and body of each costly request, and its status where it runs.
COSTLY: list[tuple[str, str, Any, int]] = [
    ("GET", "/v1/verifications", None, 200),
    ("GET", "/v1/verifications?stage=done", None, 200),
    ("GET", "/v1/verifications?stage=dropped&decision=approve", None, 200),
    ("POST", "/v1/verifications", LARGE, 202),
    ("POST", "/v1/verifications", b"[".ljust(LARGE_BODY + 1), 400),
    # There is no such endpoint here.
    ("POST", "/v1/deliveries/recover", {"endpoint": "shop", "since": "2026-11-29T12:00:00Z"}, 422),
    (
        "POST",
        "/v1/reconciliations",
        {"region": "ph", "signature_ids": [f"v{n}" for n in range(FEW + 1)]},
        200,
    ),
]

CHEAP: list[tuple[str, str, Any, int]] = [
    ("POST", "/v1/verifications", ONE, 202),
    ("GET", "/v1/verifications/ph/unknown", None, 404),
    ("GET", "/v1/verifications?stage=polling", None, 200),
    ("GET", "/v1/verifications?stage=quarantined", None, 200),
    ("GET", "/v1/decisions", None, 200),
    ("POST", "/v1/reconciliations", {"region": "ph", "signature_ids": ["a"] * FEW}, 200),
    ("POST", "/v1/verifications", {"verifications": [ONE] * 1000}, 202),
]


@pytest.fixture
def app(redis: Redis, tmp_path: Path) -> Flask:
    path = tmp_path / "tokens.toml"
    path.write_text(tokens_text())
    settings, tokens = Settings(regions=("ph",)), TokenFile(path)
    made = make_application(settings, redis, tokens)
    backend = Backend.of(settings, redis, tokens)
    object.__setattr__(backend, "gate", Gate(at_once=1, waiting=0))
    backend.attach(made.extensions)
    return made


def send(app: Flask, method: str, path: str, body: Any) -> Any:
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body)
    return app.test_client().open(
        path,
        method=method,
        data=raw,
        headers={"Authorization": f"Bearer {secret(ALL)}"},
        content_type="application/json" if raw else None,
    )


def gate_of(app: Flask) -> Gate:
    backend: Backend = app.extensions["ekyc"]
    return backend.gate


@pytest.mark.parametrize(("method", "path", "body", "status"), COSTLY)
def test_a_costly_request_without_a_place_is_refused(
    app: Flask, method: str, path: str, body: Any, status: int
) -> None:
    assert gate_of(app).enter()
    answer = send(app, method, path, body)
    assert (answer.status_code, answer.json["type"]) == (503, "urn:ekyc:problem:busy")
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["RateLimit"].startswith('"default";r=')
    gate_of(app).leave()
    # Each of them leaves, also one with a fault.
    for _ in range(3):
        assert send(app, method, path, body).status_code in {status, 200}


@pytest.mark.parametrize(("method", "path", "body", "status"), CHEAP)
def test_other_requests_are_served_meanwhile(
    app: Flask, method: str, path: str, body: Any, status: int
) -> None:
    assert gate_of(app).enter()
    assert send(app, method, path, body).status_code == status


@pytest.mark.parametrize("several", [False, True])
def test_a_verification_with_many_unknown_members_has_one_fault(app: Flask, several: bool) -> None:
    one = ONE | {f"member-{number}": 1 for number in range(900)}
    answer = send(app, "POST", "/v1/verifications", {"verifications": [ONE, one]} if several else one)
    assert answer.status_code == 422
    assert answer.json["errors"] == [
        {"pointer": "/verifications/1" if several else "", "detail": "has more than 20 members"}
    ]


def test_a_page_ends_when_its_time_is_over(redis: Redis, ledger: Ledger) -> None:
    redis.zadd("ekyc:{ph}:quarantine", {f"v{number}": number for number in range(3 * pages.SLICE)})
    wanted = pages.Filter(stage=Stage.QUARANTINED)
    patient, hurried = pages.Bounds(longest_s=60.0), pages.Bounds(longest_s=-1.0)
    assert pages.page(redis, ["ph"], wanted, pages.Position(), 10, bounds=patient).following is None
    following: pages.Position | None = pages.Position()
    calls = 0
    while following is not None:
        following = pages.page(redis, ["ph"], wanted, following, 10, bounds=hurried).following
        calls += 1
    assert calls >= 3
