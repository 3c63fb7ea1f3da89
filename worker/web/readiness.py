"""The readiness of the fleet: Redis answers and takes writes, and a worker was seen lately."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from worker.errors import LedgerUnavailable
from worker.process import await_part
from worker.time_budget import WORKER_SEEN_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.evidence.ledger_identity import LedgerWatch
    from worker.ledger.redis_health import RedisHealth
    from worker.ledger.worker_registry import WorkerRegistry

_log = structlog.get_logger(__name__)


class Readiness:
    """Checks whether the fleet can work, and logs each change. Thread-safe."""

    def __init__(
        self,
        registry: WorkerRegistry,
        room: RedisHealth,
        ledgers: LedgerWatch | None = None,
        regions: Sequence[str] = (),
    ) -> None:
        self._registry = registry
        self._room = room
        self._ledgers = ledgers
        self._regions = regions
        self._lock = threading.Lock()
        self._last: str | None = None

    def await_redis(self, limit_s: float) -> None:
        """Wait until Redis answers. Raises ``LedgerUnavailable`` once `limit_s` have passed."""
        await_part(self._registry.present, limit_s)

    def look(self) -> str:
        """Return why the fleet cannot work, in one line; "" if it can."""
        why = self._why()
        with self._lock:
            before, self._last = self._last, why
        if why == before:
            return why
        if why:
            _log.warning("fleet_not_ready", why=why)
        else:
            # After an outage at the same level, so that a log with one of them has both.
            (_log.warning if before else _log.info)("fleet_ready")
        return why

    def _why(self) -> str:
        try:
            present = self._registry.present()
            refusal = self._room.refusal()
            replaced = [region for region in self._regions if self._is_replaced(region)]
        except LedgerUnavailable as error:
            return str(error)
        # First, because without writes no worker can sign in either.
        if refusal:
            return f"Redis refuses to write ({refusal}): nothing is accepted or recorded; run `ekyc doctor`"
        if replaced:
            return (
                f"the ledger of {', '.join(replaced)} was replaced: nothing is claimed; "
                "find out why, then run `ekyc ledger accept`"
            )
        return "" if present else f"no worker was seen in the last {WORKER_SEEN_S:.0f} s"

    def _is_replaced(self, region: str) -> bool:
        return self._ledgers is not None and self._ledgers.look(region).is_replaced
