"""`ekyc evidence keygen`, and what a doctor says of the keys."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from worker.cli.checks.evidence_keys import check_evidence_keys
from worker.cli.checks.finding import Level
from worker.cli.evidence import COMMANDS, SHORT_HELP, evidence
from worker.cli.program import run
from worker.evidence.exposure import readers
from worker.keyring import format_key, new_key, parse_keys
from worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def keys_in(file: Path) -> list[str]:
    keyring = parse_keys(file.read_text())
    assert keyring is not None
    return [key.id for key in keyring.keys]


def test_a_key_goes_to_a_file_for_its_owner_and_nothing_secret_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys"
    assert run(["evidence", "keygen", str(file), "--id", "2027"]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert keys_in(file) == ["2027"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"ekyc: the key 2027 is in {file}: keep a copy of it in another place\n"
    secret = file.read_text().partition(":")[2].strip()
    assert secret not in said.err

    assert run(["evidence", "keygen", str(file), "--id", "2028", "--add", "--json"]) == 0
    assert keys_in(file) == ["2028", "2027"]
    assert secret in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"id": "2028", "file": str(file), "keys": ["2028", "2027"]}
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


def test_without_an_id_it_is_the_date(tmp_path: Path) -> None:
    assert run(["evidence", "keygen", str(tmp_path / "keys")]) == 0
    (key_id,) = keys_in(tmp_path / "keys")
    assert len(key_id) == len("2027-01-15")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{there}"], "the file exists, and is not replaced"),
        (["{there}", "--add", "--id", "old"], "there is a key old already"),
        (["{bad}", "--add"], "a key has 32 bytes, this one has 6"),
        (["{none}/keys"], "cannot be written: No such file or directory"),
        (["{none}", "--add"], "cannot be read: No such file or directory"),
        (["{none}", "--id", "../x"], "must be 1 to 32 of letters"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    there, bad, none = tmp_path / "there", tmp_path / "bad", tmp_path / "none"
    there.write_text(format_key(new_key("old")))
    bad.write_text("old:c2VzYW1l")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    given = [argument.format(there=there, bad=bad, none=none) for argument in arguments]
    assert run(["evidence", "keygen", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert "c2VzYW1l" not in line
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_each_command_of_the_group_has_its_line() -> None:
    assert COMMANDS.keys() == SHORT_HELP.keys()
    for name, line in SHORT_HELP.items():
        command = evidence.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert command.help is not None
        assert " ".join(command.help.split("\n\n")[0].split()) == line


def test_a_doctor_says_that_documents_lie_readable_and_for_whom(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (finding,) = check_evidence_keys(Settings(evidence_url=tmp_path.as_uri()))
    assert finding.level is Level.WARNING
    assert f"the documents at {tmp_path.as_uri()} lie readable for the account " in finding.said
    assert "(folder mode 0700)" in finding.said
    assert "other accounts" not in finding.said
    assert "keygen" in finding.todo
    tmp_path.chmod(0o755)
    assert "other accounts can open the folder (folder mode 0755)" in readers(tmp_path.as_uri())
    assert readers("s3://bucket/ekyc") == "everyone who may read the bucket bucket"
    assert readers((tmp_path / "none").as_uri()) == "the account that runs the workers"


def test_a_doctor_names_the_keys_and_who_can_read_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    run(["evidence", "keygen", str(file), "--id", "old"])
    run(["evidence", "keygen", str(file), "--id", "new", "--add"])
    monkeypatch.setenv("EKYC_EVIDENCE_KEYS_FILE", str(file))
    settings = Settings.from_env()
    (finding,) = check_evidence_keys(settings)
    assert (finding.level, finding.said) == (
        Level.OK,
        "new evidence is encrypted under new; known keys: new, old",
    )
    file.chmod(0o644)
    (finding,) = check_evidence_keys(settings)
    assert finding.level is Level.WARNING
    assert "every account of this machine can read EKYC_EVIDENCE_KEYS_FILE" in finding.said
