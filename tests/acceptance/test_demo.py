"""`ekyc demo`: what somebody sees who runs it for the first time."""

from __future__ import annotations

import json
import re
import signal
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.demo.console import NOW, Console
from sandbox.demo.parts import WORKERS
from sandbox.demo.plan import FEWEST
from sandbox.scenario import DOCUMENTED
from tests.acceptance.demo_process import PROCESSES, Demo, assert_ended, demo
from worker.errors import EvidenceErased
from worker.evidence.paths import FILE_NAME
from worker.evidence.store import Evidence
from worker.evidence.verification import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(400)

PATIENCE_S = 300

#: What stderr says once the report of a demo with `--keep` is printed.
KEPT = "Everything keeps running until Ctrl-C."


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Demo, Demo]]:
    """Two demos that ran at the same time: one for machines, one for people, which keeps running."""
    few = ("--count", str(FEWEST), "--keep", "--dir", "here")
    with (
        demo(tmp_path_factory.mktemp("for machines"), "--json") as for_machines,
        demo(tmp_path_factory.mktemp("people"), *few) as for_people,
    ):
        for_machines.process.wait(PATIENCE_S)
        for_people.await_line(KEPT, PATIENCE_S)
        yield for_machines, for_people


@pytest.fixture(scope="module")
def figures(ran: tuple[Demo, Demo]) -> dict[str, Any]:
    """The report of the first: on its standard output there is nothing else."""
    assert ran[0].process.returncode == 0, ran[0].out + ran[0].err
    found: dict[str, Any] = json.loads(ran[0].out)
    return found


def test_every_verification_is_accounted_for_and_every_check_holds(figures: dict[str, Any]) -> None:
    assert figures["ok"]
    assert figures["decided"] + figures["quarantined"] == figures["verifications"] == 300
    assert [check["name"] for check in figures["checks"] if not check["ok"]] == []
    assert sum(figures["enqueued"].values()) == 300
    assert min(figures["enqueued"].values()) > 60
    assert 90 <= figures["enqueued"]["POST /v1/verifications"] <= 110
    assert len(figures["quarantine"]) == figures["quarantined"]


def test_the_figures_add_up(figures: dict[str, Any]) -> None:
    assert sum(figures["decisions"].values()) == figures["decided"]
    assert sum(figures["error_codes"].values()) == figures["decided"]
    assert figures["polls"] >= 300
    assert figures["polls_each"]["measured"] == 300
    assert (
        0 < figures["latency_ms"]["median"] <= figures["latency_ms"]["p95"] <= figures["latency_ms"]["most"]
    )


def test_some_decisions_are_made_after_a_callback_and_some_without_one(figures: dict[str, Any]) -> None:
    assert figures["callbacks"]["sent"] >= figures["latency_called_back_ms"]["measured"] > 30
    assert figures["callbacks"]["failed"] == 0
    assert figures["callbacks"]["lost"] > figures["latency_polled_ms"]["measured"] > 30


def test_some_decisions_are_delivered_by_webhook_too(figures: dict[str, Any]) -> None:
    decisions = figures["decisions"]
    by_webhook = sum(decisions[name] for name in ("recapture", "reject", "review"))
    assert figures["deliveries"] == {
        "celery": dict.fromkeys(("sent", "acknowledged", "tries"), figures["decided"]),
        "webhook:risk": dict.fromkeys(("sent", "acknowledged", "tries"), by_webhook),
    }


def test_every_documented_error_code_was_decided(figures: dict[str, Any]) -> None:
    assert set(figures["error_codes"]) >= set(DOCUMENTED)


def test_every_fault_of_the_account_made_its_region_rest_and_not_the_others(figures: dict[str, Any]) -> None:
    """By the logs of the workers: on a busy machine, the demo misses a short hold between two looks."""
    logs = [Path(figures["folder"]) / "logs" / f"{name}.log" for name in WORKERS]
    lines = [
        json.loads(line) for log in logs for line in log.read_text().splitlines() if line.startswith("{")
    ]
    held = {(line["region"], line["reason"]) for line in lines if line["event"] == "region_held"}
    # A vendor that a busy machine makes slow is no fault of the account.
    assert {(region, reason) for region, reason in held if reason != "VENDOR_DOWN"} == {
        ("vn", "VENDOR_BUSY"),
        ("global", "OVER_QUERY_LIMIT"),
        ("global", "INSUFFICIENT_BALANCE"),
        ("global", "ACCOUNT_DISABLED"),
        ("global", "SERVICE_DISABLED"),
    }
    seen = {(hold["region"], hold["reason"]) for hold in figures["holds"]}
    assert seen
    assert seen <= held


def test_where_no_worker_died_none_lost_its_lease(figures: dict[str, Any]) -> None:
    assert figures["leases_lost"] == []


def test_the_evidence_is_still_there_afterwards(figures: dict[str, Any]) -> None:
    folder = Path(figures["evidence"]["folder"])
    evidence = Evidence(folder.as_uri(), keys=(folder.parent / "evidence-keys").read_text())
    erased = figures["erased"]
    theirs = folder / erased["region"] / erased["signature_id"]
    assert not list(theirs.glob("*.jpg"))
    left = sum(FILE_NAME.fullmatch(path.name) is not None for path in theirs.iterdir())
    # Its key is not deleted but replaced.
    assert evidence.usage().files - left == figures["evidence"]["files"] - erased["objects"] - 1
    assert evidence.of(erased["region"], erased["signature_id"]).answer() is None
    with pytest.raises(EvidenceErased):
        evidence.of(erased["region"], erased["signature_id"]).keep_answer(b"{}")
    sealed = [path.parent for path in folder.rglob("manifest.json")]
    assert len(sealed) == figures["decided"] - 1
    assert all(verify(evidence.of(path.parent.name, path.name)) == [] for path in sealed)


def test_people_get_a_report_that_says_what_to_do_next(ran: tuple[Demo, Demo]) -> None:
    _, for_people = ran
    assert f"All is well. {FEWEST} verifications" in for_people.out
    assert "✗" not in for_people.out
    assert "here/evidence" in for_people.out
    assert "What to try next" in for_people.out
    (place,) = [line.split()[2] for line in for_people.out.splitlines() if line.strip().startswith("ls -l ")]
    keys = (for_people.folder / "here" / "evidence-keys").read_text()
    found = for_people.folder / place
    manifest = Evidence(found.parent.parent.as_uri(), keys=keys).of(found.parent.name, found.name).manifest()
    assert manifest is not None
    assert manifest.complete


def test_what_happens_is_told_on_stderr_while_it_happens(
    ran: tuple[Demo, Demo], figures: dict[str, Any]
) -> None:
    told = ran[0].err
    assert all(f"{hold['region']} on hold: {hold['reason']}" in told for hold in figures["holds"])
    assert "global: INSUFFICIENT_BALANCE is fixed, an operator lifts the hold" in told
    assert "300 verifications, handed over in 4 ways" in told
    assert (
        "enqueued by HTTP in 1 request; the first, sent again with its Idempotency-Key, gets the same" in told
    )


def test_the_tokens_of_the_http_api_are_for_this_run_and_this_account(figures: dict[str, Any]) -> None:
    tokens = Path(figures["folder"]) / "tokens.toml"
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    assert "ekyc_" not in tokens.read_text()


def test_nothing_in_the_environment_of_whoever_runs_it_reaches_the_parts(ran: tuple[Demo, Demo]) -> None:
    told = (ran[1].folder / "here" / "env").read_text()
    assert "mine" not in told
    assert "nowhere" not in told


def test_kept_it_runs_on_until_ctrl_c(ran: tuple[Demo, Demo]) -> None:
    """All parts run again after the report, at the same addresses. It is the last test: it ends the demo."""
    _, kept = ran
    children = kept.children()
    assert len(children) == PROCESSES
    found = re.search(r"^Console: (http://\S+)/console/  user demo, password (\S+)$", kept.err, re.MULTILINE)
    assert found, kept.err
    assert "ph" in Console(found[1], found[2]).look().words(NOW).split()
    kept.process.send_signal(signal.SIGINT)
    assert_ended(kept, 0, children)
    assert "no process is left; logs: here/logs" in kept.err.splitlines()[-1]
