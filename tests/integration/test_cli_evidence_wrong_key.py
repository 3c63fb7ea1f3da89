"""What `ekyc` says of evidence that does not open with the keys that are set here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.kept_evidence import keep
from tests.support.logged_evidence import PRIVATE
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_process import Ekyc

KEYS: Final = format_key(new_key("first"))
ID: Final = "f302f5d2454a85c2"

#: Keys with which nothing opens, and what is said of the data key.
WRONG: Final = {
    "missing": (format_key(new_key("second")), "which is not among the keys here"),
    "none": ("", "which is not among the keys here"),
    "another": (format_key(new_key("first")), "and the key of this id here is another one"),
}


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence((tmp_path / "evidence").as_uri(), keys=KEYS)


@pytest.fixture
def ekyc(ekyc: Ekyc, evidence: Evidence) -> Ekyc:
    return ekyc.with_env(EKYC_EVIDENCE_URL=evidence.url, EKYC_EVIDENCE_KEYS=KEYS, EKYC_LOG_KEY=PRIVATE)


@pytest.mark.parametrize("case", WRONG)
def test_show_says_that_the_keys_here_do_not_open_it_and_which_is_needed(
    ekyc: Ekyc, evidence: Evidence, case: str
) -> None:
    keep(evidence, "ph", ID)
    assert ekyc("evidence", "sequence").code == 0
    keys, said = WRONG[case]
    wrong = ekyc.with_env(EKYC_EVIDENCE_KEYS=keys)
    ended = wrong("evidence", "show", ID)
    assert ended.code == 1
    assert ended.out.startswith(f"ph/{ID}: archived, and cannot be opened with the keys here\n")
    assert f"under the key first (data key {evidence_key(evidence)}), {said}" in ended.out
    assert "unknown: the evidence cannot be opened with the keys here" in ended.out
    assert ended.out.count("cannot be opened with the keys here\n") == 6, "also for each of the four files"
    for text in ("no entry yet", "not in the manifest"):
        assert text not in ended.out
    (line,) = ended.err_lines
    assert "first" in line
    members = json.loads(wrong("evidence", "show", ID, "--json").out)
    assert (members["log_index"], members["fault"]) == (None, line.removeprefix("ekyc: "))
    right = ekyc("evidence", "show", ID)
    assert (right.code, "log        entry 0" in right.out) == (0, True)


def evidence_key(evidence: Evidence) -> str:
    data_key = evidence.keys.find(f"ph/{ID}")
    assert data_key
    return data_key.id


@pytest.mark.parametrize("case", WRONG)
def test_a_report_that_opens_nothing_is_one_line_and_no_report(
    ekyc: Ekyc, evidence: Evidence, tmp_path: Path, case: str
) -> None:
    for number in range(3):
        keep(evidence, "ph", f"id-{number}")
    file = tmp_path / "report.json"
    keys, _ = WRONG[case]
    wrong = ekyc.with_env(EKYC_EVIDENCE_KEYS=keys, EKYC_LOG_KEY="")
    ended = wrong("report", "--month", "2026-11", "--json", "--output", str(file))
    assert (ended.code, ended.out) == (1 if case == "none" else 2, "")
    (line,) = ended.err_lines
    assert "first" in line
    if keys:
        assert line.startswith("ekyc: EKYC_EVIDENCE_KEYS: the keys here open none of 3 decisions")
    assert not file.exists()


def test_a_report_that_opens_some_names_the_others(ekyc: Ekyc, evidence: Evidence) -> None:
    keep(evidence, "ph", "first-1")
    both = f"{format_key(new_key('second'))}\n{KEYS}"
    for number in range(2):
        keep(Evidence(evidence.url, keys=both), "ph", f"second-{number}")
    ended = ekyc.with_env(EKYC_LOG_KEY="")("report", "--month", "2026-11", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["decided"] == 1
    assert [line.partition(": ")[2].partition(":")[0] for line in ended.err_lines[:2]] == ["not read"] * 2
    assert ended.err_lines[2] == "ekyc: the evidence of 2 verifications could not be read"
    assert "no verification was decided" not in ended.err


def test_an_image_that_was_changed_is_named_and_the_exit_status_is_1(ekyc: Ekyc, tmp_path: Path) -> None:
    evidence = Evidence((tmp_path / "plain").as_uri())
    keep(evidence, "ph", ID)
    plain = ekyc.with_env(EKYC_EVIDENCE_URL=evidence.url, EKYC_EVIDENCE_KEYS="", EKYC_LOG_KEY="")
    assert plain("evidence", "show", ID).code == 0
    (tmp_path / "plain" / "ph" / ID / "front.jpg").write_bytes(b"changed")
    ended = plain("evidence", "show", ID)
    assert ended.code == 1
    assert "  damaged\n    front.jpg has 7 bytes, not " in ended.out
    (line,) = ended.err_lines
    assert line == f"ekyc: ph/{ID} differs from its manifest in 1 place: restore it from a backup"
    (said,) = json.loads(plain("evidence", "show", ID, "--json").out)["damaged"]
    assert said.startswith("front.jpg has 7 bytes")


def test_the_whole_hash_of_each_file_is_shown(ekyc: Ekyc, evidence: Evidence) -> None:
    one = keep(evidence, "ph", ID)
    manifest = one.manifest()
    assert manifest
    shown = ekyc("evidence", "show", ID).out
    for entry in manifest.files:
        assert f"  {entry.sha256}\n" in shown


def test_a_wrong_role_is_repeated_with_those_that_there_are(
    ekyc: Ekyc, evidence: Evidence, tmp_path: Path
) -> None:
    keep(evidence, "ph", ID)
    ended = ekyc("evidence", "show", ID, "--save", str(tmp_path / "x"), "--why", "y", "--role", "frnt\x1b[2J")
    assert ended.code == 2
    assert ended.err_lines == [
        f"ekyc: ph/{ID} has no file of the role 'frnt\\x1b[2J': use one of answer, decision, front, manifest"
    ]


def test_a_path_of_a_secret_that_is_not_there_says_why(ekyc: Ekyc, tmp_path: Path) -> None:
    cases = {
        "keys/evidence": "does not exist below the folder in which this command was started: give an absolute path",
        str(tmp_path / "none"): "does not exist",
        str(tmp_path): "is a folder",
    }
    for path, said in cases.items():
        ended = ekyc.with_env(EKYC_EVIDENCE_KEYS="", EKYC_EVIDENCE_KEYS_FILE=path)("evidence", "list")
        assert (ended.code, ended.err_lines) == (
            2,
            [f"ekyc: EKYC_EVIDENCE_KEYS_FILE: the file that it names {said}"],
        )
        assert path not in ended.err


def test_a_second_key_of_one_day_gets_a_suggested_id(ekyc: Ekyc, tmp_path: Path) -> None:
    file = str(tmp_path / "keys")
    assert ekyc("evidence", "keygen", file, "--id", "2026-11-30").code == 0
    again = ekyc("evidence", "keygen", file, "--add", "--id", "2026-11-30")
    assert again.code == 2
    (line,) = again.err_lines
    assert line.endswith("there is a key 2026-11-30 already: pass --id, such as --id 2026-11-30-2")
    assert ekyc("evidence", "keygen", file, "--add", "--id", "2026-11-30-2").code == 0
    third = ekyc("evidence", "keygen", file, "--add", "--id", "2026-11-30")
    assert third.err_lines[0].endswith("such as --id 2026-11-30-3")


def test_an_audit_that_looks_for_the_keys_in_another_place_says_so_after_its_findings(
    ekyc: Ekyc, tmp_path: Path
) -> None:
    """Otherwise a setting that an auditor lacks reads like evidence that was tampered with."""
    root, keys = tmp_path / "apart", tmp_path / "keys"
    evidence = Evidence(root.as_uri(), keys=KEYS, keys_url=keys.as_uri())
    evidence.check()
    keep(evidence, "ph", ID)
    right = ekyc.with_env(EKYC_EVIDENCE_URL=evidence.url, EKYC_EVIDENCE_KEYS_URL=keys.as_uri())
    assert right("evidence", "sequence").code == 0
    audit = ("evidence", "verify", "--region", "ph", "--offline")
    found = right(*audit)
    assert (found.code, found.err) == (0, "")
    wrong = right.with_env(EKYC_EVIDENCE_KEYS_URL="")(*audit)
    assert (wrong.code, "its key at" in wrong.out) == (1, True)
    (line,) = wrong.err_lines
    assert line == (
        f"ekyc: EKYC_EVIDENCE_KEYS_URL: the keys of the evidence at {evidence.url} are not at {evidence.url}: "
        "set it as it was when they were written"
    )
