"""Whether the fleet can work: Redis answers, and a worker was seen lately."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from worker.errors import LedgerUnavailable
from worker.roster import LATELY_S

if TYPE_CHECKING:
    from worker.roster import Roster

_log = structlog.get_logger(__name__)


class Readiness:
    """Looks, and logs a line when it is another than at the last look. Safe to share between threads."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._lock = threading.Lock()
        self._last: str | None = None

    def look(self) -> str:
        """Why the fleet cannot work, in one line; empty: it can."""
        why = self._why()
        with self._lock:
            changed, self._last = why != self._last, why
        if changed and why:
            _log.warning("fleet_not_ready", why=why)
        elif changed:
            _log.info("fleet_ready")
        return why

    def _why(self) -> str:
        try:
            return "" if self._roster.present() else f"no worker was seen in the last {LATELY_S:.0f} s"
        except LedgerUnavailable as error:
            return str(error)
