"""What killed writes leave in a folder of evidence goes by the command that the documentation names."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.support.paths import ROOT
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400


def test_what_killed_writes_leave_is_found_by_the_documented_command(tmp_path: Path) -> None:
    """Neither evidence, however old, nor what somebody may be writing just now."""
    evidence = Evidence(tmp_path.as_uri())
    evidence.of("ph", "one").keep_answer(b"{}")
    evidence.of("ph", "two").keep_unreadable(b"<html>")
    kept = {path for path in tmp_path.rglob("*") if path.is_file()}
    left = {tmp_path / "ph/one" / f"staged-{uuid4().hex}", tmp_path / f"probe-{uuid4().hex}"}
    under_way = tmp_path / "ph/two" / f"staged-{uuid4().hex}"
    for path in (*left, under_way):
        path.write_bytes(b"half of an im")
    long_ago = time.time() - DAY_S - 120
    for path in (*kept, *left):
        os.utime(path, (long_ago, long_ago))

    (command,) = re.findall(r"^\$ (find .*-delete)$", (ROOT / "docs/upkeep.md").read_text(), re.MULTILINE)
    assert "/var/lib/ekyc/evidence" in command
    here = command.replace("/var/lib/ekyc/evidence", str(tmp_path))
    subprocess.run(["/bin/sh", "-c", here], check=True)

    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {*kept, under_way}
