"""Two fleets of `worker.testing` at once on one machine, as in two runs of a test suite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from worker.testing import LocalFleet

ROOT = Path(__file__).parents[2]

OTHER = """
from worker.client import enqueue
from worker.testing import LocalFleet

with LocalFleet() as fleet:
    enqueue("pass-1", "ph")
    assert [each.name for each in fleet.drain()] == ["approve"]
"""


def test_two_on_one_machine_know_nothing_of_each_other() -> None:
    with LocalFleet(settings={"ADVANCE_REGIONS": "ph"}) as fleet:
        other = subprocess.run(
            [sys.executable, "-c", OTHER], check=False, cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert other.returncode == 0, other.stderr
        assert fleet.counts("ph").enqueued == 0
