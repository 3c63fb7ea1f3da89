"""The example of docs/testing.md works as it stands, by pytest alone."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.docs_pages import page
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = [block.text for block in page("docs/testing.md").blocks if block.language == "python"]


def test_the_examples_of_how_to_test_a_pipeline_pass(tmp_path: Path) -> None:
    assert [block.count("\ndef test_") for block in BLOCKS] == [4, 0, 1]
    for number, block in enumerate(BLOCKS):
        (tmp_path / f"test_{number}.py").write_text(block)
    table = (ROOT / "worker" / "decisions" / "default.toml").read_text()
    (tmp_path / "decisions.toml").write_text(table)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "5 passed" in run.stdout
