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

#: Writes its arguments down. One part starts a process of its own, and waits for it.
MAKE: Final = """#!/bin/sh
echo "$*" >>calls
case "$*" in
    *"$SLOW"*) sleep 300 & echo $! >child; wait ;;
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


def script(folder: Path, failing: str = "nothing", *, slow: str = "nothing") -> subprocess.Popen[str]:
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "TMPDIR": f"{folder}/temporary",
        "SLOW": slow,
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


@pytest.mark.parametrize("slow", ["docs.stamp", "lint", "test-all"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_it_alone_ends_each_part_with_its_children(
    folder: Path, slow: str, number: int, code: int
) -> None:
    run = script(folder, slow=slow)
    child = int(
        until(lambda: (folder / "child").exists() and (folder / "child").read_text(), "the part runs")
    )
    try:
        os.kill(run.pid, number)
        run.communicate(timeout=60)
        assert run.returncode == code
        until(lambda: not is_running(child), "the children of the part have ended")
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
