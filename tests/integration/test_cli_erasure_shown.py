"""What people see of an erasure: the retention that it ends, the certificate once more, and what is left."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.cli_process import Terminal
from tests.support.drive_ledger import decide
from tests.support.kept_evidence import keep
from tests.support.logged_evidence import PRIVATE
from tests.support.paths import ROOT
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.lifecycle import fingerprint
from worker.evidence.log.log_keys import LogKeys, new_log_key
from worker.evidence.log.notes import NoteVerifier, open_note
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key
from worker.signatures import format_private_key, new_private_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_process import Ekyc, Ended
    from worker.ledger import Ledger

KEYS: Final = format_key(new_key("first"))
ID: Final = "pass-1"
ERASE: Final = ("evidence", "erase", ID, "--why", "asked by the person", "--without-vendor")


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence((tmp_path / "evidence").as_uri(), keys=KEYS)


@pytest.fixture
def ekyc(ekyc: Ekyc, evidence: Evidence) -> Ekyc:
    return ekyc.with_env(
        EKYC_EVIDENCE_URL=evidence.url,
        EKYC_EVIDENCE_KEYS=KEYS,
        EKYC_LOG_KEY=PRIVATE,
        LOGNAME="maria",
        ADVANCE_REGIONS="ph",
    )


def asked(ekyc: Ekyc) -> str:
    """Return what the prompt of an erasure says, and answer no."""
    command = [sys.executable, "-m", "worker.cli", *ERASE]
    with Terminal() as terminal:
        end = terminal.end
        process = subprocess.Popen(command, env=ekyc.env, cwd=ROOT, stdin=end, stdout=end, stderr=end)
        try:
            terminal.wait_for("erase it?")
            terminal.type("n\n")
            assert process.wait(timeout=60) == 1
        finally:
            process.kill()
            process.wait()
        return terminal.seen


def members(ended: Ended) -> dict[str, object]:
    assert ended.code == 0, ended.err
    found: dict[str, object] = json.loads(ended.out)["certificate"]
    return found


@dataclass(frozen=True)
class Said:
    """What is said of the retention before an erasure, in its certificate, and after it."""

    prompt: str
    until: str | None
    summary: str


SAID: Final = {
    "5y@decided": Said(
        "by EKYC_RETAIN (5y@decided) it is kept until 2031-11-30T01:02:03.000Z: this erasure comes before",
        "2031-11-30T01:02:03.000Z",
        "ends early: it would have been kept until 2031-11-30T01:02:03.000Z",
    ),
    "5y@closed": Said(
        "it is kept: nobody has said when the relationship ended: this erasure comes before",
        None,
        "ends early: it had no end yet",
    ),
}


@pytest.mark.parametrize("rule", SAID)
def test_the_prompt_and_the_certificate_name_the_retention(ekyc: Ekyc, evidence: Evidence, rule: str) -> None:
    keep(evidence, "ph", ID)
    ekyc, said = ekyc.with_env(EKYC_RETAIN=f"*={rule}"), SAID[rule]
    assert said.prompt in asked(ekyc)
    assert said.prompt in ekyc(*ERASE).err, "also where nobody can be asked"
    done = ekyc(*ERASE, "--yes")
    assert said.summary in done.err
    fact = members(ekyc("evidence", "certificate", ID, "--json"))["retention"]
    assert fact == {"rule": rule, "until": said.until, "ended_early": True}


def test_without_the_keys_an_erasure_is_possible_and_says_that_the_retention_is_unknown(
    ekyc: Ekyc, evidence: Evidence
) -> None:
    keep(evidence, "ph", ID)
    blind = ekyc.with_env(EKYC_EVIDENCE_KEYS=format_key(new_key("second")))
    assert "until when it must be kept is not known here: " in blind(*ERASE).err
    assert members(blind(*ERASE, "--yes", "--json"))["retention"] is None


def test_a_certificate_and_its_key_are_printed_again(ekyc: Ekyc, evidence: Evidence, tmp_path: Path) -> None:
    keep(evidence, "ph", ID)
    done = ekyc(*ERASE, "--yes", "--certificate", str(tmp_path / "first.txt"))
    assert f"ekyc: the certificate is in {tmp_path / 'first.txt'}" in done.err
    again = ekyc("evidence", "certificate", ID)
    assert (again.code, again.out) == (0, done.out)
    said = json.loads(ekyc("evidence", "certificate", ID, "--json").out)
    assert open_note(said["note"], [NoteVerifier.parse(said["verifier"])])
    assert f"ekyc: signed by {said['verifier']}" in again.err_lines
    file = tmp_path / "second.txt"
    assert ekyc("evidence", "certificate", ID, "--output", str(file)).out == ""
    assert (file.read_text(), file.stat().st_mode & 0o777) == (done.out, 0o600)
    assert ekyc("evidence", "certificate", ID, "--output", str(file)).code == 2
    repeated = ekyc(*ERASE, "--yes", "--certificate", str(tmp_path / "third.txt"))
    assert repeated.code == 1
    assert f"ekyc: the certificate is in {tmp_path / 'third.txt'}" in repeated.err_lines


def test_a_certificate_that_proves_nothing_is_not_printed(
    ekyc: Ekyc, evidence: Evidence, tmp_path: Path
) -> None:
    one = keep(evidence, "ph", ID)
    early = ekyc("evidence", "certificate", ID)
    assert (early.code, early.err_lines) == (2, [f"ekyc: ph/{ID} is not erased: there is no certificate"])
    assert ekyc(*ERASE, "--yes").code == 0
    private, _ = new_log_key("kyc.example/evidence")
    other = ekyc.with_env(EKYC_LOG_KEY=private, EKYC_SIGNING_KEY=format_private_key(new_private_key()))
    file = tmp_path / "evidence" / one.folder / "certificate.txt"
    cases = [(other, "no key here has signed the certificate"), (ekyc, "was changed"), (ekyc, "is gone")]
    for number, (command, said) in enumerate(cases):
        if number == 1:
            file.write_text(file.read_text().replace("asked by", "asked for"))
        if number == 2:
            file.unlink()
        ended = command("evidence", "certificate", ID)
        assert (ended.code, ended.out, len(ended.err_lines)) == (1, "", 1)
        assert said in ended.err
    begun = tmp_path / "evidence" / one.folder / "key.json"
    begun.write_bytes(dump_key(Tombstone("2026-11-30T00:00:00Z", None)))
    assert "has not ended: run `ekyc evidence erase` again" in ekyc("evidence", "certificate", ID).err


def test_a_certificate_of_another_one_vouches_for_nobody(
    ekyc: Ekyc, evidence: Evidence, tmp_path: Path
) -> None:
    """With a tombstone that names it. Nor does anything else that our key has signed, or what is no JSON."""
    keep(evidence, "ph", ID)
    assert ekyc(*ERASE, "--yes").code == 0
    folder = tmp_path / "evidence" / "ph"
    genuine = (folder / ID / "certificate.txt").read_text()
    other, note = "another", LogKeys.parse(PRIVATE).signer("ph").sign("kyc.example/evidence/ph\n3\nAAAA\n")
    keep(evidence, "ph", other)
    before = {path.name for path in (folder / other).iterdir()}
    for text, said in (
        (genuine, "that of another verification"),
        (note, "no certificate"),
        ("[]\n\n", "no cert"),
    ):
        (folder / other / "certificate.txt").write_text(text)
        (folder / other / "key.json").write_bytes(
            dump_key(Tombstone("2026-11-30T00:00:00.000Z", fingerprint(text)))
        )
        for command in (
            ("certificate", other),
            ("erase", other, "--why", "asked", "--without-vendor", "--yes"),
        ):
            ended = ekyc("evidence", *command)
            assert (ended.code, ended.out, len(ended.err_lines)) == (1, "", 1), command
            assert said in ended.err or "no key here has signed" in ended.err
        assert before <= {path.name for path in (folder / other).iterdir()}, "nothing is deleted"


def test_what_is_left_of_an_erased_one_is_shown_as_such(
    ekyc: Ekyc, evidence: Evidence, ledger: Ledger
) -> None:
    decide(ledger, ID)
    keep(evidence, "ph", ID)
    keep(evidence, "ph", "another")
    assert ekyc(*ERASE, "--yes").code == 0
    assert ekyc("evidence", "sequence").code == 0
    shown = ekyc("evidence", "show", ID)
    assert (shown.code, "log        entry " in shown.out) == (0, True), shown.err
    assert f"ekyc evidence certificate --region ph {ID}" in shown.out
    (row,) = ekyc("evidence", "list", "--state", "erased", "--json").out.splitlines()
    listed = json.loads(row)
    assert (listed["signature_id"], listed["files"], listed["size_bytes"]) == (ID, [], 0)
    status = ekyc("status", ID)
    assert "enqueued" not in status.out
    assert "erased" in status.out.splitlines()[-1]
    members = json.loads(ekyc("status", ID, "--json").out)
    assert (members["enqueued_at"], members["stage"]) == (None, "erased")
    assert members["erased_at"]


def test_an_erased_one_whose_objects_are_locked_is_listed_as_erased(ekyc: Ekyc, evidence: Evidence) -> None:
    one = keep(evidence, "ph", ID)
    raw = evidence.keys.read(one.folder)
    assert raw
    # What Object Lock leaves: everything, and the certificate.
    evidence.lifecycle("ph", ID).keep_certificate("certificate\n")
    assert evidence.keys.replace(
        one.folder, dump_key(Tombstone("2026-11-30T00:00:00Z", "0" * 64)), expected=raw
    )
    assert json.loads(ekyc("evidence", "list", "--json").out)["state"] == "erased"
