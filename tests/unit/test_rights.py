"""What a worker's account needs is what our code and kombu's call, and what the docs say."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from kombu.transport import redis as kombus

from tests.support.paths import ROOT
from worker.ledger import rights, worker_registry
from worker.messaging import redis_transport

#: Of the ledger's Lua, and of its clients.
_CALLS = re.compile(r"redis\.p?call\(\s*'([A-Z]+)'")


def test_every_command_of_a_script_is_among_the_rights() -> None:
    folder = ROOT / "worker" / "ledger" / "lua"
    ledger = {name for path in folder.glob("*.lua") for name in _CALLS.findall(path.read_text())}
    ledger |= set(_CALLS.findall(Path(worker_registry.__file__).read_text()))
    assert len(ledger) > 20
    assert {name.lower() for name in ledger} <= set(rights.commands(rights.LEDGER))
    ours = _CALLS.findall(Path(redis_transport.__file__).read_text())
    theirs = _CALLS.findall(inspect.getsource(kombus))
    assert {name.lower() for name in (*ours, *theirs)} <= set(rights.commands(rights.BROKER))


def test_the_docs_name_the_account_that_is_needed() -> None:
    needs = rights.together(rights.of_ledger([]), rights.of_broker("celery", "onboarding"))
    line = f"ACL SETUSER ekyc on >PASSWORD {' '.join(needs.rules)}"
    assert line in (ROOT / "docs" / "redis.md").read_text().splitlines()


@pytest.mark.parametrize(("queue", "patterns"), [("celery", 5), ("polls", 6)])
def test_a_queue_of_another_name_has_a_pattern_of_its_own(queue: str, patterns: int) -> None:
    needs = rights.of_broker(queue, "onboarding", 3)
    assert f"{queue}*" in needs.keys
    assert len(needs.keys) == patterns
    assert needs.channels == ("/3.celery.pidbox", "/3.celeryev/*")
