"""Which decisions go to the queue: also after a crash, and after a change of the table."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import tasks  # noqa: F401 - the package has the task under the name of the module
from tests.support.drive_ledger import decision_text
from worker.decisions.delivery import Outgoing
from worker.decisions.endpoints import Endpoint
from worker.decisions.table import Table
from worker.ledger.models import Stage, Verification
from worker.policy.outcome_seal import Sealer

if TYPE_CHECKING:
    from pathlib import Path

TABLE = (
    'name = "t"\notherwise = "review"\n[deliveries]\nreview = ["webhook:shop"]\n'
    '[[rules]]\ndecision = "approve"\noverall_result = "PASS"\nerror_code = "SUCCESS"\n'
)

#: `tasks.route_decision` is the task.
MODULE: Any = sys.modules["tasks.route_decision"]

NEW = Verification("one", "ph", Stage.ROUTING, 0)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    path = tmp_path / "table.toml"
    path.write_text(TABLE)
    table = Table.load(path, {"shop"})
    endpoints = {"shop": Endpoint("shop", "https://shop.example/")}
    parts = SimpleNamespace(table=table, endpoints=endpoints, sealer=Sealer.from_secrets([b"a key"]))
    monkeypatch.setattr(MODULE, "services", lambda: parts)
    return table


def outgoing(name: str, table: str) -> Outgoing:
    decision = json.loads(decision_text("one", name=name)) | {"table": table}
    return Outgoing(decision["id"], name, json.dumps(decision))


def channels(verification: Verification, out: Outgoing) -> tuple[bool, list[str]]:
    """Whether it goes to the queue, and the endpoints that get it from now on."""
    deliveries = MODULE.fixed(verification, out).deliveries
    return MODULE.by_celery(verification, out), [each.endpoint for each in deliveries]


def test_the_table_says_where_a_decision_goes(table: Table) -> None:
    assert channels(NEW, outgoing("approve", table.version)) == (True, [])
    assert channels(NEW, outgoing("review", table.version)) == (False, ["shop"])


def test_a_decision_that_was_fixed_adds_no_delivery_again(table: Table) -> None:
    out = outgoing("review", table.version)
    before = replace(NEW, decision=out.text, decision_name="review")
    assert channels(replace(before, deliveries=("shop",)), out) == (False, [])
    # The endpoint has acknowledged already.
    assert channels(before, out) == (False, [])


def test_a_decision_of_another_table_without_a_webhook_still_reaches_the_queue(table: Table) -> None:
    del table
    out = outgoing("review", "older-1")
    before = replace(NEW, decision=out.text, decision_name="review")
    assert channels(before, out) == (True, [])
    assert channels(replace(before, deliveries=("shop",)), out) == (False, [])
