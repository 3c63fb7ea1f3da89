"""The circuit breaker of the evidence store: while it is open, the vendor is not asked for answers.

Each process has its own, because each may have its own disk, and each region, because a single folder may be broken or
denied. It is closed, open, or half-open:

- closed: callers use the store. After a failure one caller probes the store. A failed probe trips the breaker; so do
  several failures in a row, even if probes succeed.
- open: callers wait until the next probe is due. One of them probes. Each failed probe doubles the wait.
- half-open: the probe has succeeded, and a few callers at a time use the store. A failure trips the breaker again;
  after a few successes it closes.
"""

from __future__ import annotations

import time
from enum import StrEnum
from threading import Lock
from typing import TYPE_CHECKING, Final

import structlog

from worker.concurrency.blocking import run_blocking
from worker.errors import EvidenceKeyUnknown, EvidenceUnavailable, EvidenceUnsuitable, StoreAway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

_log = structlog.get_logger(__name__)

#: Failures in a row that trip the breaker although probes succeed, as on a disk with space only for a probe.
TRIP_AFTER: Final = 3

#: The wait until the first probe, and the longest wait between two.
FIRST_S: Final = 1.0
LONGEST_S: Final = 15.0

#: Callers that may use the store at a time while the breaker is half-open, and successes after which it closes.
TRIALS: Final = 4

#: How long a caller waits while others probe the store, or use all places of the half-open breaker.
SOON_S: Final = 1.0

#: After this time closed, a breaker starts with the shortest wait again.
FORGOTTEN_AFTER_S: Final = 60.0


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """The circuit breaker of one region. Safe to share between the greenlets and threads of a process.

    Parameters:
        check: probes the store, and raises ``EvidenceUnavailable`` or ``EvidenceUnsuitable``. It may block.
        clock: returns seconds.
    """

    def __init__(self, check: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._check = check
        self._clock = clock
        self._lock = Lock()
        self.state = State.CLOSED
        self._failures = 0
        self._probing = False
        self._probe_at = 0.0
        self._wait_s = FIRST_S
        self._trials = 0
        self._trying = 0
        self._since: float | None = None
        #: The last logged event of this outage.
        self._logged = ""
        self._closed_at = clock()

    def use(self) -> Use:
        """Use the store in the block. Raises ``StoreAway`` if it cannot be used, and the block's errors."""
        return Use(self)

    def trip(self, error: EvidenceUnavailable | EvidenceUnsuitable, *, logged: bool = False) -> None:
        """Open the breaker because of `error`, which a probe raised. `logged`: the caller reports it."""
        with self._lock:
            self._logged = _event(error) if logged else self._logged
            self._open(error)

    def enter(self) -> bool:
        """Begin a use. Returns whether the caller uses a place of the half-open breaker. Raises ``StoreAway``."""
        with self._lock:
            if self.state is State.CLOSED:
                return False
            if self.state is State.HALF_OPEN:
                return self._try()
            left_s = self._probe_at - self._clock()
            if left_s > 0 or self._probing:
                raise StoreAway(max(left_s, SOON_S))
            self._probing = True
        if not self._probe():
            raise StoreAway(max(self._probe_at - self._clock(), SOON_S), probed=True)
        with self._lock:
            return self._try()

    def leave(self, error: BaseException | None, *, probe: bool) -> None:
        """End a use, which has raised `error`. Raises ``StoreAway`` for a fault of the store itself."""
        match error:
            case None | EvidenceKeyUnknown():
                # The store has answered. What lacks a key must not keep all others waiting.
                self._worked(probe=probe)
            case EvidenceUnavailable():
                self._failed(error, probe=probe)
            case EvidenceUnsuitable():
                # A fault of the store, not of this verification.
                self._ended(probe=probe)
                self.trip(error)
                raise StoreAway(FIRST_S, probed=True) from None
            case _:
                self._ended(probe=probe)

    def _try(self) -> bool:
        if self._trying >= TRIALS:
            raise StoreAway(SOON_S)
        self._trying += 1
        return True

    def _probe(self) -> bool:
        """Return whether the store works, and set an open breaker to half-open if so. Only one caller probes."""
        try:
            run_blocking(self._check)
        except (EvidenceUnavailable, EvidenceUnsuitable) as error:
            with self._lock:
                self._open(error)
            return False
        finally:
            self._probing = False
        with self._lock:
            if self.state is State.OPEN:
                self.state, self._trials = State.HALF_OPEN, 0
        return True

    def _failed(self, error: EvidenceUnavailable, *, probe: bool) -> None:
        with self._lock:
            self._trying -= probe
            self._failures += 1
            if self.state is State.OPEN:
                return  # this use began before the breaker opened
            if probe or self._failures >= TRIP_AFTER:
                self._open(error)
                return
            if self._probing or self.state is State.HALF_OPEN:
                return
            self._probing = True
        self._probe()

    def _worked(self, *, probe: bool) -> None:
        with self._lock:
            self._failures = 0
            self._trying -= probe
            if not probe or self.state is not State.HALF_OPEN:
                return
            self._trials += 1
            if self._trials >= TRIALS:
                self._close()

    def _ended(self, *, probe: bool) -> None:
        with self._lock:
            self._trying -= probe

    def _open(self, error: Exception) -> None:
        now = self._clock()
        if self._since is None:
            self._since = now
            if now - self._closed_at > FORGOTTEN_AFTER_S:
                self._wait_s = FIRST_S
        event = _event(error)
        if event != self._logged:
            self._logged = event
            _log.error(event, why=str(error))
        self.state = State.OPEN
        self._failures = 0
        self._probe_at = now + self._wait_s
        self._wait_s = min(self._wait_s * 2, LONGEST_S)

    def _close(self) -> None:
        self.state = State.CLOSED
        self._closed_at = self._clock()
        since, self._since = self._since, None
        self._logged = ""
        if since is not None:
            _log.error("evidence_recovered", away_s=round(self._closed_at - since, 1))


class Use:
    """One use of the store: see ``Breaker.use``."""

    __slots__ = ("_breaker", "_probe")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._probe = False

    def __enter__(self) -> None:
        self._probe = self._breaker.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._breaker.leave(error, probe=self._probe)


class Breakers:
    """The breakers of a process, by region."""

    def __init__(self, check: Callable[[], None], regions: Sequence[str]) -> None:
        self._check = check
        self._by_region = {region: Breaker(check) for region in regions}

    def use(self, region: str) -> Use:
        """Use the store for a region: see ``Breaker.use``."""
        breaker = self._by_region.get(region)
        if breaker is None:
            breaker = self._by_region.setdefault(region, Breaker(self._check))
        return breaker.use()

    def trip(self, error: EvidenceUnavailable | EvidenceUnsuitable) -> None:
        """Open all breakers because of `error`, which a probe raised and the caller reports."""
        for breaker in self._by_region.values():
            breaker.trip(error, logged=True)


def _event(error: Exception) -> str:
    return "evidence_unsuitable" if isinstance(error, EvidenceUnsuitable) else "evidence_unavailable"
