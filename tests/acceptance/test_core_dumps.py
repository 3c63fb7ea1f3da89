"""A process of ours that crashes leaves no image of its memory."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def cores_allowed() -> None:
    """As generous as this machine lets us be: what is started inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("the hard limit of core dumps is 0 here: nothing to forbid")
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def limits(pid: int) -> list[str]:
    """The soft and the hard limit of core dumps, in bytes."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = [each for each in lines if each.startswith("Max core file size")]
    return line.split()[4:6]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def crashed(pid: int, number: int) -> bool:
    """Whether the kernel dumped the core of a child that the signal killed."""
    os.kill(pid, number)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    return os.WCOREDUMP(status)


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV])
def test_a_worker_that_crashes_leaves_no_core(fleet: Fleet, number: int) -> None:
    folder = fleet.folder / "cwd"
    folder.mkdir()
    fleet.cwd = folder
    fleet.environment["PYTHONPATH"] = str(ROOT)
    # Only of its own child does a process learn whether there is a core.
    fleet.forks = False
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=folder)
    until(lambda: limits(other.pid)[0] != "1", "it runs")
    if not crashed(other.pid, number):
        pytest.skip("this machine dumps no core of any process")
    other.returncode = -number
    for core in folder.iterdir():
        core.unlink()

    worker = fleet.worker()
    assert limits(worker.pid) == ["1", "1"]
    assert not crashed(worker.pid, number)
    worker.returncode = -number
    assert not [file for file in folder.iterdir() if file.name.startswith("core")]


def test_no_process_of_web_and_flower_may_leave_one(fleet: Fleet, unused_port: int) -> None:
    web = fleet.start(
        *("gunicorn", "-c", "python:worker.web.gunicorn_conf"),
        name="web",
        EKYC_WEB_BIND=f"127.0.0.1:{unused_port}",
    )
    flower = fleet.start(
        *("celery", "-A", "worker", "flower", "--port=0"),
        name="flower",
        FLOWER_BASIC_AUTH="ops:sesame",
        FLOWER_DB=str(fleet.folder / "flower" / "state"),
    )
    until(lambda: children(web.pid), "gunicorn has a worker")
    until(lambda: limits(flower.pid) == ["1", "1"], "Flower has begun")
    assert [limits(pid) for pid in (web.pid, *children(web.pid))] == [["1", "1"]] * 2


def test_nor_may_a_command(fleet: Fleet) -> None:
    watch = fleet.start("worker.cli", "watch", name="watch")
    until(lambda: limits(watch.pid) == ["1", "1"], "the command runs")
