"""The chaos suite in two minutes; `make chaos` is the long one. See `docs/chaos.md`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: Another seed breaks other things at other moments: `python -m tests.chaos --version short --seed N`.
SEED = 1


def chaos(*options: str, tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", "--version", "short", *options],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(600)
def test_nothing_is_lost_whatever_breaks(tmp_path: Path) -> None:
    """Promises 1 to 4, and 6: 500 verifications, two workers, Valkey, the vendor, images and evidence, all broken."""
    process = chaos("--seed", str(SEED), "--report", str(tmp_path / "report.md"), tmp_path=tmp_path)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "run is green" in (tmp_path / "report.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


@pytest.mark.timeout(300)
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    process = chaos("--seed", str(SEED), tmp_path=tmp_path)
    assert process.stdout is not None
    assert any("images_fail" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
    assert not processes_that_name(str(tmp_path))


def processes_that_name(text: str) -> list[str]:
    """Command lines in which `text` stands."""
    lines = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True).stdout
    return [line for line in lines.splitlines() if text in line]
