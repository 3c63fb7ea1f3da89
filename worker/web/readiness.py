"""The readiness of the fleet: Redis answers and takes writes, and a worker was seen lately."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import LedgerDamaged, LedgerUnavailable, RightMissing
from worker.ledger import damage, rights
from worker.ledger.connection import translated
from worker.process import await_part
from worker.time_budget import WORKER_SEEN_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from worker.evidence.ledger_identity import LedgerWatch
    from worker.ledger.redis_health import RedisHealth
    from worker.ledger.worker_registry import WorkerRegistry

#: Seconds between two checks of the account on Redis, which take a hundred commands.
RIGHTS_S: Final = 30.0

_log = structlog.get_logger(__name__)


class Readiness:
    """Checks whether the fleet can work, and logs each change. Thread-safe."""

    def __init__(
        self,
        registry: WorkerRegistry,
        room: RedisHealth,
        ledgers: LedgerWatch | None = None,
        regions: Sequence[str] = (),
        redis: Redis | None = None,
    ) -> None:
        self._registry = registry
        self._room = room
        self._ledgers = ledgers
        self._regions = regions
        self._lock = threading.Lock()
        self._last: str | None = None
        #: The client whose account is checked; None: none is.
        self._redis = redis
        self._lacking: tuple[str, ...] = ()
        self._rights_at: float | None = None

    def await_redis(self, limit_s: float) -> None:
        """Wait until Redis answers. Raises ``LedgerUnavailable`` once `limit_s` have passed."""

        def reach() -> None:
            # `look` finds and names missing rights and damaged keys.
            with suppress(RightMissing, LedgerDamaged):
                self._registry.present()

        await_part(reach, limit_s)

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
            if lacking := self._lacks():
                return lacking
            present = self._registry.present()
            refusal = self._room.refusal()
            replaced = [region for region in self._regions if self._is_replaced(region)]
        except LedgerDamaged as error:
            named = "" if self._redis is None else damage.found(self._redis, self._regions)
            return named or str(error)
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

    def _lacks(self) -> str:
        """Return what the account of this process lacks, with the command that gives it; "": nothing."""
        if self._redis is None:
            return ""
        now = time.monotonic()
        with self._lock:
            is_due = self._rights_at is None or now >= self._rights_at + RIGHTS_S
            self._rights_at = now if is_due else self._rights_at
        if is_due:
            try:
                with translated():
                    self._lacking = rights.missing(self._redis, rights.of_ledger(self._regions))
            except LedgerUnavailable:
                with self._lock:
                    self._rights_at = None
                raise
        if not self._lacking:
            return ""
        return (
            "the account of REDIS_URL lacks rights on Redis: "
            f"run `{rights.line(self._redis, self._lacking)}`, and see docs/redis.md#the-account"
        )

    def _is_replaced(self, region: str) -> bool:
        return self._ledgers is not None and self._ledgers.look(region).is_replaced
