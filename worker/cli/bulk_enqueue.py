"""Enqueue many verifications in chunks, and count the outcomes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from worker.cli.csv_table import BadRow
from worker.client import enqueue_many
from worker.errors import EkycError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from worker.enqueue_request import EnqueueRequest

#: Requests in memory at a time, and the most that can be unanswered when Redis becomes unavailable.
CHUNK: Final = 1000


class BulkEnqueue:
    """Takes rows and counts them.

    Parameters:
        say: called with each line about a bad row or an early end.
        advance: called after each chunk with the number of rows so far.
    """

    def __init__(self, say: Callable[[str], None], advance: Callable[[int], None]) -> None:
        self._say = say
        self._advance = advance
        self.enqueued = 0
        self.known = 0
        self.skipped = 0
        #: Requests sent to Redis that have no answer yet.
        self._sent = 0

    def take(self, rows: Iterable[EnqueueRequest | BadRow]) -> None:
        """Enqueue the good rows and report the bad ones.

        If Redis, a read error or Ctrl-C interrupts it, it reports how far it got.
        """
        good = self._good(rows)
        try:
            while chunk := list(islice(good, CHUNK)):
                self._enqueue(chunk)
                self._advance(self.enqueued + self.known + self.skipped)
        except KeyboardInterrupt:
            self._cut_short()
            raise
        except (EkycError, OSError):
            # If Redis was unavailable from the start, the error alone is enough.
            if self.enqueued or self.known:
                self._cut_short()
            raise

    def check(self, rows: Iterable[EnqueueRequest | BadRow]) -> int:
        """Report the bad rows without enqueueing anything. Returns the number of rows."""
        number = 0
        for number, _ in enumerate(self._good(rows), start=1):
            if number % CHUNK == 0:
                self._advance(number + self.skipped)
        return number + self.skipped

    def _good(self, rows: Iterable[EnqueueRequest | BadRow]) -> Iterator[EnqueueRequest]:
        for row in rows:
            if isinstance(row, BadRow):
                self.skipped += row.rows
                self._say(str(row))
            else:
                yield row

    def _enqueue(self, chunk: list[EnqueueRequest]) -> None:
        self._sent = len(chunk)
        new = enqueue_many(chunk)
        self.enqueued += sum(new)
        self.known += len(new) - sum(new)
        self._sent = 0

    def _cut_short(self) -> None:
        if self.enqueued or self.known or self._sent:
            unanswered = f", and {self._sent} sent without an answer" if self._sent else ""
            self._say(f"so far: {self}{unanswered}")
            self._say("to continue, enqueue the same input again: known ids change nothing")

    def __str__(self) -> str:
        return f"enqueued {self.enqueued}, already known {self.known}, skipped {self.skipped}"
