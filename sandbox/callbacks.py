"""The vendor's callbacks: a POST for each id when its user is done, and when its result is there.

As the vendor has it, a result that is INCOMPLETE has no callback, nothing is signed, and nothing is sent twice because
it failed. Callbacks may be lost or doubled at random.
"""

from __future__ import annotations

import heapq
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import count
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sandbox.faults import draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.scenario import Scenario

COMPLETED: Final = "COMPLETED"
SUBMIT_COMPLETED: Final = "SUBMIT_COMPLETED"

#: Callbacks that are on their way at once.
_SENDERS: Final = 8

#: How long a receiver may take to answer.
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """Where callbacks go, and how many of them fail.

    Parameters:
      urls: each callback is sent to all of them.
      lost, doubled: the share of callbacks (0 to 1) that are not sent, or are sent twice.
      seed: varies which.
    """

    urls: Sequence[str] = field(default=(), repr=False)
    lost: float = 0.0
    doubled: float = 0.0
    seed: int = 0

    def copies(self, signature_id: str, kind: str) -> int:
        """How often the callback is sent: always the same for the same arguments."""
        share = int.from_bytes(draw(self.seed, f"callback:{kind}:{signature_id}", 0)[:7], "big") / 2**56
        if share < self.lost:
            return 0
        return 2 if share < self.lost + self.doubled else 1


def is_announced(scenario: Scenario) -> bool:
    """Whether the vendor sends a callback about the result."""
    return scenario.overall_result != "INCOMPLETE"


class Callbacks:
    """Sends callbacks at their time. Thread-safe. Without a URL it does nothing."""

    def __init__(self, settings: CallbackSettings) -> None:
        for url in settings.urls:
            _check(url)
        self._settings = settings
        self._changed = Condition()
        self._due: list[tuple[float, int, str, str]] = []
        self._order = count()
        self._stopping = False
        self._counts: Counter[str] = Counter()
        self._senders = ThreadPoolExecutor(_SENDERS, "callback")
        self._thread = Thread(target=self._run, name="callbacks", daemon=True)
        if settings.urls:
            self._thread.start()

    def expect(self, signature_id: str, scenario: Scenario, kind: str, in_s: float) -> None:
        """Send a callback about an id in `in_s` seconds."""
        if not self._settings.urls or (kind == COMPLETED and not is_announced(scenario)):
            return
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + in_s, next(self._order), signature_id, kind))
            self._changed.notify()

    def totals(self) -> dict[str, int]:
        """Callbacks `sent` (answered with 200), `failed`, `lost` and `doubled`, by each URL."""
        with self._changed:
            return {name: self._counts[name] for name in ("sent", "failed", "lost", "doubled")}

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._senders.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and not (self._due and self._due[0][0] <= time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._stopping:
                    return
                _, _, signature_id, kind = heapq.heappop(self._due)
            copies = self._settings.copies(signature_id, kind)
            for url in self._settings.urls:
                self._count("lost", copies == 0)
                self._count("doubled", copies > 1)
                for _ in range(copies):
                    self._senders.submit(self._send, url, signature_id, kind)

    def _send(self, url: str, signature_id: str, kind: str) -> None:
        body = json.dumps({"signatureId": signature_id, "type": kind}).encode()
        try:
            status = _post(url, body)
        except (OSError, HTTPException):
            status = 0
        self._count("sent" if status == HTTPStatus.OK else "failed")

    def _count(self, name: str, happened: Any = True) -> None:  # noqa: FBT002 - a count
        with self._changed:
            self._counts[name] += bool(happened)


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("a callback URL must be http://… or https://…")


def _post(url: str, body: bytes) -> int:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(kind(parts.netloc, timeout=_TIMEOUT_S)) as connection:
        path = parts.path or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        connection.request("POST", target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
