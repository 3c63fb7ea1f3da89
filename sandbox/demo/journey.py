"""Watches a demo until every verification is accounted for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sandbox.demo.failure import DemoFailed
from sandbox.demo.folder import shown
from sandbox.demo.frame import look
from worker.ledger.models import Stage

if TYPE_CHECKING:
    from redis import Redis

    from sandbox.demo.deliveries import Deliveries
    from sandbox.demo.folder import Folder
    from sandbox.demo.frame import Frame
    from sandbox.demo.journal import Journal
    from sandbox.demo.operator import Operator
    from sandbox.demo.plan import Plan
    from sandbox.demo.processes import Processes
    from sandbox.demo.progress import Face
    from worker.ledger import Ledger

#: Seconds between two snapshots.
_TICK_S: Final = 0.1

#: How long to wait after the last decision, to notice a decision that is delivered twice.
_LISTEN_S: Final = 1.0

_MOST_NAMED: Final = 10


class Journey:
    """Watches until all is over, and keeps the holds that it saw."""

    def __init__(  # noqa: PLR0913 - a demo's whole
        self,
        plan: Plan,
        *,
        redis: Redis,
        deliveries: Deliveries,
        processes: Processes,
        operator: Operator,
        journal: Journal,
        face: Face,
    ) -> None:
        self._plan = plan
        self._redis = redis
        self._deliveries = deliveries
        self._processes = processes
        self._operator = operator
        self._journal = journal
        self._face = face
        #: Each hold that was seen, with its region.
        self.holds: list[tuple[str, str]] = []
        #: Seconds from the start of ``watch`` until all was over.
        self.took_s = 0.0

    def watch(self, *, timeout_s: float) -> Frame:
        """Return the last snapshot: once everything is accounted for, or after `timeout_s`."""
        began_at = time.monotonic()
        over_since: float | None = None
        while True:
            self._processes.check()
            frame = self._look()
            self._face.show(frame)
            self._operator.attend(frame)
            now = time.monotonic()
            over_since = (over_since or now) if frame.over else None
            if now - began_at >= timeout_s or (over_since is not None and now - over_since >= _LISTEN_S):
                self.took_s = (over_since or now) - began_at
                return frame
            time.sleep(_TICK_S)

    def _look(self) -> Frame:
        frame = look(
            self._redis,
            self._plan.regions,
            self._deliveries,
            planned=len(self._plan.all),
            at_s=self._journal.age_s(),
        )
        for hold in frame.holds:
            if (hold.region, hold.reason) not in self.holds:
                self.holds.append((hold.region, hold.reason))
                self._journal.tell(f"{hold.region} on hold: {hold.reason}")
        return frame


def under_way(plan: Plan, ledger: Ledger, folder: Folder, timeout_s: float) -> DemoFailed:
    """Return the error for a timeout: the verifications that are still in flight, and where the logs are."""
    lines = []
    for planned in plan.all:
        status = ledger.status(planned.region, planned.signature_id)
        stage = status.verification.stage if status else None
        if stage not in {Stage.DONE, Stage.QUARANTINED}:
            polls = f"{status.verification.polls} polls" if status else "not in the ledger"
            lines.append(f"  {planned.region} {planned.signature_id}: {stage or 'not enqueued'}, {polls}")
    if not lines:
        lines = ["  nothing in the ledger: the pipeline has not received every decision"]
    more = [f"  … and {len(lines) - _MOST_NAMED} more"] if len(lines) > _MOST_NAMED else []
    head = f"not over after {timeout_s:.0f} s; logs in {shown(folder.logs)}. Still in flight:"
    return DemoFailed("\n".join([head, *lines[:_MOST_NAMED], *more]))
