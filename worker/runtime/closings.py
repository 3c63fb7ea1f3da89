"""A thread in every worker that stores the closing times which `web` has noted in the ledger."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import EvidenceUnavailable, LedgerUnavailable
from worker.records import closings
from worker.server_faults import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.evidence.store import Evidence
    from worker.ledger.erasures import Erasures

_log = structlog.get_logger(__name__)

#: How often a worker looks for closing times: two commands of Redis for each region.
LOOK_S: Final = 15.0


class ClosingsThread(threading.Thread):
    """Looks for closing times until it is stopped. Only one worker at a time has the turn of a region."""

    def __init__(self, evidence: Evidence, ledger: Erasures, regions: Sequence[str]) -> None:
        super().__init__(name="closings", daemon=True)
        self._evidence = evidence
        self._ledger = ledger
        self._regions = tuple(regions)
        self._stopping = threading.Event()
        #: By region, why closing times wait, as it was logged.
        self._waits: dict[str, str] = {}

    def stop(self) -> None:
        """Does not wait for the thread, which may be at the evidence store."""
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Store what waits now. A fault of Redis is logged elsewhere; the next look tries again."""
        for region in self._regions:
            try:
                closings.store(self._evidence, self._ledger, region)
            except LedgerUnavailable:
                return
            except EvidenceUnavailable as error:
                if self._waits.get(region) != str(error):
                    self._waits[region] = str(error)
                    _log.warning("closings_wait", region=region, why=str(error))
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave the times in Redis
                _log.error("closings_failed", error=described(error))
            else:
                self._waits.pop(region, None)
