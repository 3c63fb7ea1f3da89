"""`ekyc evidence hold | release | retain | erase`: what a person sees, and what is left afterwards."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sandbox.server import Sandbox
from schemas.decision import decision_id, load_decision
from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import decide, decision_text
from worker.evidence.decision_record import DecisionRecord
from worker.evidence.log.notes import NoteVerifier, open_note
from worker.evidence.store import Evidence
from worker.ledger import Ledger, Quarantine
from worker.ledger.erasures import Erasures
from worker.ledger.models import Stage
from worker.signatures import format_private_key, new_private_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc, Ended

KEYS = f"now:{b64encode(b'k' * 32).decode()}"
ID = "pass-1"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence((tmp_path / "evidence").as_uri(), keys=KEYS)


@pytest.fixture
def ekyc(ekyc: Ekyc, tmp_path: Path, sandbox: Sandbox) -> Ekyc:
    return ekyc.with_env(
        EKYC_EVIDENCE_URL=(tmp_path / "evidence").as_uri(),
        EKYC_EVIDENCE_KEYS=KEYS,
        EKYC_SIGNING_KEY=format_private_key(new_private_key()),
        LOGNAME="maria",
        **sandbox.environment(),
    )


def keep(
    evidence: Evidence, signature_id: str = ID, name: str = "approve", *, year: int = 2026, region: str = "ph"
) -> None:
    one = evidence.of(region, signature_id)
    one.keep_answer(b'{"name":"SANDBOX PERSON"}')
    decision = load_decision(json.loads(decision_text(signature_id, region, name)))
    one.keep_decision(DecisionRecord.of(replace(decision, decided_at=datetime(year, 11, 29, 12, tzinfo=UTC))))


def erase(ekyc: Ekyc, *more: str, signature_id: str = ID) -> Ended:
    return ekyc("evidence", "erase", signature_id, "--region", "ph", "--why", "asked by the person", *more)


def test_a_person_is_erased_and_gets_a_certificate_that_others_can_check(
    ekyc: Ekyc, evidence: Evidence, redis: Redis, ledger: Ledger, tmp_path: Path
) -> None:
    keep(evidence)
    decide(ledger, ID)
    file = tmp_path / "certificate.txt"
    asked = erase(ekyc)
    assert (asked.code, evidence.of("ph", ID).answer() is not None) == (2, True)
    assert "stdin is not a terminal: pass --yes" in asked.err
    done = erase(ekyc, "--yes", "--certificate", str(file))
    assert done.code == 0
    assert file.read_text() == done.out
    assert file.stat().st_mode & 0o777 == 0o600
    assert "ekyc: the data key" in done.err
    assert "ekyc: 2 objects deleted at" in done.err
    assert "ekyc: the vendor has not deleted anything: it answered PARAMETER_ERROR" in done.err
    status = Ledger(redis).status("ph", ID)
    assert status
    assert status.verification.stage is Stage.ERASED
    seen = ekyc("status", ID, "--region", "ph")
    assert f"ph/{ID}: erased: only this mark is left" in seen.out
    listed = ekyc("evidence", "list", "--region", "ph", "--json")
    assert (listed.code, "SANDBOX" in listed.out) == (0, False)
    shown = ekyc("evidence", "show", ID, "--region", "ph")
    assert (shown.code, "erased" in shown.out) == (0, True)
    (act,) = Quarantine(redis, who="x").acts("ph")
    assert (act.name, act.worker) == ("erase", "maria")

    another = tmp_path / "another.txt"
    again = erase(ekyc, "--yes", "--certificate", str(another))
    assert again.code == 1
    written, line = again.err_lines
    assert written == f"ekyc: the certificate is in {another}"
    assert line.startswith(f"ekyc: ph/{ID} was erased at ")
    assert another.read_text() == done.out
    over = erase(ekyc, "--yes", "--certificate", str(file))
    assert (over.code, "is not replaced" in over.err) == (2, True)


def test_for_scripts_the_certificate_comes_with_the_key_that_proves_it(
    ekyc: Ekyc, evidence: Evidence
) -> None:
    keep(evidence)
    done = erase(ekyc, "--yes", "--json", "--without-vendor")
    members = json.loads(done.out)
    text = open_note(members["note"], [NoteVerifier.parse(members["verifier"])])
    assert json.loads(text) == members["certificate"]
    assert members["certificate"]["vendor"]["asked"] is False


@pytest.mark.parametrize("case", ["unknown", "under way", "held", "no key"])
def test_a_refusal_is_one_line(ekyc: Ekyc, evidence: Evidence, ledger: Ledger, case: str) -> None:
    keep(evidence, ID if case != "unknown" else "another")
    if case == "under way":
        ledger.enqueue([EnqueueRequest(ID, "ph")])
    if case == "held":
        assert ekyc("evidence", "hold", ID, "--region", "ph", "--why", "case 7").code == 0
    if case == "no key":
        del ekyc.env["EKYC_SIGNING_KEY"]
    refused = erase(ekyc, "--yes")
    (line,) = refused.err_lines
    assert refused.code == (2 if case == "no key" else 1)
    assert {
        "unknown": "is unknown",
        "under way": "is under way",
        "held": "(maria: case 7)",
        "no key": "must be signed: set EKYC_LOG_KEY, or EKYC_SIGNING_KEY",
    }[case] in line
    if case != "unknown":
        assert evidence.of("ph", ID).answer() is not None


def test_a_hold_is_placed_shown_and_released(ekyc: Ekyc, evidence: Evidence, redis: Redis) -> None:
    hold = ("evidence", "hold", ID, "--region", "ph", "--why", "case 7")
    keep(evidence, "another")
    nothing = ekyc(*hold)
    assert (nothing.code, "has no evidence" in nothing.err) == (2, True)
    keep(evidence)
    assert "is on legal hold since" in ekyc(*hold).out
    found = json.loads(ekyc(*hold, "--json").out)
    assert [(each["who"], each["why"], each["released"]) for each in found["holds"]] == [
        ("maria", "case 7", None)
    ]
    assert "and is on legal hold" in ekyc("evidence", "retain", ID, "--region", "ph").out
    released = ekyc("evidence", "release", ID, "--region", "ph", "--why", "over", "--json")
    assert json.loads(released.out)["holds"][0]["released"]["why"] == "over"
    assert (
        ekyc("evidence", "release", ID, "--region", "ph", "--why", "x").out
        == f"ph/{ID} is not on legal hold\n"
    )
    acts = [(act.name, act.detail) for act in Quarantine(redis, who="x").acts("ph")]
    assert acts == [("legal_hold", "case 7"), ("legal_hold", "case 7"), ("legal_release", "over")]
    assert erase(ekyc, "--yes", "--without-vendor").code == 0
    assert ekyc(*hold).code == 2


def test_until_when_one_is_kept_is_shown_and_a_closing_time_starts_it(ekyc: Ekyc, evidence: Evidence) -> None:
    keep(evidence, year=2019)
    retain = ("evidence", "retain", ID, "--region", "ph")
    assert "(approve, 5y@closed) is kept: nobody has said when the relationship ended" in ekyc(*retain).out
    closed = ekyc(*retain, "--closed", "2020-02-29")
    assert "is kept until 2025-03-01T00:00:00.000Z" in closed.out
    (row,) = json.loads(ekyc(*retain, "--json").out)
    assert row == {
        "region": "ph",
        "signature_id": ID,
        "decision": "approve",
        "decided_at": "2019-11-29T12:00:00.000Z",
        "closed_at": "2020-02-29T00:00:00.000Z",
        "rule": "5y@closed",
        "until": "2025-03-01T00:00:00.000Z",
        "held": False,
    }
    assert "6y@closed" in ekyc.with_env(EKYC_RETAIN="ph=6y")(*retain).out
    bad = ekyc.with_env(EKYC_RETAIN="ph=6")(*retain)
    assert (bad.code, bad.err_lines[0].startswith("ekyc: EKYC_RETAIN: entry 1: write")) == (2, True)
    for wrong in (("--closed", "2999-01-01"), ("--closed", "soon")):
        assert ekyc(*retain, *wrong).code == 2
    assert ekyc("evidence", "retain", "--closed", "2020-01-01").code == 2
    unknown = ekyc("evidence", "retain", "nobody", "--region", "ph")
    assert (unknown.code, len(unknown.err_lines)) == (2, 1)


def test_a_sweep_shows_asks_and_erases_what_is_over_age(ekyc: Ekyc, evidence: Evidence) -> None:
    for number in range(3):
        keep(evidence, f"old-{number}", "reject", year=2015 + number)
    keep(evidence, "young", "reject")
    keep(evidence, "sg-old", "reject", year=2015, region="sg")
    shown = ekyc("evidence", "retain")
    assert shown.code == 0
    assert "5 verifications with evidence, 4 over age" in shown.out
    assert "oldest 2015-11-29T12:00:00.000Z" in shown.out
    asked = ekyc("evidence", "retain", "--sweep", "--without-vendor")
    assert (asked.code, "pass --yes to erase them" in asked.err) == (2, True)
    assert evidence.of("ph", "old-0").answer() is not None
    done = ekyc("evidence", "retain", "--region", "ph", "--sweep", "--without-vendor", "--yes", "--json")
    found = json.loads(done.out)
    assert (done.code, found["erased"], found["refused"]) == (0, 3, [])
    assert found["over"] == [
        {"region": "ph", "decision": "reject", "count": 3, "oldest": "2015-11-29T12:00:00.000Z"}
    ]
    left = json.loads(ekyc("evidence", "retain", "--json").out)
    assert (left["seen"], [each["region"] for each in left["over"]]) == (2, ["sg"])
    nothing = ekyc("evidence", "retain", "--region", "ph", "--sweep", "--without-vendor", "--yes")
    assert (nothing.code, nothing.out) == (0, "erased 0 of 0 over age\n")


def test_the_doctor_says_if_evidence_is_kept_for_too_short(ekyc: Ekyc) -> None:
    for text, level in (("", "ok"), ("*=1y", "warning"), ("*=", "error")):
        report = json.loads(ekyc.with_env(EKYC_RETAIN=text)("doctor", "--json").out)
        found = [each["level"] for each in report["checks"] if each["check"] == "retention"]
        assert set(found) == {level}, text


def test_an_erasure_that_has_begun_and_not_ended_is_shown_with_what_to_type(
    ekyc: Ekyc, evidence: Evidence, redis: Redis, ledger: Ledger
) -> None:
    """The ledger has its mark alone, as after a kill right at the beginning."""
    keep(evidence)
    decide(ledger, ID)
    Erasures(redis).mark("ph", ID, decision_id=decision_id("ph", ID), stored=True, who="maria", why="asked")
    todo = f"run `ekyc evidence erase {ID} --region ph --why …` again"
    shown = ekyc("evidence", "retain")
    assert (shown.code, todo in shown.out) == (0, True)
    assert json.loads(ekyc("evidence", "retain", "--json").out)["begun"] == [f"ph/{ID}"]
    done = ekyc("evidence", "retain", "--sweep", "--without-vendor", "--yes")
    assert (done.code, todo in done.err) == (1, True)
    report = json.loads(ekyc("doctor", "--json").out)
    (found,) = [each for each in report["checks"] if each["check"] == "erasures"]
    assert (found["level"], todo in found["todo"]) == ("warning", True)
    assert erase(ekyc, "--yes", "--without-vendor").code == 0
    assert "begun" not in ekyc("evidence", "retain").out
    report = json.loads(ekyc("doctor", "--json").out)
    assert [each["level"] for each in report["checks"] if each["check"] == "erasures"] == ["ok"]
