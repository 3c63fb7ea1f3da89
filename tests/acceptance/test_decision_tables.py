"""Decision tables in workers: rules over region and labels, and a shadow table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.decided import ROWS_TABLE
from tests.support.tables import PASS_RULE, write_table
from tests.support.waiting import until
from worker.decisions.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(240)

#: The vendor's example, as the sandbox answers it, has the label `photocopy`.
RULES = (
    """
[[rules]]
decision = "second_look"
text = "A copy is not accepted in this region."
region = "ph"
forgery_labels = "photocopy"
overall_result = "PASS"
"""
    + PASS_RULE
    + """
[[rules]]
decision = "better_light"
error_code = "CARD_LOW_QUALITY_IMAGE"
quality_labels = ["isBlur", "isDim"]
"""
)


def decisions(fleet: Fleet) -> dict[tuple[str, str], tuple[str, str]]:
    """What the pipeline received: decision and table, by region and id."""
    found = [message["decision"] for message in fleet.delivered()]
    return {
        (decision["region"], decision["signature_id"]): (decision["decision"], decision["table"])
        for decision in found
    }


def work(fleet: Fleet) -> None:
    fleet.ledger().enqueue(
        [
            EnqueueRequest("pass-1", "ph"),
            EnqueueRequest("CARD_LOW_QUALITY_IMAGE-1", "ph"),
            EnqueueRequest("pass-1", "sg"),
        ]
    )
    fleet.await_done(2)
    fleet.await_done(1, "sg")


def test_a_table_decides_by_region_and_labels_and_explains_it(fleet: Fleet, tmp_path: Path) -> None:
    path = write_table(tmp_path, RULES)
    version = Table.load(path).version
    fleet.worker(EKYC_DECISIONS_FILE=str(path))
    work(fleet)
    assert decisions(fleet) == {
        ("ph", "pass-1"): ("second_look", version),
        ("ph", "CARD_LOW_QUALITY_IMAGE-1"): ("better_light", version),
        ("sg", "pass-1"): ("approve", version),
    }
    ran = fleet.run(
        "worker.cli", "decisions", "explain", "pass-1", "--region", "ph", "--json",
        EKYC_DECISIONS_FILE=str(path),
    )  # fmt: skip
    explained = json.loads(ran.stdout)
    assert (explained["rule"], explained["text"]) == (1, "A copy is not accepted in this region.")
    assert (explained["facts"]["forgery_labels"], explained["partial"]) == (["photocopy"], False)
    diff = json.loads(
        fleet.run(
            "worker.cli", "decisions", "diff", str(ROWS_TABLE), "--json", EKYC_DECISIONS_FILE=str(path)
        ).stdout
    )
    assert {(each["from"], each["to"], each["count"]) for each in diff["changes"]} == {
        ("second_look", "approve", 1),
        ("better_light", "recapture", 1),
    }


def test_an_answer_that_evidence_keeps_is_explained_as_the_ledger_explains_it(fleet: Fleet) -> None:
    fleet.worker()
    work(fleet)
    answer = fleet.evidence / "ph" / "pass-1" / "answer.json"
    ran = fleet.run("worker.cli", "decisions", "explain", "--answer", str(answer), "--region", "ph", "--json")
    by_answer = json.loads(ran.stdout)
    by_ledger = json.loads(
        fleet.run("worker.cli", "decisions", "explain", "pass-1", "--region", "ph", "--json").stdout
    )
    assert by_answer["facts"] == by_ledger["facts"]
    assert by_answer["earlier"] == by_ledger["earlier"]
    assert by_ledger["recorded"] == {"decision": "approve", "table": Table.load(None).version}


def test_a_shadow_table_counts_and_changes_no_decision(fleet: Fleet, tmp_path: Path) -> None:
    shadow = write_table(tmp_path, RULES, name="shadow.toml")
    fleet.worker(EKYC_DECISIONS_SHADOW=str(shadow))
    work(fleet)
    version = Table.load(None).version
    assert decisions(fleet) == {
        ("ph", "pass-1"): ("approve", version),
        ("ph", "CARD_LOW_QUALITY_IMAGE-1"): ("recapture", version),
        ("sg", "pass-1"): ("approve", version),
    }
    figures = json.loads(fleet.run("worker.cli", "stats", "--json").stdout)
    assert figures["shadow_differences"] == {"approve:second_look": 1, "recapture:better_light": 1}
    assert figures["regions"]["sg"]["shadow_differences"] == {}
    (worker,) = figures["workers"]
    assert (worker["table"], worker["shadow"]) == (version, Table.load(shadow).version)


def test_a_worker_does_not_start_with_a_broken_shadow_table(fleet: Fleet, tmp_path: Path) -> None:
    shadow = write_table(tmp_path, PASS_RULE.replace("PASS", "FAIL"), name="shadow.toml")
    ended = fleet.run("celery", "-A", "worker", "worker", EKYC_DECISIONS_SHADOW=str(shadow))
    assert ended.returncode == 2
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("ekyc: ")]
    assert line.startswith(f"ekyc: {shadow}:5: rule 1 may not be approve: only PASS with SUCCESS")


def test_tables_of_one_fleet_that_differ_are_named(fleet: Fleet, tmp_path: Path) -> None:
    path = write_table(tmp_path, RULES)
    fleet.worker("w1")
    fleet.worker("w2", EKYC_DECISIONS_FILE=str(path))

    def tables() -> set[str]:
        workers = json.loads(fleet.run("worker.cli", "stats", "--json").stdout)["workers"]
        return {worker["table"] for worker in workers}

    versions = {Table.load(None).version, Table.load(path).version}
    until(lambda: tables() == versions, "both workers have signed in")
    findings = json.loads(fleet.run("worker.cli", "doctor", "--json").stdout)["checks"]
    (finding,) = [each for each in findings if each["check"] == "fleet tables"]
    assert finding["level"] == "warning"
    assert all(version in finding["said"] for version in versions)


def test_a_table_with_rows_decides_as_before_in_a_worker(fleet: Fleet) -> None:
    fleet.worker(EKYC_DECISIONS_FILE=str(ROWS_TABLE))
    work(fleet)
    assert decisions(fleet) == {
        ("ph", "pass-1"): ("approve", "2"),
        ("ph", "CARD_LOW_QUALITY_IMAGE-1"): ("recapture", "2"),
        ("sg", "pass-1"): ("approve", "2"),
    }
