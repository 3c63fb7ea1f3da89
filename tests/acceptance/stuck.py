"""The product on a disk that hangs, for a test: `celery -A tests.acceptance.stuck worker`. One id stops it all."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from worker import calls
from worker.app import app

if TYPE_CHECKING:
    from worker.ledger.values import Verification
    from worker.ledger.writes import Write

__all__ = ["app"]

calls.STUCK_S = 1.0  # type: ignore[misc]
app.loader.import_default_modules()
_tasks = sys.modules["tasks.get_result"]
_poll = _tasks.poll


def poll(verification: Verification) -> Write:
    if verification.signature_id.startswith("hangs"):
        time.sleep(600)
    written: Write = _poll(verification)
    return written


_tasks.poll = poll  # type: ignore[attr-defined]
