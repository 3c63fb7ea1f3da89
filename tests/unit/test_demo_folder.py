"""Where a demo keeps what it makes."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from sandbox.demo.folder import Folder, shown
from worker.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_demos_of_the_same_second_get_a_folder_each(tmp_path: Path) -> None:
    folders = {Folder.make(None).root for _ in range(3)}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {tmp_path / "var" / "demo"}


def test_it_is_for_nobody_elses_eyes() -> None:
    folder = Folder.make(None)
    for path in (folder.root, folder.evidence, folder.logs, folder.ledger):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    with pytest.raises(InvalidInput, match="the folder is not empty"):
        Folder.make(tmp_path / "mine")
    assert Folder.make(tmp_path / "new" / "one").evidence.is_dir()


def test_its_environment_can_be_read_by_a_shell(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "with space")
    folder.tell_environment({"EKYC_EVIDENCE_URL": folder.evidence.as_uri(), "ADVANCE_SECRET_KEY": "a b'c"})
    told = subprocess.run(
        [
            "/bin/sh",
            "-c",
            '. "$1" && echo "$ADVANCE_SECRET_KEY $EKYC_EVIDENCE_URL $EKYC_CONSOLE_USERS_FILE"',
            "sh",
            folder.environment,
        ],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told == f"a b'c {folder.evidence.as_uri()} {folder.users}\n"


def test_paths_are_shown_as_one_would_type_them_here(tmp_path: Path) -> None:
    assert shown(tmp_path / "var" / "demo") == "var/demo"
    assert shown(tmp_path.parent) == str(tmp_path.parent)
