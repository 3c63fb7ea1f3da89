"""Enqueueing many, in chunks, and keeping count of what became of them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from worker.cli.rows import BadRow
from worker.client import enqueue_many
from worker.errors import EkycError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from worker.enqueue_request import EnqueueRequest

#: Requests that are in memory at a time, and at most unanswered when Redis goes away.
CHUNK: Final = 1000


class BulkEnqueue:
    """Takes rows and counts them.

    Parameters:
        say: where a line about a bad row, or about an early end, goes.
        advance: told after each chunk how many rows there were so far.
    """

    def __init__(self, say: Callable[[str], None], advance: Callable[[int], None]) -> None:
        self._say = say
        self._advance = advance
        self.enqueued = 0
        self.known = 0
        self.skipped = 0
        #: Sent to Redis, and not yet answered.
        self._sent = 0

    def take(self, rows: Iterable[EnqueueRequest | BadRow]) -> None:
        """Enqueue what can be, name what cannot.

        When it is cut short, by Redis, by a file that cannot be read on or by Ctrl-C, it says how far it came.
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
            # A Redis that was never there needs no second line.
            if self.enqueued or self.known:
                self._cut_short()
            raise

    def check(self, rows: Iterable[EnqueueRequest | BadRow]) -> int:
        """Name what could not be enqueued, without enqueueing anything. Returns how many rows there are."""
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
            self._say("enqueue the same again to go on: what is known changes nothing")

    def __str__(self) -> str:
        return f"enqueued {self.enqueued}, already known {self.known}, skipped {self.skipped}"
