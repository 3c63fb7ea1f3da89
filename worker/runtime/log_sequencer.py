"""The thread of a worker that continues the logs of evidence: see ``worker.evidence.log.sequencer``.

One process continues the log of a region at a time, by a lease in Redis, so that the others need not read it. Nothing
here runs on the event loop, and nothing waits for it: verifications are decided whether or not their log is continued.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import EvidenceUnavailable, LedgerUnavailable, LogDamaged, TimestampUnavailable
from worker.evidence.log.commits import RegionLog
from worker.evidence.log.sequencer import Sequencer
from worker.evidence.log.timestamps import stamp_day
from worker.server_faults import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.evidence.breaker import Breakers
    from worker.evidence.log.log_keys import LogKeys
    from worker.evidence.log.timestamps import Authority
    from worker.evidence.store import Evidence
    from worker.ledger.evidence_log import EvidenceLogQueue

_log = structlog.get_logger(__name__)

#: Seconds between two turns, and between two tries to take the lease of another process. What has ended is in the log
#: within a minute, also if the process that continues the log is killed: its lease ends, the others try, and turn.
TURN_S: Final = 10.0
LEASE_S: Final = 25.0
TRY_S: Final = 15.0

#: Seconds after which the log is read although nothing waits, so that a rollback shows.
LOOK_S: Final = 300.0

#: Seconds between two looks at whether a day's timestamp is due, and between two log lines about the same fault.
STAMP_S: Final = 1800.0
REPEAT_S: Final = 600.0

#: How long a worker that ends waits for the turn under way, in seconds.
LAST_TURN_S: Final = 3.0


class LogSequencer(threading.Thread):
    """Continues the logs of all regions of a process.

    Parameters:
        authority: gives timestamps; None for none.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts that it connects
        self,
        evidence: Evidence,
        keys: LogKeys,
        queue: EvidenceLogQueue,
        breakers: Breakers,
        regions: Sequence[str],
        authority: Authority | None = None,
    ) -> None:
        super().__init__(name="log-sequencer", daemon=True)
        self._queue = queue
        self._breakers = breakers
        self._authority = authority
        self._owner = secrets.token_hex(8)
        self._logs = {region: RegionLog(evidence.backend, region, keys) for region in regions}
        self._sequencers = {region: Sequencer(log, evidence, queue) for region, log in self._logs.items()}
        self._try_at = dict.fromkeys(regions, float("-inf"))
        self._looked_at = dict.fromkeys(regions, float("-inf"))
        self._stamped_at = dict.fromkeys(regions, float("-inf"))
        #: By region, the fault of the last turn and when it was logged.
        self._faults: dict[str, tuple[str, float]] = {}
        self._stopping = threading.Event()

    def end(self) -> None:
        """Begin no further turn, and let another process continue at once."""
        self._stopping.set()
        self.join(LAST_TURN_S)

    def run(self) -> None:
        while not self._stopping.wait(TURN_S):
            self.turn()
        for region in self._logs:
            with suppress(LedgerUnavailable):
                self._queue.end_lease(region, self._owner)

    def turn(self) -> None:
        """Continue each log once, if this process holds its lease and the store is available."""
        for region in self._logs:
            if self._stopping.is_set():
                return
            try:
                self._continue(region)
            except LedgerUnavailable:
                pass  # the dispatcher logs an outage
            except EvidenceUnavailable:
                # The breaker of the store logs an outage. It may be of this process alone.
                self._hand_over(region)
            except LogDamaged as error:
                self._report(region, error)
            except Exception as error:  # noqa: BLE001 - one region must not stop the logs of the others
                # A process that ends refuses new threads; what is left is added by the next process.
                if not self._stopping.is_set():
                    _log.error("evidence_log_failed", region=region, error=described(error), exc_info=error)

    def _continue(self, region: str) -> None:
        now = time.monotonic()
        if now < self._try_at[region]:
            return
        if not self._queue.lease(region, self._owner, for_s=LEASE_S):
            self._try_at[region] = now + TRY_S
            return
        if not self._queue.pending(region, 1) and now - self._looked_at[region] < LOOK_S:
            return
        with self._breakers.use(region):
            added = self._sequencers[region].turn()
            self._looked_at[region] = now
            if added:
                head = self._sequencers[region].head
                _log.info("evidence_logged", region=region, entries=added, size=head.size)
            self._stamp(region, now)
        if self._sequencers[region].left_unread:
            self._hand_over(region)
        # The process that noted the fault may be gone.
        if self._faults.pop(region, None) or self._queue.has_fault(region):
            self._queue.fault(region, "")
            _log.warning("evidence_log_recovered", region=region)

    def _hand_over(self, region: str) -> None:
        """Give the lease back, and try again when the other processes have tried."""
        self._try_at[region] = time.monotonic() + 2 * TRY_S
        with suppress(LedgerUnavailable):
            self._queue.end_lease(region, self._owner)

    def _stamp(self, region: str, now: float) -> None:
        if self._authority is None or now - self._stamped_at[region] < STAMP_S:
            return
        self._stamped_at[region] = now
        try:
            day = stamp_day(self._logs[region], self._authority, datetime.now(UTC))
        except TimestampUnavailable as error:
            _log.warning("evidence_log_not_stamped", region=region, why=str(error))
        else:
            if day:
                _log.info("evidence_log_stamped", region=region, day=day)

    def _report(self, region: str, error: LogDamaged) -> None:
        word, logged_at = self._faults.get(region, ("", 0.0))
        now = time.monotonic()
        if word == error.cause and now - logged_at < REPEAT_S:
            return
        self._faults[region] = (error.cause, now)
        _log.error("evidence_log_damaged", region=region, cause=error.cause, why=str(error))
        with suppress(LedgerUnavailable):
            self._queue.fault(region, error.cause)
