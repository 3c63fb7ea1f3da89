"""`.ci/run`, with a program that stands in for make: a part that fails makes it fail, and nothing outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

#: Writes its arguments down. The checks start a process of their own, and wait for it.
MAKE: Final = """#!/bin/sh
echo "$*" >>calls
case "$*" in
    *lint*) sleep "$CHECKS_S" & echo $! >child; wait ;;
esac
case "$*" in *"$FAILING"*) exit 2 ;; esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "temporary").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "bin" / "make").write_text(MAKE)
    (tmp_path / "bin" / "make").chmod(0o755)
    return tmp_path


def script(folder: Path, failing: str = "nothing", *, checks_s: int = 0) -> subprocess.Popen[str]:
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "TMPDIR": f"{folder}/temporary",
        "CHECKS_S": str(checks_s),
        "FAILING": failing,
    }
    return subprocess.Popen(
        ["bash", ".ci/run"],
        cwd=folder,
        env=environment,
        start_new_session=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.parametrize(
    ("failing", "code"), [("nothing", 0), ("docs.stamp", 2), ("lint", 1), ("sbom", 1), ("test-all", 2)]
)
def test_a_part_that_fails_fails_the_run(folder: Path, failing: str, code: int) -> None:
    run = script(folder, failing)
    said, _ = run.communicate(timeout=60)
    assert run.returncode == code, said
    calls = (folder / "calls").read_text()
    assert ("make test test-all" in f"make {calls.splitlines()[-1]}") is (failing in {"nothing", "test-all"})
    assert list((folder / "temporary").iterdir()) == []


def test_ctrl_c_ends_what_runs_in_the_background_with_its_children(folder: Path) -> None:
    run = script(folder, checks_s=300)
    child = int(
        until(lambda: (folder / "child").exists() and (folder / "child").read_text(), "the checks run")
    )
    try:
        os.killpg(run.pid, signal.SIGINT)
        run.communicate(timeout=60)
        assert run.returncode != 0
        until(lambda: not is_running(child), "the children of the checks have ended")
    finally:
        if is_running(child):
            os.kill(child, signal.SIGKILL)
    assert list((folder / "temporary").iterdir()) == []


def is_running(pid: int) -> bool:
    """Whether a process runs. One that has ended may wait for its parent."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(shown) and not shown.startswith("Z")
