"""The commands of the README's HTTP example, run as they stand, except for the port."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_procfile import block
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]


def test_the_readmes_curl_enqueues_and_reads_the_decision(fleet: Fleet) -> None:
    fleet.worker()
    text = block("sh", "ekyc token new").replace("\\\n", "")
    new_token, web, enqueue, decisions = text.splitlines()
    programs = os.pathsep.join([str(Path(sys.executable).parent), fleet.environment["PATH"]])
    port = free_port()
    environment = fleet.environment | {"PATH": programs, "EKYC_WEB_BIND": f"127.0.0.1:{port}"}
    token = subprocess.run(
        ["sh", "-c", new_token],
        cwd=fleet.folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stderr.split()[-1]
    fleet.cwd = fleet.folder
    fleet.spawn(["sh", "-c", f"exec env {web}"], "web", environment)

    def curl(command: str) -> str:
        ran = subprocess.run(
            ["sh", "-c", command.replace("curl", "curl --silent").replace(":8000/", f":{port}/")],
            env={"PATH": programs, "TOKEN": token},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return ran.stdout

    accepted = json.loads(until(lambda: curl(enqueue), "web accepts it"))
    assert accepted["new"] is True
    assert accepted["url"] == "/v1/verifications/ph/pass-0007"
    found = until(lambda: json.loads(curl(decisions))["decisions"], "it is decided")
    assert [(each["signature_id"], each["decision"]) for each in found] == [("pass-0007", "approve")]
