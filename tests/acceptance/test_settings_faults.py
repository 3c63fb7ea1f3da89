"""Faults of the environment, as the person who starts a process sees them: a line for each, and exit code 2."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.ports import free_port

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(240)

FAULTS = {
    "EKYC_BATCHES": "sesame",
    "EKYC_IMAGE_ORIGINS": "https://*.example.com",
    "EKYC_QUEUE": "onboarding",
    "EKYC_RATE": "-1",
}

#: Every kind of process.
PROCESSES = {
    "worker": ("celery", "-A", "worker", "worker"),
    "web": ("gunicorn", "-c", "python:worker.web.gunicorn_conf"),
    "flower": ("celery", "-A", "worker", "flower"),
    "ekyc": ("worker.cli", "stats"),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_every_fault_is_a_line_and_the_process_ends_with_2(fleet: Fleet, name: str) -> None:
    ports = {"EKYC_WEB_BIND": f"127.0.0.1:{free_port()}", "FLOWER_PORT": str(free_port())}
    done = fleet.run(*PROCESSES[name], **FAULTS, **ports)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "sesame" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("ekyc: ")]
    assert sorted(line.removeprefix("ekyc: ").partition(":")[0] for line in lines) == sorted(FAULTS)


def test_a_name_that_nobody_knows_is_a_line_and_stops_nobody(fleet: Fleet) -> None:
    stranger = {"EKYC_CRM_TENANT": "sesame", "EKYC_RATE": "", "EKYC_BATCH": ""}
    fleet.worker(**stranger)
    said = "EKYC_CRM_TENANT is not a setting of this release and is not read"
    assert [line for line in fleet.log("w1").splitlines() if "CRM" in line] == [f"ekyc: warning: {said}"]
    report = json.loads(fleet.run("worker.cli", "doctor", "--json", **stranger).stdout)
    rows = [check for check in report["checks"] if check["check"] == "settings"]
    assert [(row["level"], row["said"]) for row in rows[1:]] == [("warning", said)]
    assert "sesame" not in fleet.log("w1") + json.dumps(report)
