"""What the Celery application does as its worker becomes ready."""

from __future__ import annotations

import subprocess
import sys

import worker.runtime.app

_SCRIPT = """
import gc
from celery.signals import worker_ready
import worker.runtime.app
before = gc.get_freeze_count()
worker_ready.send(sender=None)
print(before, gc.get_freeze_count(), len(gc.get_objects()), gc.get_threshold()[0])
"""


def test_a_ready_worker_collects_rarely_and_nothing_that_it_has_loaded() -> None:
    """In a process of its own: what is frozen here would stay so for all tests."""
    printed = subprocess.run(
        [sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True
    ).stdout
    before, frozen, left, threshold = (int(each) for each in printed.split())

    assert before == 0
    assert frozen > 10 * left
    assert threshold == worker.runtime.app.YOUNG_OBJECTS
