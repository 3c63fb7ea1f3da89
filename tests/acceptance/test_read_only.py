"""Worker, `web` and Flower in the file tree of the image: read-only, without a shell, as a user without rights."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from schemas.enqueue import EnqueueRequest
from tests.acceptance.jail import Jail, inmate, why_not
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = [pytest.mark.timeout(180), pytest.mark.skipif(bool(why_not()), reason=why_not())]

#: The unpacked file tree of an image; deploy/README.md says how to come by one. Unset: one is put together.
IMAGE: Final = os.environ.get("EKYC_TEST_IMAGE")

HEALTHY: Final = "/opt/ekyc/healthy.py"


@pytest.fixture
def jail(fleet: Fleet) -> Jail:
    names = ("tmp", "var/lib/ekyc/evidence", "var/lib/ekyc/flower")
    writable = {f"/{name}": fleet.folder / name for name in names}
    for folder in writable.values():
        folder.mkdir(parents=True)
    fleet.environment |= {"EKYC_EVIDENCE_URL": "file:///var/lib/ekyc/evidence", "HOME": "/tmp"}
    return Jail(writable, Path(IMAGE) if IMAGE else None)


def start(
    fleet: Fleet, jail: Jail, *arguments: str, name: str, **environment: str
) -> subprocess.Popen[bytes]:
    """Run Python in the jail; its output goes to `<name>.log`."""
    return fleet.spawn(jail.command(*arguments), name, jail.environment() | environment)


def healthy(jail: Jail, *probe: str) -> bool:
    """What the container's own health check says."""
    command = jail.command("-I", "-S", HEALTHY, *probe)
    return subprocess.run(command, check=False, env=jail.environment(), capture_output=True).returncode == 0


def end(fleet: Fleet, process: subprocess.Popen[bytes], name: str) -> None:
    """SIGTERM to the container's PID 1, which has to end with 0 and to have complained of nothing."""
    os.kill(inmate(process), signal.SIGTERM)
    until(lambda: process.poll() is not None, f"{name} ends; it said: {fleet.log(name)}")
    assert process.returncode == 0, fleet.log(name)
    for word in ("Traceback", "Read-only file system", "Permission denied"):
        assert word not in fleet.log(name)


def test_a_worker_works_where_it_can_write_nothing_but_evidence_and_its_health_file(
    fleet: Fleet, jail: Jail
) -> None:
    worker = start(
        fleet, jail, "-m", "celery", "-A", "worker", "worker", "-l", "INFO",
        name="worker", EKYC_HEALTH_FILE="/tmp/alive",
    )  # fmt: skip
    until(lambda: "ready." in fleet.log("worker") or worker.poll() is not None, "the worker gets ready")
    assert worker.poll() is None, fleet.log("worker")
    status = Path(f"/proc/{inmate(worker)}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status

    fleet.ledger().enqueue([EnqueueRequest("pass-n2-1", "ph"), EnqueueRequest("CARD_NOT_FOUND-2", "ph")])
    fleet.await_done(2)
    assert (jail.writable["/var/lib/ekyc/evidence"] / "ph" / "pass-n2-1" / "manifest.json").exists()
    until(lambda: healthy(jail, "/tmp/alive", "60"), "the health check is content")
    assert not healthy(jail, "/tmp/alive", "0")
    assert {path.name for path in jail.writable["/tmp"].iterdir()} == {"alive", "alive.lock"}
    end(fleet, worker, "worker")
    assert not healthy(jail, "/tmp/alive", "60")


def test_web_and_flower_start_there_and_their_health_checks_are_content(fleet: Fleet, jail: Jail) -> None:
    web_port, flower_port = str(free_port()), str(free_port())
    web = start(
        fleet, jail, "-m", "gunicorn", "-c", "python:worker.web.gunicorn_conf",
        name="web", EKYC_WEB_BIND=f"127.0.0.1:{web_port}",
    )  # fmt: skip
    flower = start(
        fleet, jail, "-m", "celery", "-A", "worker", "flower",
        name="flower", FLOWER_BASIC_AUTH="somebody:a-long-password", FLOWER_PORT=flower_port,
        FLOWER_DB="/var/lib/ekyc/flower/state",
    )  # fmt: skip
    until(lambda: healthy(jail, f"http://127.0.0.1:{web_port}/healthz"), "web answers")
    until(lambda: healthy(jail, f"http://127.0.0.1:{flower_port}/healthcheck"), "Flower answers")
    assert not healthy(jail, f"http://127.0.0.1:{web_port}/readyz"), "there is no worker"
    end(fleet, web, "web")
    end(fleet, flower, "flower")
    assert list(jail.writable["/tmp"].iterdir()) == []
    assert list(jail.writable["/var/lib/ekyc/flower"].iterdir()), "Flower has kept what it saw"
