"""What `web` answers, page by page, on a real Valkey."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.util import setup_testing_defaults

import pytest
from structlog.testing import capture_logs

from tests.support.redis_states import full
from worker.errors import ConfigError
from worker.ledger.worker_registry import Worker, WorkerRegistry
from worker.settings import Settings
from worker.web.app import App

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis


class Answer(NamedTuple):
    """What came back."""

    status: str
    headers: dict[str, str]
    body: bytes


def ask(face: App, path: str, method: str = "GET", **headers: str) -> Answer:
    environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method, **headers}
    setup_testing_defaults(environ)
    began: list[Any] = []
    body = b"".join(face(environ, lambda status, headers: began.extend([status, headers])))  # type: ignore[arg-type]
    status, given = began
    return Answer(status, dict(given), body)


@pytest.fixture
def face(redis_url: str) -> App:
    return App(Settings(redis_url=redis_url, regions=("ph",)))


@pytest.fixture
def without_redis(unused_port: int) -> App:
    return App(Settings(redis_url=f"redis://127.0.0.1:{unused_port}/0", regions=("ph",)))


@pytest.mark.parametrize("name", ["face", "without_redis"])
def test_it_lives_whatever_else_does(name: str, request: pytest.FixtureRequest) -> None:
    assert ask(request.getfixturevalue(name), "/healthz")[::2] == ("200 OK", b"ok\n")


def test_it_is_ready_while_a_worker_is_seen(face: App, redis: Redis) -> None:
    registry, worker = WorkerRegistry(redis), Worker("w1@host", "1", "0.1.0")
    nobody = ("503 Service Unavailable", b"no worker was seen in the last 20 s\n")
    assert ask(face, "/readyz")[::2] == nobody
    registry.sign_in(worker)
    assert ask(face, "/readyz")[::2] == ("200 OK", b"ok\n")
    registry.sign_out(worker)
    assert ask(face, "/readyz")[::2] == nobody


def test_it_is_not_ready_while_redis_refuses_to_write_whoever_was_seen(face: App, redis: Redis) -> None:
    """A full one answers as ever, and workers that signed in before are still in the registry."""
    WorkerRegistry(redis).sign_in(Worker("w1@host", "1", "0.1.0"))
    with full(redis):
        status, _, body = ask(face, "/readyz")
        assert status == "503 Service Unavailable"
        assert body == b"Redis refuses to write (OOM): nothing is accepted or recorded; run `ekyc doctor`\n"
    assert ask(face, "/readyz")[::2] == ("200 OK", b"ok\n")


def test_without_redis_it_says_so_in_one_line(without_redis: App) -> None:
    answer = ask(without_redis, "/readyz")
    assert answer.status == "503 Service Unavailable"
    assert answer.body.startswith(b"Redis does not answer")
    assert answer.body.count(b"\n") == 1
    figures = [line for line in ask(without_redis, "/metrics").body.splitlines() if not line.startswith(b"#")]
    assert figures == [b"ekyc_up 0.0"]


def test_what_has_not_changed_is_not_logged_again(face: App, redis: Redis) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            ask(face, "/readyz")
        WorkerRegistry(redis).sign_in(Worker("w1@host", "1", "0.1.0"))
        for _ in range(3):
            ask(face, "/readyz")
            ask(face, "/healthz")
            ask(face, "/metrics")
    assert [line["event"] for line in logs] == ["fleet_not_ready", "fleet_ready"]


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0"),
    ],
)
def test_metrics_come_in_the_form_that_is_asked_for(face: App, accept: str, content_type: str) -> None:
    answer = ask(face, "/metrics", HTTP_ACCEPT=accept, HTTP_ACCEPT_ENCODING="gzip")
    assert answer.headers["Content-Type"].startswith(content_type)
    assert b'ekyc_oldest_due_seconds{region="ph"} 0.0\n' in gzip.decompress(answer.body)


def test_single_metrics_can_be_asked_for(face: App, redis: Redis) -> None:
    WorkerRegistry(redis).sign_in(Worker("w1@host", "1", "0.1.0"))
    answer = ask(face, "/metrics", QUERY_STRING="name[]=ekyc_up&name[]=ekyc_worker_info")
    names = {line.split()[2] for line in answer.body.decode().splitlines() if line.startswith("# TYPE")}
    assert names == {"ekyc_up", "ekyc_worker_info"}


def test_other_pages_and_other_methods_are_refused(face: App) -> None:
    nothing = ask(face, "/")
    assert (nothing.status, nothing.headers["Content-Type"]) == ("404 NOT FOUND", "application/problem+json")
    assert b"there are /healthz, /readyz, /metrics and /v1/" in nothing.body
    assert ask(face, "/healthz", "POST").status == "405 Method Not Allowed"
    assert ask(face, "/healthz", "HEAD")[::2] == ("200 OK", b"")


def test_a_table_that_cannot_be_read_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        App(Settings(decisions_file=tmp_path / "none.toml"))
