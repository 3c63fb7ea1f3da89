"""A worker works where it can write nothing but evidence and /tmp, as a user without rights, and without a shell."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.acceptance import jail as jails
from tests.acceptance.fleet import ROOT, until
from tests.acceptance.jail import Jail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif((why := jails.why_not()) is not None, reason=str(why)),
]

#: The unpacked file tree of an image that was built; unset: one is put together from what is installed here.
IMAGE = os.environ.get("EKYC_TEST_IMAGE_ROOT")


@pytest.fixture
def jail(fleet: Fleet) -> Iterator[Jail]:
    places = [fleet.folder / "tmp", fleet.folder / "evidence"]
    for place in places:
        place.mkdir()
    jail = Jail(*places, root=Path(IMAGE) if IMAGE else None)
    fleet.environment |= {"EKYC_EVIDENCE_URL": f"file://{jails.EVIDENCE}", "HOME": "/tmp"}
    return jail


def start(fleet: Fleet, jail: Jail, *command: str, name: str) -> subprocess.Popen[bytes]:
    """Run a Python module in the jail; its output goes to `<name>.log`."""
    with (fleet.folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            jail.command(jail.python, "-m", *command),
            env=fleet.environment | jail.environment(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    fleet.processes.append(process)
    return process


def test_x(fleet: Fleet, jail: Jail) -> None:
    worker = start(fleet, jail, "celery", "-A", "worker", "worker", "-n", "w1@test", "-l", "INFO", name="w1")
    until(lambda: "ready." in fleet.log("w1") or worker.poll() is not None, "ready")
    assert worker.poll() is None, fleet.log("w1")
    fleet.ledger().enqueue([EnqueueRequest("pass-n2-1", "ph")])
    fleet.await_done(1)
    print(fleet.log("w1"))
    print(list(jail.tmp.rglob("*")), list(jail.evidence.rglob("*")))
    print(Path(f"/proc/{worker.pid}/status").read_text())
    worker.send_signal(signal.SIGTERM)
    print(worker.wait(timeout=30))
    print(fleet.log("w1"))
