"""The job of the peers, where it is told to sync what it writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

#: Keeps two files, and prints what was synced, in order.
KEEP = """
import asyncio, os
from benchmarks.peers import job
fsync, root = os.fsync, str(job.EVIDENCE)
def told(descriptor):
    print(os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(root))
    fsync(descriptor)
os.fsync = told
job.keep("one", "answer.json", b"{}")
asyncio.run(job.keep_async("one", "front.jpg", b"image"))
assert (job.EVIDENCE / "ph/one/front.jpg").read_bytes() == b"image"
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="tells by /proc what was synced")
@pytest.mark.parametrize(
    ("switch", "synced"),
    [
        ("", []),
        ("1", ["/ph/one/answer.json", "/ph/one", "/ph", "/ph/one/front.jpg", "/ph/one"]),
    ],
)
def test_a_peer_that_is_told_to_sync_syncs_bytes_and_names(
    tmp_path: Path, switch: str, synced: list[str]
) -> None:
    environment = {
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": "redis://127.0.0.1:1",
        "ADVANCE_BASE_URL": "http://127.0.0.1:1",
        "BENCH_EVIDENCE": str(tmp_path),
        "BENCH_COUNTDOWN_S": "1",
        "BENCH_SYNCED": switch,
    }
    done = subprocess.run(
        [sys.executable, "-c", KEEP], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == synced
