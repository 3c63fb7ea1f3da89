"""`ekyc evidence show`: what the store has of one verification; files only on request, and on record."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.cli_process import Ekyc, Ended, Terminal
from tests.support.kept_evidence import IMAGE, PERSON, answer_of, keep
from tests.support.paths import ROOT
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key
from worker.ledger import Ledger, Quarantine, transitions

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

KEYS = format_key(new_key("first"))
ID = "f302f5d2454a85c2"
WHY = "complaint 4711"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return (tmp_path / "evidence").as_uri()


@pytest.fixture
def evidence(url: str) -> Evidence:
    return Evidence(url, keys=KEYS)


@pytest.fixture
def ekyc(url: str, redis_url: str) -> Ekyc:
    return Ekyc(
        {
            "EKYC_EVIDENCE_URL": url,
            "EKYC_EVIDENCE_KEYS": KEYS,
            "ADVANCE_REGIONS": "ph,sg",
            "REDIS_URL": redis_url,
        }
    )


def document(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ended.out)
    return found


def acts(redis: Redis, region: str = "ph") -> list[tuple[str, str, str]]:
    return [(act.name, act.detail, act.worker) for act in Quarantine(redis, who="").acts(region)]


def test_it_shows_what_there_is_and_nothing_personal(ekyc: Ekyc, evidence: Evidence, redis: Redis) -> None:
    keep(evidence, "ph", ID)
    ended = ekyc("evidence", "show", ID)
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"ph/{ID}: archived\n")
    for text in ("under the key first", "approve by table default", "rule 2", "front.jpg", "NOT_AN_IMAGE"):
        assert text in ended.out
    assert "retention  kept" in ended.out
    told = document(ekyc("evidence", "show", ID, "--json"))
    assert told["state"] == "archived"
    assert (told["retention"]["decision"], told["retention"]["held"]) == ("approve", False)
    assert told["key"]["key_id"] == "first"
    assert told["decision"]["decision"]["decision"] == "approve"
    assert told["manifest"]["signature_id"] == ID
    assert [(file["name"], file["role"]) for file in told["files"]] == [
        ("answer.json", "answer"),
        ("decision.json", None),
        ("front.jpg", "front"),
        ("manifest.json", None),
    ]
    assert told["missing"] == [{"role": "face", "reason": "NOT_AN_IMAGE"}]
    assert (told["erased"], told["saved"]) == (None, [])
    assert PERSON not in ended.out + json.dumps(told)
    assert acts(redis) == [], "a look at what is not personal is not recorded"


def test_files_are_saved_for_one_account_and_the_look_is_on_record(
    ekyc: Ekyc, evidence: Evidence, ledger: Ledger, redis: Redis, tmp_path: Path
) -> None:
    keep(evidence, "ph", ID)
    ledger.enqueue([EnqueueRequest(ID, "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE") for one in ledger.load(batch)])
    folder = tmp_path / "case"
    options = ("--save", str(folder), "--why", WHY, "--who", "maria")
    told = document(ekyc("evidence", "show", ID, *options, "--json"))
    names = ["answer.json", "decision.json", "front.jpg", "manifest.json"]
    assert told["saved"] == [str(folder / name) for name in names]
    assert (folder / "front.jpg").read_bytes() == IMAGE
    assert (folder / "answer.json").read_bytes() == answer_of(ID)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert acts(redis) == [("show_evidence", f"ph/{ID} {', '.join(names)}: {WHY}", "maria")]
    last = document(ekyc("status", ID, "--json"))["timeline"][-1]
    assert (last["event"], last["worker"]) == ("looked", "maria")


def test_one_role_alone_can_be_saved(ekyc: Ekyc, evidence: Evidence, tmp_path: Path, redis: Redis) -> None:
    keep(evidence, "ph", ID)
    ended = ekyc("evidence", "show", ID, "--save", str(tmp_path / "case"), "--role", "front", "--why", WHY)
    assert ended.code == 0, ended.err
    assert [path.name for path in (tmp_path / "case").iterdir()] == ["front.jpg"]
    assert acts(redis)[0][1] == f"ph/{ID} front.jpg: {WHY}"
    ended = ekyc("evidence", "show", ID, "--save", str(tmp_path / "other"), "--role", "back", "--why", WHY)
    assert ended.code == 2
    assert ended.err_lines == [
        f"ekyc: ph/{ID} has no file of the role 'back': use one of answer, decision, front, manifest"
    ]
    assert not (tmp_path / "other").exists()


def test_nothing_is_replaced_and_nothing_is_left_half_done(
    ekyc: Ekyc, evidence: Evidence, tmp_path: Path, redis: Redis
) -> None:
    keep(evidence, "ph", ID)
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "front.jpg").write_text("mine")
    ended = ekyc("evidence", "show", ID, "--save", str(folder), "--why", WHY)
    assert ended.code == 2
    assert ended.err_lines == [f"ekyc: {folder}/front.jpg exists, and is not replaced: give another name"]
    assert [path.name for path in folder.iterdir()] == ["front.jpg"]
    (folder / "front.jpg").unlink()
    damaged = tmp_path / "evidence" / "ph" / ID / "front.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    ended = ekyc("evidence", "show", ID, "--save", str(folder), "--why", WHY)
    assert ended.code == 1
    (line,) = ended.err_lines
    assert "front.jpg does not open" in line
    assert list(folder.iterdir()) == []


def test_nobody_looks_without_a_record(
    ekyc: Ekyc, evidence: Evidence, tmp_path: Path, unused_port: int
) -> None:
    keep(evidence, "ph", ID)
    away = ekyc.with_env(REDIS_URL=f"redis://127.0.0.1:{unused_port}/0")
    ended = away("evidence", "show", ID, "--save", str(tmp_path / "case"), "--why", WHY)
    assert ended.code == 1
    (line,) = ended.err_lines
    assert line.startswith("ekyc: ")
    assert not (tmp_path / "case").exists()
    assert away("evidence", "show", ID).code == 0, "what is not personal needs no Redis"


VIEWER = """#!/bin/sh
test -r "$1" || exit 3
stat -c '%a' "$1" "$(dirname "$1")" >>"$SEEN"
cat "$1" >>"$SEEN.bytes"
printf '%s\\n' "$1" >>"$SEEN.path"
env >>"$SEEN.env"
"""


def test_a_viewer_shows_one_file_which_is_gone_afterwards(
    ekyc: Ekyc, evidence: Evidence, tmp_path: Path, redis: Redis
) -> None:
    keep(evidence, "ph", ID)
    viewer = tmp_path / "viewer"
    viewer.write_text(VIEWER)
    viewer.chmod(0o700)
    seen = tmp_path / "seen"
    env = ekyc.env | {"SEEN": str(seen), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "worker.cli", "evidence", "show", ID]
    command += ["--open", "front", "--viewer", str(viewer), "--why", WHY, "--who", "maria"]
    with Terminal() as terminal:
        end = terminal.end
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdin=end, stdout=end, stderr=end)
        try:
            terminal.wait_for("press Enter to remove it here")
            path = (tmp_path / "seen.path").read_text().strip()
            assert os.path.exists(path)  # noqa: PTH110 - of a text
            terminal.type("\n")
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            process.wait()
        assert "archived" in terminal.seen
        assert "Traceback" not in terminal.seen
    assert not os.path.exists(os.path.dirname(path))  # noqa: PTH110, PTH120
    assert (tmp_path / "seen.bytes").read_bytes() == IMAGE
    assert seen.read_text().split() == ["600", "700"]
    assert KEYS not in (tmp_path / "seen.env").read_text()
    assert acts(redis) == [("show_evidence", f"ph/{ID} front.jpg: {WHY}", "maria")]


def test_what_was_erased_shows_its_certificate(ekyc: Ekyc, evidence: Evidence, tmp_path: Path) -> None:
    one = keep(evidence, "ph", ID)
    raw = evidence.keys.read(one.folder)
    assert raw
    tombstone = dump_key(Tombstone("2026-11-30T00:00:00Z", "0" * 64))
    assert evidence.keys.replace(one.folder, tombstone, expected=raw)
    ended = ekyc("evidence", "show", ID)
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"ph/{ID}: erased\n")
    assert f"2026-11-30T00:00:00Z, certificate {'0' * 64}" in ended.out
    assert document(ekyc("evidence", "show", ID, "--json"))["erased"]["certificate"] == "0" * 64
    ended = ekyc("evidence", "show", ID, "--save", str(tmp_path / "case"), "--why", WHY)
    assert ended.code == 2
    assert "was erased at 2026-11-30T00:00:00Z: there is nothing to see" in ended.err


def test_without_the_key_what_can_be_shown_is_shown(ekyc: Ekyc, evidence: Evidence) -> None:
    keep(evidence, "ph", ID)
    ended = ekyc.with_env(EKYC_EVIDENCE_KEYS=format_key(new_key("second")))("evidence", "show", ID)
    assert ended.code == 1
    assert "under the key first" in ended.out
    assert "front.jpg" in ended.out
    (line,) = ended.err_lines
    assert "EKYC_EVIDENCE_KEYS has only second" in line


def test_plain_evidence_is_shown_as_such(ekyc: Ekyc, url: str) -> None:
    keep(Evidence(url), "ph", ID)
    ended = ekyc("evidence", "show", ID)
    assert ended.code == 0, ended.err
    assert "encrypted  no" in ended.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("unknown",), "there is no evidence of unknown in ph or sg at "),
        ((ID, "--region", "my"), f"there is no evidence of {ID} in my at "),
        (("both",), "both has evidence in ph and sg: pass --region"),
        ((ID, "--save", "x"), "--save and --open need --why"),
        ((ID, "--open", "front", "--why", WHY), "--open needs a terminal"),
        ((ID, "--save", "x", "--open", "front", "--why", WHY), "give either --save or --open"),
        ((ID, "--role", "front"), "--role needs --save"),
        ((ID, "--viewer", "feh"), "--viewer needs --open"),
    ],
)
def test_invalid_input_is_one_line(
    ekyc: Ekyc, evidence: Evidence, arguments: tuple[str, ...], says: str
) -> None:
    for region, signature_id in (("ph", ID), ("ph", "both"), ("sg", "both")):
        evidence.of(region, signature_id).keep_answer(b"{}")
    ended = ekyc("evidence", "show", *arguments)
    assert ended.code == 2
    (line,) = ended.err_lines
    assert says in line
