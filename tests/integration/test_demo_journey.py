"""A demo watches its processes while it waits for the verifications."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from sandbox.demo.deliveries import Deliveries
from sandbox.demo.failure import DemoFailed
from sandbox.demo.folder import Folder
from sandbox.demo.journal import Journal
from sandbox.demo.journey import Journey
from sandbox.demo.operator import Operator
from sandbox.demo.plan import FEWEST, plan
from sandbox.demo.processes import Processes
from sandbox.demo.progress import Lines

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from sandbox.demo.frame import Frame
    from worker.ledger import Ledger


def test_a_part_that_dies_is_named_while_the_demo_watches(
    redis: Redis, ledger: Ledger, tmp_path: Path
) -> None:
    """The part dies after the first look. Nothing else would end the wait for verifications that nobody handles."""
    folder = Folder.make(tmp_path / "demo")
    journal = Journal(lambda _: None)
    with Processes(folder) as processes:
        part = processes.start("worker1", [sys.executable, "-c", "import time; time.sleep(600)"])

        class Killing(Lines):
            def show(self, frame: Frame) -> None:
                assert not frame.over
                os.kill(part.pid, signal.SIGKILL)

        few = plan(FEWEST)
        journey = Journey(
            few,
            redis=redis,
            deliveries=Deliveries(folder.deliveries),
            processes=processes,
            operator=Operator(few, ledger, journal),
            journal=journal,
            face=Killing(Console(quiet=True)),
        )
        with pytest.raises(DemoFailed, match="worker1 ended unexpectedly, with exit code -9; its log "):
            journey.watch(timeout_s=60)
