"""The command by which a runbook counts who listens on our queue leaves out the pipeline's own workers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.docs_pages import page
from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

PIPELINE = """
from celery import Celery

app = Celery("onboarding", broker="{broker}")
"""


@pytest.fixture
def pipeline(redis_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the pipeline, on the same broker, that reads the queue of decisions."""
    (tmp_path / "pipeline.py").write_text(PIPELINE.format(broker=redis_url))
    command = [
        "-m",
        "celery",
        "-A",
        "pipeline",
        "worker",
        "-Q",
        "onboarding",
        "-n",
        "theirs@test",
        "-P",
        "threads",
        "-c",
        "1",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "-l", "INFO"],
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            env={"PATH": os.defpath},
        )
    try:
        until(lambda: b"ready." in (tmp_path / "log").read_bytes(), "the pipeline gets ready")
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.usefixtures("pipeline")
def test_the_runbook_counts_no_worker_of_the_pipeline(redis_url: str) -> None:
    text = page("docs/runbooks.md").text.partition("## EkycNoWorker\n")[2].partition("\n## ")[0]
    (command,) = re.findall(r"^celery .*$", text, re.MULTILINE)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "REDIS_URL": redis_url,
        "ADVANCE_ACCESS_KEY": "k",
        "ADVANCE_SECRET_KEY": "s",
        "EKYC_EVIDENCE_URL": "file:///nowhere",
    }

    def listed(queue: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-c", command],
            check=False, capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment | {"EKYC_QUEUE": queue},
        )  # fmt: skip
        return done.stdout.split()

    assert listed("") == []
    # The command finds the consumers of that queue; the pipeline's worker is not one.
    assert "theirs@test" in subprocess.run(
        ["bash", "-c", "celery -A worker inspect ping"],
        check=False, capture_output=True, text=True, timeout=60, cwd=ROOT, env=environment,
    ).stdout  # fmt: skip
