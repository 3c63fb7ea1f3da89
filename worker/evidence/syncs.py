"""Seeing to it that the names in a folder are on the disk."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class SharedSync:
    """The sync of one folder, for many threads: one call serves all who asked before it began.

    Every verification has a folder of its own in that of its region, so the threads of a process ask for the same
    sync many times at once, and the kernel would do them one after the other.
    """

    def __init__(self) -> None:
        self._turn = Lock()
        self._begun = self._ended = 0

    def of(self, folder: str) -> None:
        """Return once a sync has ended that began after this call. Raises ``OSError`` where it failed."""
        begun = self._begun
        with self._turn:
            if self._ended > begun:
                return
            self._begun += 1
            sync(folder)
            self._ended = self._begun


def sync(folder: str | Path) -> None:
    """Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
