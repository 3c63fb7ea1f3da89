"""The product with a fault that blocks its event loop, for a test: `celery -A tests.acceptance.stuck worker`.

Two ids block it: `hangs…` for ever, `pauses…` until shortly after it counts as stuck. Both do so once for each process.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from worker.runtime import heartbeat, watchdog
from worker.runtime.app import app
from worker.runtime.services import services

if TYPE_CHECKING:
    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition
    from worker.runtime.batch_runner import Attempt

__all__ = ["app"]

#: As shipped these are 1 s and 5 s. What is counted is as shipped: 15 looks until it is stuck, 15 more until it ends.
watchdog.WATCHDOG_CHECK_S = 0.2  # type: ignore[attr-defined]
heartbeat.HEARTBEAT_S = 0.5  # type: ignore[attr-defined]

app.loader.import_default_modules()
_tasks = sys.modules["tasks.get_result"]
_poll = _tasks.poll
_blocked: set[str] = set()


def poll(verification: Verification, attempt: Attempt) -> Transition:
    name = verification.signature_id
    if name.startswith(("hangs", "pauses")) and name not in _blocked:
        _blocked.add(name)
        print(name, "blocks the loop", flush=True)  # noqa: T201
        while name.startswith("hangs") or not services().event_loop.is_stuck:
            time.sleep(0.1)
        time.sleep(0.5)
    written: Transition = _poll(verification, attempt)
    return written


_tasks.poll = poll  # type: ignore[attr-defined]
