"""A bound on what runs at the same time in a process.

A thread that waits for its turn serves nobody, so few wait, and not for long.
"""

from __future__ import annotations

import threading


class Gate:
    """Lets `at_once` requests in; `waiting` more wait for up to `wait_s`. Safe to share between threads."""

    def __init__(self, at_once: int = 2, waiting: int = 3, wait_s: float = 1.0) -> None:
        self._inside = threading.BoundedSemaphore(at_once)
        self._near = threading.BoundedSemaphore(at_once + waiting)
        self._wait_s = wait_s

    def enter(self) -> bool:
        """Return whether the request may run. One that may must leave."""
        if not self._near.acquire(blocking=False):
            return False
        if self._inside.acquire(timeout=self._wait_s):
            return True
        self._near.release()
        return False

    def leave(self) -> None:
        self._inside.release()
        self._near.release()
