"""The number of decisions in the pipeline's queue. Needs no Celery, because `web` counts them, too."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from amqp.exceptions import NotFound

from worker.messaging import queues
from worker.settings import DECISION_QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that each call of the broker may take.
TIMEOUT_S: Final = 2

#: Seconds between two counts, regardless of how often the metrics are scraped.
EVERY_S: Final = 5.0

#: Seconds for which a count is valid.
FRESH_S: Final = 60.0

#: Seconds that a reader waits for a running count, if the count before succeeded.
WAIT_S: Final = 1.0


def count(broker_url: str, timeout_s: int = TIMEOUT_S) -> int | None:
    """Return the number of decisions in the queue; None if the broker does not answer within some seconds."""
    try:
        with queues.connected(broker_url, timeout_s) as connection:
            return queues.size(connection.default_channel, DECISION_QUEUE)
    except NotFound:
        # A queue that is not declared yet is empty.
        return 0
    except Exception:  # noqa: BLE001 - kombu passes on any error of its drivers
        return None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the queue."""

    #: The number at the last count that succeeded; None: none has.
    count: int | None
    #: Seconds since then.
    age_s: float
    #: Whether the last count succeeded, and the one that runs is not late.
    is_answering: bool
    #: For how long the queue has not been empty nor become shorter, as far as this process has counted.
    grows_for_s: float


class Unread:
    """The latest count, taken in the background, so that a broker that hangs delays no reader. Thread-safe."""

    def __init__(self, broker_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = broker_url
        self._clock = clock
        self._lock = threading.Lock()
        self._counting: threading.Thread | None = None
        self._count: int | None = None
        self._counted_at: float | None = None
        #: Whether the last finished count succeeded.
        self._answered = True
        #: The last count that succeeded, and since when the number has not become smaller.
        self._known: tuple[int, float] | None = None
        self._grows_since = clock()

    def read(self) -> int | None:
        """Return the number of waiting decisions; None if there is no recent count."""
        self._count_if_due()
        with self._lock:
            fresh = self._counted_at is not None and self._clock() < self._counted_at + FRESH_S
            return self._count if fresh else None

    def known(self) -> Known:
        """Return the last number, of any age, and for how long it has grown."""
        self._count_if_due()
        with self._lock:
            now = self._clock()
            if self._known is None:
                return Known(None, 0.0, self._answered, 0.0)
            number, at = self._known
            return Known(number, now - at, self._answered, at - self._grows_since if number else 0.0)

    def _count_if_due(self) -> None:
        with self._lock:
            counting, answered = self._counting, self._answered
            if counting is None and (self._counted_at is None or self._clock() >= self._counted_at + EVERY_S):
                counting = self._counting = threading.Thread(target=self._look, name="unread", daemon=True)
                counting.start()
        if counting is not None and answered:
            counting.join(WAIT_S)
        with self._lock:
            if counting is not None and self._counting is counting:
                # The count hangs: the next reader does not wait for it.
                self._answered = False

    def _look(self) -> None:
        found = count(self._url)
        with self._lock:
            now = self._clock()
            if found is not None:
                if not found or self._known is None or found < self._known[0]:
                    self._grows_since = now
                self._known = found, now
            self._count, self._counted_at = found, now
            self._answered, self._counting = found is not None, None
