"""One object that cannot be read stops no command that works on all of them: it is named, and the others go on."""

from __future__ import annotations

import json
import tarfile
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from schemas.decision import load_decision
from tests.support.drive_ledger import decision_text
from tests.support.logged_evidence import PRIVATE
from worker.evidence.decision_record import DecisionRecord
from worker.evidence.store import Evidence
from worker.ledger.audit import AuditLog, Wanted

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc

KEYS: Final = f"now:{b64encode(b'k' * 32).decode()}"
NEXT: Final = f"next:{b64encode(b'n' * 32).decode()},{KEYS}"

#: The one in the middle, so that one comes before it, and one after it.
BAD: Final = "b"
GOOD: Final = ("a", "c")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three verifications that are over age. The tests make an object of the one in the middle unreadable."""
    evidence = Evidence((tmp_path / "evidence").as_uri(), keys=KEYS)
    for signature_id in (BAD, *GOOD):
        one = evidence.of("ph", signature_id)
        one.keep_answer(b"{}")
        decision = load_decision(json.loads(decision_text(signature_id, "ph", "reject")))
        one.keep_decision(DecisionRecord.of(replace(decision, decided_at=datetime(2016, 1, 1, tzinfo=UTC))))
    return tmp_path / "evidence" / "ph"


@pytest.fixture
def ekyc(ekyc: Ekyc, tmp_path: Path) -> Ekyc:
    return ekyc.with_env(
        EKYC_EVIDENCE_URL=(tmp_path / "evidence").as_uri(),
        EKYC_EVIDENCE_KEYS=KEYS,
        EKYC_LOG_KEY=PRIVATE,
        ADVANCE_REGIONS="ph",
        LOGNAME="maria",
    )


def break_(folder: Path, name: str, how: str) -> None:
    file = folder / BAD / name
    file.unlink(missing_ok=True)
    if how == "damaged":
        file.write_bytes(b"[" * 100_000)
    elif how == "bad block":
        # To read its first byte is an input/output error.
        file.symlink_to("/proc/self/mem")
    else:
        # Nobody can read a folder as a file, not even root, whom no permission stops.
        file.mkdir()


@pytest.mark.parametrize("how", ["damaged", "unreadable"])
@pytest.mark.parametrize("name", ["key.json", "decision.json", "closed.json", "hold.json"])
def test_a_sweep_erases_the_others_and_names_the_one(ekyc: Ekyc, folder: Path, name: str, how: str) -> None:
    break_(folder, name, how)
    shown = ekyc("evidence", "retain", "--json")
    found = json.loads(shown.out)
    assert (shown.code, found["seen"], [each["count"] for each in found["over"]]) == (1, 3, [2])
    assert [each.partition(":")[0] for each in found["unreadable"]] == [f"ph/{BAD}"]
    done = ekyc("evidence", "retain", "--sweep", "--without-vendor", "--yes", "--json")
    assert (done.code, json.loads(done.out)["erased"]) == (1, 2)
    assert all((folder / each / "certificate.txt").exists() for each in GOOD)
    assert not (folder / BAD / "certificate.txt").exists()


def test_a_sweep_goes_on_after_a_certificate_that_it_cannot_read(ekyc: Ekyc, folder: Path) -> None:
    """The survey does not look at a certificate, and the erasure cannot read this one."""
    break_(folder, "certificate.txt", "unreadable")
    done = ekyc("evidence", "retain", "--sweep", "--without-vendor", "--yes", "--json")
    found = json.loads(done.out)
    assert (done.code, found["erased"], len(found["refused"])) == (1, 2, 1)
    assert f"ph/{BAD}" in found["refused"][0]


@pytest.mark.parametrize("how", ["damaged", "unreadable"])
@pytest.mark.parametrize("name", ["key.json", "decision.json"])
def test_sequencing_adds_the_others_and_names_the_one(ekyc: Ekyc, folder: Path, name: str, how: str) -> None:
    break_(folder, name, how)
    done = ekyc("evidence", "sequence", "--json")
    assert (done.code, json.loads(done.out)) == (1, {"added": {"ph": 2}, "unreadable": 1})
    assert f"{BAD}: " in done.err


def test_rotation_goes_on_after_an_object_that_it_cannot_read(ekyc: Ekyc, folder: Path) -> None:
    break_(folder, "key.json", "unreadable")
    done = ekyc.with_env(EKYC_EVIDENCE_KEYS=NEXT)("evidence", "rotate", "--json")
    found = json.loads(done.out)
    assert (done.code, found["rewrapped"]) == (1, 2)
    assert [each["signature_id"] for each in found["failed"]] == [BAD]


def test_of_several_ids_the_others_are_shown_and_closed_and_the_one_is_named(
    ekyc: Ekyc, folder: Path, redis: Redis
) -> None:
    break_(folder, "closed.json", "unreadable")
    retain = ("evidence", "retain", "a", BAD, "c", "--region", "ph")
    closed = ekyc(*retain, "--closed", "2020-02-29", "--json")
    assert (closed.code, [each["signature_id"] for each in json.loads(closed.out)]) == (1, ["a", "c"])
    assert f"ph/{BAD}" in closed.err
    assert all((folder / each / "closed.json").is_file() for each in GOOD)
    noted = AuditLog(redis).entries(Wanted(act="relationship_close"))
    assert sorted(each.subject for each in noted) == ["a", "c"]


@pytest.mark.parametrize("name", ["key.json", "decision.json", "answer.json", "manifest.json"])
def test_show_names_the_object_and_shows_the_rest(ekyc: Ekyc, folder: Path, name: str) -> None:
    break_(folder, name, "bad block")
    shown = ekyc("evidence", "show", BAD)
    # Without a manifest nothing reads the answer.
    code, lines = (0, 0) if name == "answer.json" else (1, 1)
    assert (shown.code, len(shown.err_lines)) == (code, lines)
    if code:
        said = f"evidence cannot be read at {folder.as_uri()}/{BAD}/{name}: input/output error; check "
        assert said in shown.err
    encrypted = "unknown: key.json cannot be read" if name == "key.json" else "under the key now"
    assert f"  encrypted  {encrypted}" in shown.out
    assert "    decision.json" in shown.out


def test_a_damaged_key_file_says_nothing_about_the_encryption(ekyc: Ekyc, folder: Path) -> None:
    break_(folder, "key.json", "damaged")
    shown = ekyc("evidence", "show", BAD)
    assert (shown.code, f"ph/{BAD}/key.json" in shown.err) == (1, True)
    assert "  encrypted  unknown: key.json cannot be read" in shown.out


def test_an_audit_names_the_object(ekyc: Ekyc, folder: Path) -> None:
    assert ekyc("evidence", "sequence").code == 0
    break_(folder, "decision.json", "bad block")
    (found,) = json.loads(ekyc("evidence", "verify", "--all", "--json").out)["findings"]
    assert found["signature_id"] == BAD
    assert f"{folder.as_uri()}/{BAD}/decision.json: input/output error" in found["said"]


def test_a_store_that_is_away_is_one_line(ekyc: Ekyc, folder: Path) -> None:
    """Then nothing is named, because each verification would be."""
    (folder.parent / "keys").write_bytes(b"")
    break_(folder, "key.json", "unreadable")
    for command in (("retain",), ("sequence",)):
        ended = ekyc("evidence", *command)
        assert (ended.code, len(ended.err_lines)) == (1, 1)
        assert "evidence cannot be read at" in ended.err


@pytest.mark.parametrize("how", ["damaged", "bad block"])
@pytest.mark.parametrize("name", ["key.json", "decision.json"])
def test_a_list_by_decision_has_the_others(ekyc: Ekyc, folder: Path, name: str, how: str) -> None:
    break_(folder, name, how)
    listed = ekyc("evidence", "list", "--decision", "reject", "--json")
    assert listed.code == 1
    assert [json.loads(line)["signature_id"] for line in listed.out.splitlines()] == list(GOOD)
    assert f"ph/{BAD}" in listed.err


@pytest.mark.parametrize("how", ["damaged", "bad block"])
@pytest.mark.parametrize("name", ["key.json", "decision.json"])
def test_a_report_counts_the_others_and_the_one(ekyc: Ekyc, folder: Path, name: str, how: str) -> None:
    break_(folder, name, how)
    report = ekyc("report", "--month", "2016-01", "--json")
    found = json.loads(report.out)
    assert (report.code, found["decided"], found["evidence"]["unreadable"]) == (1, 2, 1)
    assert f"ph/{BAD}: " in report.err


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("key.json", "damaged"),
        ("key.json", "bad block"),
        ("decision.json", "damaged"),
        ("decision.json", "bad block"),
        ("answer.json", "bad block"),
    ],
)
def test_an_export_has_the_others(ekyc: Ekyc, folder: Path, tmp_path: Path, name: str, how: str) -> None:
    break_(folder, name, how)
    archive = tmp_path / "out.tar"
    done = ekyc("evidence", "export", "--since", "30d", "--output", str(archive), "--why", "audit", "--json")
    assert done.out, done.err
    found = json.loads(done.out)
    assert (done.code, found["exported"], found["damaged"]) == (1, 2, 1)
    assert f"ph/{BAD}/" in done.err
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
        member = tar.extractfile(f"ph/{BAD}/export.json")
        assert member
        about = json.load(member)
    assert {f"ph/{each}/decision.json" for each in GOOD} <= names
    assert [each["name"] for each in about["damaged"]] == (
        [name] if name != "key.json" else ["answer.json", "decision.json"]
    )
