"""The probe that containers run: by file, by page, without our packages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.deploy.sources import DEPLOY
from tests.support.image_host import PNG, ImageHost

if TYPE_CHECKING:
    from pathlib import Path


def probe(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(DEPLOY / "healthy.py"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(("age_s", "code"), [(0, 0), (50, 0), (70, 1)])
def test_a_file_has_to_be_fresh(tmp_path: Path, age_s: int, code: int) -> None:
    file = tmp_path / "alive"
    file.touch()
    touched_at = time.time() - age_s
    os.utime(file, (touched_at, touched_at))
    ended = probe(str(file), "60")
    assert ended.returncode == code
    assert ended.stderr.count("\n") == code


def test_a_file_has_to_be_there(tmp_path: Path) -> None:
    ended = probe(str(tmp_path / "alive"), "60")
    assert (ended.returncode, ended.stderr) == (1, f"{tmp_path}/alive: No such file or directory\n")


def test_a_page_has_to_answer_200(unused_port: int) -> None:
    with ImageHost().running() as host:
        assert probe(host.serve("/healthz", PNG)).returncode == 0
        host.says["/busy"] = lambda request: request.send_error(503)
        busy = probe(f"{host.origin}/busy")
    assert (busy.returncode, busy.stderr) == (1, f"{host.origin}/busy: HTTP/1.1 503 Service Unavailable\n")
    nobody = probe(f"http://127.0.0.1:{unused_port}/healthz")
    assert (nobody.returncode, nobody.stderr.count("\n")) == (1, 1)


def test_it_needs_nothing_that_takes_long_to_import() -> None:
    """It runs every few seconds in every container: without site-packages, and with a handful of modules."""
    script = str(DEPLOY / "healthy.py")
    command = f"import runpy; runpy.run_path({script!r})['file_fault']({script!r}, 1e12); import sys; "
    listed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{command}print(*sys.modules)"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert not {"socket", "pathlib", "subprocess", "urllib", "celery"} & set(listed.stdout.split())
