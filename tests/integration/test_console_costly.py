"""Requests that cost much share few places, so that one user cannot take all threads of `web`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import pytest
from werkzeug.exceptions import ServiceUnavailable

from schemas.enqueue import EnqueueRequest
from tests.support.console import EVERYTHING, users_text
from worker.ledger import Ledger
from worker.settings import Settings
from worker.web.console import costly
from worker.web.console.application import make_console
from worker.web.console.user_file import UserFile

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient
    from redis import Redis

FORM: Final = {"Origin": "http://localhost", "X-Forwarded-User": EVERYTHING}


@pytest.fixture
def client(redis: Redis, tmp_path: Path) -> FlaskClient:
    """A client that a proxy names."""
    path = tmp_path / "users.toml"
    path.write_text(users_text())
    settings = Settings(regions=("ph", "sg"), console_users_file=path, console_proxies=("127.0.0.1",))
    Ledger(redis).enqueue([EnqueueRequest("one", "ph")])
    return make_console(settings, redis, UserFile(path)).test_client()


def test_a_few_are_under_way_and_few_wait_not_for_long() -> None:
    with ExitStack() as inside:
        for _ in range(3):
            inside.enter_context(costly.place())
        began = time.monotonic()

        def refused(_: int) -> bool:
            with pytest.raises(ServiceUnavailable), costly.place():
                pytest.fail("there is no place")
            return True

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(refused, range(8)))
        assert time.monotonic() - began < 5


def test_all_that_costs_much_takes_a_place_and_the_rest_does_not(client: FlaskClient) -> None:
    reads = (
        ("/console/verifications?error_code=SUCCESS", 503),
        ("/console/quarantine?reason=UNREADABLE", 503),
        ("/console/quarantine/all?act=retry", 503),
        ("/console/audit?who=ann", 503),
        ("/console/", 200),
        ("/console/now", 200),
        ("/console/quarantine", 200),
        ("/console/audit", 200),
        ("/console/verifications/ph/one", 200),
    )
    posts = ("/console/verifications/by-context", "/console/verifications/ph/one/evidence")
    with ExitStack() as inside:
        for _ in range(3):
            inside.enter_context(costly.place())
        for path, status in reads:
            assert client.get(path, headers=FORM).status_code == status, path
        for path in posts:
            assert client.post(path, data={"key": "k"}, headers=FORM).status_code == 503, path
    for path, _ in reads:
        assert client.get(path, headers=FORM).status_code == 200, path
    for path in posts:
        assert client.post(path, data={"key": "k"}, headers=FORM).status_code == 200, path
