"""The timestamp of a token request, where a clock is wrong: ours, the fleet's, or neither."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
import redis as redis_py

from tests.support.faketime import environment, needs_faketime, server_ahead
from tests.support.ports import free_port
from tests.support.vendor_stub import Call, Stub, envelope, http
from worker.advance.answers import TransientFault
from worker.advance.token_store import REFUSED_FOR_S, TokenStore
from worker.ledger.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = [needs_faketime, pytest.mark.timeout(60)]

MAX_SKEW_S = 300

ASK = """
import sys
from worker.ledger.connection import connect
from worker.settings import Settings
from worker.advance.client import Client
from worker.http_client import deadline
client = Client(Settings(base_url=sys.argv[1], access_key="a", secret_key="s"), connect(sys.argv[2]))
with deadline(10.0):
    print(client._tokens.get("ph"))
"""


class Vendor:
    """Gives a token for a timestamp that is right by its own clock, and says what time it is."""

    def __init__(self, *, right: bool = True) -> None:
        self.right = right
        self.asked = 0

    def __call__(self, call: Call) -> Iterable[Any]:
        self.asked += 1
        late_s = abs(time.time() - int(call.json()["timestamp"]) / 1000)
        good = self.right and late_s < MAX_SKEW_S
        expires_ms = int((time.time() + 3600) * 1000)
        granted = envelope("SUCCESS", {"token": "token-1", "expiredTime": expires_ms})
        yield http(granted if good else envelope("PARAMETER_ERROR"), Date=formatdate(usegmt=True))


def ask(vendor: Stub, url: str, *, ahead_s: int) -> subprocess.CompletedProcess[str]:
    """One worker's look for a token, by a process whose clock is ahead."""
    return subprocess.run(
        [sys.executable, "-c", ASK, vendor.origin, url],
        env=os.environ | environment(ahead_s),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_a_worker_with_a_wrong_clock_asks_by_the_clock_of_the_fleet(redis_url: str, ahead_s: int) -> None:
    vendor = Vendor()
    with Stub(vendor) as stub:
        done = ask(stub, redis_url, ahead_s=ahead_s)
    assert done.stdout.split()[-1:] == ["token-1"], done.stderr
    assert vendor.asked == 1


@pytest.mark.parametrize("ahead_s", [-3600, 7200])
def test_where_the_clock_of_the_fleet_is_wrong_the_vendors_date_counts(tmp_path: Path, ahead_s: int) -> None:
    vendor, port = Vendor(), free_port()
    with Stub(vendor) as stub, server_ahead(tmp_path, port, ahead_s):
        done = ask(stub, f"redis://127.0.0.1:{port}/0", ahead_s=0)
    assert done.stdout.split()[-1:] == ["token-1"], done.stderr
    assert vendor.asked == 2


def test_a_refusal_with_a_right_clock_is_believed(redis_url: str) -> None:
    vendor = Vendor(right=False)
    with Stub(vendor) as stub:
        done = ask(stub, redis_url, ahead_s=0)
    assert "TokenRefused" in done.stderr
    assert vendor.asked == 1


def test_a_refusal_and_a_lock_do_not_outlive_a_clock_that_goes_back(tmp_path: Path) -> None:
    """Both are keys that expire in seconds, by a clock that is an hour late after a failover."""
    port = free_port()
    with server_ahead(tmp_path, port, 3600):
        store = TokenStore(connect(f"redis://127.0.0.1:{port}/0"))
        store.refuse("ph", TransientFault("TIMEOUT"))
        assert store.read("ph").refusal is not None
        redis_py.Redis(port=port).set("ekyc:{ph}:token:lock", "of one that died", px=5000)
        store.store("sg", "token-1", 100.0)
    with server_ahead(tmp_path, port, 0):
        store = TokenStore(connect(f"redis://127.0.0.1:{port}/0"))
        assert store.read("ph").refusal is None
        assert store.read("sg").left_s <= 100.0
        with store.turn("ph", 5.0) as ours:
            assert ours
    assert REFUSED_FOR_S < 3600
