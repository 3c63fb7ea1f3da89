"""A fleet without endpoints does not pay for webhooks."""

from __future__ import annotations

import redis as redis_py

from worker.client import enqueue
from worker.ledger.scripts import NAMES, Scripts
from worker.testing import LocalFleet

#: The scripts that serve deliveries by webhook alone.
WEBHOOKS = frozenset(
    {
        "add_deliveries",
        "claim_deliveries",
        "load_deliveries",
        "renew_deliveries",
        "record_deliveries",
        "resend",
        "pause_endpoint",
        "resume_endpoint",
        "endpoints",
    }
)


def test_a_fleet_without_endpoints_calls_no_script_of_theirs_and_has_no_key() -> None:
    with LocalFleet() as fleet:
        enqueue("pass-n1-1", "ph")
        assert [each.name for each in fleet.drain()] == ["approve"]
        with redis_py.Redis.from_url(fleet.redis_url) as redis:
            shas = {name: script.sha for name, script in Scripts(redis)._scripts.items()}
            # Redis knows a script once it has been called.
            known = dict(zip(shas, redis.script_exists(*shas.values()), strict=True))
            keys = [
                key
                for key in redis.scan_iter()
                if b"webhook" in key or b"endpoint" in key or b"delivering" in key
            ]
    assert set(NAMES) >= WEBHOOKS
    assert known["record"]
    assert not any(known[name] for name in WEBHOOKS)
    assert keys == []
