"""The demo's endpoint: its files, and the checks of what was delivered to it."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.catalogue import Expectation
from sandbox.demo.checks import checks
from sandbox.demo.endpoint import DECISIONS, ENDPOINT, Endpoint, Webhook, received
from sandbox.demo.folder import Folder
from sandbox.demo.listener import Listener
from sandbox.demo.plan import Plan
from sandbox.demo.report import Channel
from sandbox.demo.tally import tally
from tests.unit.demo_findings import APPROVED, DELIVERY, GOOD, UNREADABLE
from worker.decisions import endpoints
from worker.decisions.table import PACKAGED, Table
from worker.signatures import parse_secret

if TYPE_CHECKING:
    from sandbox.demo.findings import Findings

FORGED = replace(APPROVED, expect=Expectation("decided", "reject", "FAIL", "FORGED", evidence_complete=True))
DECISION = {**DELIVERY.decision, "decision": "reject", "overall_result": "FAIL", "error_code": "FORGED"}
BODY = {"type": "verification.decided", "id": DECISION["id"], "signature_id": "pass-1", "decision": "reject"}
WEBHOOK = Webhook(5_300, "delivery-1", json.dumps(BODY), refused="")
LISTED: dict[str, Any] = {
    "id": "delivery-1",
    "endpoint": ENDPOINT,
    "signature_id": "pass-1",
    "state": "acknowledged",
    "tries": 1,
    "fault": None,
}

#: A demo in which the decision goes to the queue and to the endpoint.
DELIVERED = replace(
    GOOD,
    plan=Plan(at_once=(FORGED, UNREADABLE), one_by_one=()),
    deliveries={"pass-1": [replace(DELIVERY, task="onboarding.reject", decision=DECISION)]},
    counts=replace(GOOD.counts, decisions={"reject": 1}, error_codes={"FORGED": 1}),
    seen=replace(GOOD.seen, decisions=(DECISION,), deliveries=(LISTED,)),
    webhooks=(WEBHOOK,),
)


def failed(findings: Findings) -> set[str]:
    return {check.name for check in checks(findings) if not check.ok}


def listed(*deliveries: dict[str, Any]) -> Findings:
    return replace(DELIVERED, seen=replace(DELIVERED.seen, deliveries=deliveries))


def got(*webhooks: Webhook) -> Findings:
    return replace(DELIVERED, webhooks=webhooks)


def test_a_delivery_that_arrived_and_was_acknowledged_passes_every_check() -> None:
    assert failed(DELIVERED) == set()


def test_the_same_bytes_under_the_same_id_may_come_again() -> None:
    assert failed(got(WEBHOOK, WEBHOOK)) == set()


@pytest.mark.parametrize(
    ("findings", "check"),
    [
        (listed(), "webhooks_acknowledged"),
        (listed(LISTED, {**LISTED, "id": "delivery-2"}), "webhooks_acknowledged"),
        (listed({**LISTED, "state": "waiting"}), "webhooks_acknowledged"),
        (listed(LISTED, {**LISTED, "id": "delivery-2", "signature_id": "nodata-2"}), "webhooks_acknowledged"),
        (got(), "webhooks_acknowledged"),
        (got(WEBHOOK, replace(WEBHOOK, body="{}")), "webhooks_acknowledged"),
        (got(WEBHOOK, replace(WEBHOOK, id="delivery-2")), "webhooks_acknowledged"),
        (got(replace(WEBHOOK, body=json.dumps({**BODY, "decision": "approve"}))), "webhooks_acknowledged"),
        (got(WEBHOOK, replace(WEBHOOK, refused="WRONG_SIGNATURE")), "webhooks_signed"),
    ],
)
def test_what_goes_wrong_with_a_delivery_fails_its_check(findings: Findings, check: str) -> None:
    assert failed(findings) == {check}


def test_a_decision_for_the_queue_alone_must_not_arrive() -> None:
    findings = replace(GOOD, seen=replace(GOOD.seen, deliveries=(LISTED,)), webhooks=(WEBHOOK,))
    problems = [line for check in checks(findings) for line in check.problems]
    assert problems == ["pass-1: its decision is for the queue alone"]


def test_deliveries_are_counted_by_channel() -> None:
    again = listed({**LISTED, "tries": 3})
    found = tally(again, (), holds=(), seconds=1, folder=Path("/demos/one"))
    assert found.deliveries == {"celery": Channel(1, 1, 1), "webhook:risk": Channel(1, 1, 3)}
    assert found.as_json()["deliveries"]["webhook:risk"] == {"sent": 1, "acknowledged": 1, "tries": 3}


def test_the_files_are_those_that_a_fleet_reads(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / 'a "demo"')
    with Listener() as listener:
        endpoint = Endpoint(listener, folder)
    endpoint.write_files()
    assert stat.S_IMODE(folder.webhook_secret.stat().st_mode) == 0o600
    (found,) = endpoints.load(folder.endpoints).values()
    assert (found.name, found.url, found.is_trusted) == (ENDPOINT, f"{listener.url}/ekyc", True)
    assert [secret.value for secret in found.secrets] == [parse_secret(endpoint.secret)]
    table = Table.load(folder.decisions)
    assert table.deliveries.keys() == set(DECISIONS) < table.decisions
    assert table.rules == Table.load(None).rules
    assert not re.search(r"^\[deliveries\]", PACKAGED.read_text(), re.MULTILINE)


def test_a_receiver_that_got_nothing_has_written_no_file(tmp_path: Path) -> None:
    assert received(tmp_path / "webhooks.jsonl") == ()
