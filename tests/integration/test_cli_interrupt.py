"""Ctrl-C right after a command was started: one line and exit status 130, also while modules are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: A module that is imported instead of the real one, at the moment at which the user types Ctrl-C.
AT_CTRL_C = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)\n"


@pytest.mark.parametrize(
    ("module", "said"), [("click", "ekyc: interrupted\n"), ("redis", "\n")], ids=["start", "command"]
)
def test_ctrl_c_during_an_import_is_no_traceback(tmp_path: Path, module: str, said: str) -> None:
    (tmp_path / f"{module}.py").write_text(AT_CTRL_C)
    # The path of a process comes before the installed packages.
    env = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    for command in (
        ["-c", "import sys; from worker.cli import main; sys.exit(main())"],
        ["-m", "worker.cli"],
    ):
        ended = subprocess.run(
            [sys.executable, *command, "stats"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (ended.returncode, ended.stderr, ended.stdout) == (130, said, "")
