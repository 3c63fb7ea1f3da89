"""The console of a `web` whose account on Redis lacks a right: a wait does not help, so no page waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.console import VIEWER, console_process, person
from tests.support.redis_states import account
from tests.support.waiting import until
from worker.ledger import rights

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

#: A worker's account: it may not scan.
ENOUGH = rights.of_ledger(("ph", "sg")).rules


@pytest.fixture
def url(redis: Redis) -> str:
    return f"redis://someone@127.0.0.1:{redis.connection_pool.connection_kwargs['port']}/0"


def test_a_page_names_the_right_that_it_needs_and_does_not_wait(
    redis: Redis, url: str, tmp_path: Path
) -> None:
    with account(redis, *ENOUGH), console_process(tmp_path, url) as web:
        viewer = person(web, VIEWER)
        assert viewer.get("/console/").status == 200
        answer = viewer.get("/console/verifications?stage=done")
        assert answer.status == 503
        assert b"<code>ACL SETUSER someone +scan</code>" in answer.raw
        assert b'http-equiv="refresh"' not in answer.raw
        (line,) = web.lines("console_right_missing")
        assert "+scan" in line["why"]
        # What a worker needs is there.
        assert b"no worker was seen" in web.get("/readyz").raw


def test_a_server_whose_account_lacks_rights_says_so_at_its_start(
    redis: Redis, url: str, tmp_path: Path
) -> None:
    rules = [rule for rule in ENOUGH if rule not in {"+zcount", "+hsetnx"}]
    with account(redis, *rules), console_process(tmp_path, url) as web:
        until(lambda: web.lines("fleet_not_ready"), "the first look was logged")
        command = "run `ACL SETUSER someone +hsetnx +zcount`"
        assert command in web.lines("fleet_not_ready")[0]["why"]
        answer = web.get("/readyz")
        assert (answer.status, command in answer.raw.decode()) == (503, True)
        # The console names the command that it was denied, also one within a script.
        answer = person(web, VIEWER).get("/console/")
        assert answer.status == 503
        assert b"zcount" in answer.raw or b"hsetnx" in answer.raw
        assert b'http-equiv="refresh"' not in answer.raw
