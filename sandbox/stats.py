"""Totals: the answers of each call by name, and the calls in flight."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stats:
    """Counters of one sandbox. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: dict[str, Counter[str]] = {
            call: Counter() for call in ("token", "result", "image", "clear")
        }
        self._in_flight = 0
        self._max_in_flight = 0

    @contextmanager
    def ask(self) -> Iterator[None]:
        """Count a Get Result call as in flight, from its arrival until its answer is ready to be sent."""
        with self._lock:
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def answered(self, call: str, name: str) -> None:
        with self._lock:
            self._answers[call][name] += 1

    def totals(self) -> dict[str, Any]:
        with self._lock:
            return {
                "asks": self._answers["result"].total(),
                "in_flight": self._in_flight,
                "max_in_flight": self._max_in_flight,
                "answers": dict(self._answers["result"]),
                "token_answers": dict(self._answers["token"]),
                "image_answers": dict(self._answers["image"]),
                "clear_answers": dict(self._answers["clear"]),
            }
