"""Sequencers as processes, killed and frozen at any moment: nothing is lost, and nothing is logged twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.logged_evidence import PRIVATE, REGION, LoggedEvidence, names
from tests.support.paths import ROOT
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

PROGRAM = """
import sys
from redis import Redis
from tests.support.logged_evidence import LoggedEvidence

redis, url, key = sys.argv[1:]
sequencer = LoggedEvidence(Redis.from_url(redis), url, log_key=key).sequencer()
while True:
    sequencer.turn()
"""


@pytest.mark.timeout(300)
def test_killed_and_frozen_processes_lose_and_repeat_nothing(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    chance, ids, running = random.Random(7), names(400), list[subprocess.Popen[bytes]]()

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", PROGRAM, redis_url, world.url, PRIVATE], cwd=ROOT)

    try:
        running = [start() for _ in range(3)]
        frozen = running[0].pid
        for round_ in range(8):
            world.end(*ids[50 * round_ : 50 * round_ + 50], images=False)
            time.sleep(chance.uniform(0.0, 0.4))
            os.kill(frozen, signal.SIGSTOP if round_ % 2 == 0 else signal.SIGCONT)
            running[1].kill()
            running[1].wait()
            running[1] = start()
        os.kill(frozen, signal.SIGCONT)
        until(lambda: world.queue.state(REGION).pending == 0, "everything is logged")
        assert running[0].poll() is None, "the frozen one has found no damage"
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert sorted(world.logged_ids()) == ids
    world.sequencer().turn()
    report = world.audit()
    assert (report.findings, report.size) == ([], len(ids))
