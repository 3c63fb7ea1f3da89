"""What the Celery application does as its worker becomes ready."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import gc
from celery.signals import worker_ready
import worker.runtime.app
before = gc.get_freeze_count()
worker_ready.send(sender=None)
print(before, gc.get_freeze_count(), len(gc.get_objects()))
"""


def test_what_a_ready_worker_has_loaded_is_not_collected_again() -> None:
    """In a process of its own: what is frozen here would stay so for all tests."""
    printed = subprocess.run(
        [sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True
    ).stdout
    before, frozen, left = (int(each) for each in printed.split())

    assert before == 0
    assert frozen > 10 * left
