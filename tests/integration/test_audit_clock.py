"""The audit log while the clock of Redis jumps: no entry is lost, and every later one has the right time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.faketime import needs_faketime, server_ahead
from tests.support.ports import free_port
from worker.ledger import Ledger
from worker.ledger.audit import AuditLog, Via, Wanted
from worker.ledger.connection import connect

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [needs_faketime, pytest.mark.timeout(90)]

TWO_YEARS_S = 2 * 365 * 86_400


def act(port: int, times: int) -> None:
    """Acts on a region, and acts without one."""
    with connect(f"redis://127.0.0.1:{port}/0") as redis:
        for _ in range(times):
            Ledger(redis).hold("ph", for_s=60, reason="ran out", who="maria", via=Via.CLI)
            AuditLog(redis).record("audit_export", who="maria", via=Via.CLI)


def test_a_jump_ahead_of_years_costs_no_entry(tmp_path: Path) -> None:
    port = free_port()
    with server_ahead(tmp_path, port, 0) as redis:
        # Workers are at work, and stop.
        Ledger(connect(f"redis://127.0.0.1:{port}/0")).claim("ph", limit=1)
        act(port, 15)
    with server_ahead(tmp_path, port, TWO_YEARS_S):
        act(port, 3)
    with server_ahead(tmp_path, port, 0) as redis:
        before_ms = round((time.time() - 1) * 1000)
        act(port, 4)
        log = AuditLog(connect(f"redis://127.0.0.1:{port}/0"))
        assert len(list(log.entries())) == 2 * (15 + 3 + 4)
        now_ms = round((time.time() + 1) * 1000)
        newest = list(log.entries(Wanted(since_ms=before_ms, until_ms=now_ms)))
        assert len(newest) == 2 * 4
        assert all(before_ms <= one.at_ms <= now_ms for one in newest)
        assert redis.xlen("ekyc:{ph}:audit:2") == 4
