"""Does what an operator does: resumes a region once the cause of its hold is fixed, and passes on notifications."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from sandbox.demo.handover import by_python
from sandbox.demo.plan import ACCOUNT_REGION
from worker.ledger.audit import Via

if TYPE_CHECKING:
    from sandbox.demo.frame import Frame
    from sandbox.demo.journal import Journal
    from sandbox.demo.plan import Plan
    from worker.ledger import Ledger
    from worker.ledger.models import Hold

#: Who lifts holds, in the audit log of the demo.
WHO: Final = "operator"

#: How long a hold that waits for a person stays visible. Without an operator it lasts for minutes.
SEEN_S: Final = 1.5

#: Seconds between two notifications about the same verification.
NOTIFY_EVERY_S: Final = 1.0


class Operator:
    """Fixes faults of the account, one after the other, and sends notifications. Call `attend` with every frame."""

    def __init__(self, plan: Plan, ledger: Ledger, journal: Journal) -> None:
        self._ledger = ledger
        self._journal = journal
        self._faults = deque(plan.one_by_one)
        self._held_since_s: float | None = None
        self._never_ready = [planned for planned in plan.all if planned.never_ready]
        self._notified_at_s: float | None = None
        #: Verifications that were enqueued here and were new.
        self.accepted = 0

    def begin(self) -> None:
        """Enqueue the first fault of the account. Raises ``LedgerUnavailable``."""
        self._next_fault()

    def attend(self, frame: Frame) -> None:
        """Do what is due at this frame. Raises ``LedgerUnavailable``."""
        held = next((hold for hold in frame.holds if hold.region == ACCOUNT_REGION), None)
        if held:
            self._lift(held, frame.at_s)
        # The rest waits for results that never come, with the long countdowns of unknown ids.
        left = frame.planned - frame.ended
        if left and left <= len(self._never_ready) and not self._faults:
            self._notify(frame.at_s)

    def _lift(self, held: Hold, at_s: float) -> None:
        if self._held_since_s is None:
            self._held_since_s = at_s
        if at_s - self._held_since_s < SEEN_S:
            return
        self._held_since_s = None
        if self._ledger.resume(held.region, who=WHO, via=Via.CLI):
            self._journal.tell(f"{held.region}: {held.reason} is fixed, an operator lifts the hold")
        self._next_fault()

    def _next_fault(self) -> None:
        if self._faults:
            self.accepted += by_python([self._faults.popleft()], self._ledger)

    def _notify(self, at_s: float) -> None:
        if self._notified_at_s is not None and at_s - self._notified_at_s < NOTIFY_EVERY_S:
            return
        nudged = [
            planned
            for planned in self._never_ready
            if any(self._ledger.nudge(planned.region, [planned.signature_id]))
        ]
        if nudged and self._notified_at_s is None:
            self._journal.tell(
                f"{len(nudged)} left that never get a result; a notification skips their countdowns"
            )
        self._notified_at_s = at_s
