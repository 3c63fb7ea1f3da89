"""What `ekyc doctor` says about the signing keys of the workers that run."""

from __future__ import annotations

from worker.cli.checks.finding import Level
from worker.cli.checks.signing import fleet_keys
from worker.ledger.worker_registry import Worker


def workers(*keys: str) -> tuple[Worker, ...]:
    return tuple(Worker(f"w{at}", "1", "1", "x", "", ids) for at, ids in enumerate(keys))


def test_workers_with_the_keys_of_this_configuration_are_no_line() -> None:
    assert list(fleet_keys(workers("a,b", "a,b"), "a,b")) == []
    assert list(fleet_keys(workers("", ""), "")) == []
    assert list(fleet_keys((), "a")) == []


def test_workers_with_other_keys_are_a_warning() -> None:
    (finding,) = fleet_keys(workers("a,b", "b", "", "b"), "a,b")
    assert finding.level is Level.WARNING
    assert finding.said == "workers: 1 with none, 1 with a,b, 2 with b; here it is a,b"
    (finding,) = fleet_keys(workers("a"), "")
    assert finding.said == "workers: 1 with a; here it is none"
