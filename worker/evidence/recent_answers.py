"""Answers that this process has stored a moment ago: what archiving needs of them, without parsing them again.

Archiving reads the stored bytes all the same, because the store decides. An answer counts only for bytes with its hash.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemas.result import Result

#: Answers that a process remembers, for how many seconds, and of how many bytes at most: together a few megabytes. A
#: larger answer has its images inside, and is parsed again.
REMEMBERED: Final = 1024
REMEMBER_S: Final = 60.0
MAX_BYTES: Final = 8 * 1024


@dataclass(frozen=True, slots=True)
class Known:
    """What an answer says."""

    result: Result = field(repr=False)
    transaction_id: str | None


class RecentAnswers:
    """The answers that a process has stored last, each until it is taken. Thread-safe.

    Parameters:
        most: how many there are at most.
    """

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str], tuple[float, bytes, Known]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, region: str, signature_id: str, raw: bytes, known: Known) -> None:
        """Remember what the stored answer `raw` of a verification says."""
        now = time.monotonic()
        with self._lock:
            while self._known and next(iter(self._known.values()))[0] <= now:
                self._known.popitem(last=False)
            self._known.pop((region, signature_id), None)
            if len(raw) <= MAX_BYTES:
                self._known[region, signature_id] = (now + REMEMBER_S, _digest(raw), known)
            if len(self._known) > self._most:
                self._known.popitem(last=False)

    def take(self, region: str, signature_id: str, raw: bytes) -> Known | None:
        """Return what the answer `raw` of a verification says, and forget it. None: it is unknown, or another one."""
        with self._lock:
            until, digest, known = self._known.pop((region, signature_id), (0.0, b"", None))
        return known if time.monotonic() < until and digest == _digest(raw) else None


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()
