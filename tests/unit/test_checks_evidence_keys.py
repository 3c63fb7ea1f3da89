"""What `ekyc doctor` says about the evidence keys of the workers that run."""

from __future__ import annotations

from worker.cli.checks.evidence_keys import fleet_evidence_keys
from worker.cli.checks.finding import Level
from worker.keyring import format_key, key_ids, new_key
from worker.ledger.worker_registry import Worker


def workers(*keys: str) -> tuple[Worker, ...]:
    return tuple(Worker(f"w{at}", "1", "1", "x", evidence_keys=ids) for at, ids in enumerate(keys))


def test_workers_with_the_keys_of_this_configuration_are_no_line() -> None:
    assert list(fleet_evidence_keys(workers("b,a", "b,a"), "b,a")) == []
    assert list(fleet_evidence_keys((), "a")) == []


def test_the_workers_with_other_keys_are_named() -> None:
    (finding,) = fleet_evidence_keys(workers("good", "odd", "good"), "good")
    assert finding.level is Level.WARNING
    assert finding.said == "workers: 2 with good, 1 with odd; here it is good; they differ on w1"
    assert "throw none away" in finding.todo


def test_the_ids_of_keys_are_shown_and_nothing_of_a_key() -> None:
    keys = (new_key("new"), new_key("old"))
    assert key_ids(",".join(map(format_key, keys))) == "new,old"
    assert key_ids("") == ""
