"""Upgrading without stopping: a worker of an older commit and one of this tree, on one ledger."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)

#: The state before the first release that is compared with: once there is a release, its tag belongs here.
OLDER: Final = "575fa09d22dcccf042fa75c0ceff2bc9506e4849"


@pytest.fixture
def older(fleet: Fleet, tmp_path: Path) -> Fleet:
    """The same fleet, whose workers run from the older tree."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed: apt-get install git")
    tree = tmp_path / "older"
    packed = subprocess.run(
        ["git", "archive", "--format=tar", OLDER, "worker", "tasks", "schemas"],
        check=False, cwd=ROOT, capture_output=True,
    )  # fmt: skip
    if packed.returncode:
        pytest.skip(f"this clone has no history: {OLDER} is not in it (git fetch --unshallow)")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(tree, filter="data")
    where = [
        sys.executable,
        "-c",
        "import worker, tasks; print(worker.__file__, tasks.__file__)",
    ]
    imported = subprocess.run(
        where, check=True, cwd=tree, env=fleet.environment, capture_output=True, text=True
    )
    assert imported.stdout.count(str(tree)) == 2
    return replace(fleet, cwd=tree)


def test_two_releases_on_one_ledger_decide_everybody_once(fleet: Fleet, older: Fleet) -> None:
    """Both work; then the old one is stopped, and the new one goes on with what it was doing."""
    old = older.worker("old")
    fleet.worker("new")
    names = [f"pass-latency200ms-n4-{number}" for number in range(60)]
    names += [f"CARD_NOT_FOUND-n6-{number}" for number in range(20)] + ["imgexpired-1", "pass-http500-2"]
    fleet.ledger().enqueue([EnqueueRequest(name, "ph", '{"n":1}') for name in names])
    fleet.await_done(20)
    old.send_signal(signal.SIGTERM)
    assert old.wait(timeout=30) == 0
    fleet.await_done(len(names))

    assert sorted(each["decision"]["signature_id"] for each in fleet.delivered()) == sorted(names)
    counts = fleet.stats().counts("ph")
    assert (counts.waiting, counts.in_flight, counts.quarantined) == (0, 0, 0)
    for name in ("old", "new"):
        assert "tasks.get_result" in fleet.log(name)
        assert "Traceback" not in fleet.log(name)
    workers = {
        event.worker
        for name in names
        if (status := fleet.ledger().status("ph", name))
        for event in status.timeline
        if event.worker
    }
    assert len(workers) == 2


def test_an_older_release_goes_on_with_what_a_newer_one_left(fleet: Fleet, older: Fleet) -> None:
    """Going back: what waits, rests and is decided under the newer one is read by the older one."""
    new = fleet.worker("new")
    names = [f"pass-n8-{number}" for number in range(20)]
    fleet.ledger().enqueue([EnqueueRequest(name, "ph") for name in names])
    until(lambda: fleet.stats().counts("ph").polls > 30, "the newer one has polled")
    new.send_signal(signal.SIGTERM)
    assert new.wait(timeout=30) == 0
    older.worker("old")
    fleet.await_done(len(names))
    assert sorted(each["decision"]["signature_id"] for each in fleet.delivered()) == sorted(names)
    assert "Traceback" not in fleet.log("old")
