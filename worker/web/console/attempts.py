"""How often people may try to log in, counted in Redis for all processes of `web` together.

A stranger is counted by name and address, by address, and by name. A browser with which the user has logged in before
is counted alone: so nobody can lock the right person out by guessing passwords, from the same address or from many.
"""

from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import structlog

from worker.ledger.connection import translated
from worker.web.api.failed_tokens import client_of

if TYPE_CHECKING:
    from redis import Redis

_log = structlog.get_logger(__name__)

_PREFIX: Final = "ekyc:console:attempts:"

#: Refusals within this many seconds are one line of the log.
LOGGED_EACH_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Bound:
    """`at_once` attempts may follow each other; one more is free after each `interval_s`."""

    at_once: int
    interval_s: float


#: Of one name from one address.
PAIR: Final = Bound(5, 60)

#: Of any name from one address, or from one network of IPv6. Offices share an address.
ADDRESS: Final = Bound(30, 20)

#: Of one name from any address.
NAME: Final = Bound(50, 30)

#: Of one name in a browser that knows its user.
BROWSER: Final = Bound(10, 30)

#: Of one name with its password, so that nobody fills the audit log with log-ins.
RIGHT: Final = Bound(100, 60)

#: Refused attempts that the audit log takes: a flood must not push everything else out of it.
RECORDED: Final = Bound(200, 30)


class Attempts:
    """Safe to share between threads. Every method raises ``LedgerUnavailable`` when Redis cannot be used."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script((files("worker.web.console") / "attempts.lua").read_text())
        self._lock = threading.Lock()
        self._refused = 0

    def begin(self, name: str, address: str, browser: str) -> int:
        """Count an attempt. Return the seconds to wait before the next one; 0: this one may go on.

        `browser`: the id of a browser that knows its user; "": a stranger's.
        """
        wait_ms = self._run("take", _buckets(name, address, browser))
        if wait_ms:
            self._note_refusal()
        return math.ceil(wait_ms / 1000)

    def give_back(self, name: str, address: str, browser: str) -> None:
        """Give the place of an attempt back: its password was right, or was not compared."""
        self._run("return", _buckets(name, address, browser))

    def admit(self, name: str) -> int:
        """Count a log-in with the right password. Return the seconds to wait before the next one; 0: this may go on."""
        wait_ms = self._run("take", {f"{_PREFIX}right:{_digest(name.encode())}": RIGHT})
        return math.ceil(wait_ms / 1000)

    def is_recorded(self) -> bool:
        """Return whether one more refused attempt goes to the audit log."""
        return not self._run("take", {f"{_PREFIX}recorded": RECORDED})

    def _run(self, what: str, buckets: dict[str, Bound]) -> int:
        numbers = [
            number for bound in buckets.values() for number in (bound.at_once, bound.interval_s * 1000)
        ]
        with translated("the count of log-ins"):
            return int(self._script(keys=list(buckets), args=[what, *numbers]))

    def _note_refusal(self) -> None:
        with self._lock:
            self._refused += 1
            if self._refused > 1:
                return
        timer = threading.Timer(LOGGED_EACH_S, self._write)
        timer.daemon = True
        timer.start()

    def _write(self) -> None:
        with self._lock:
            count, self._refused = self._refused, 0
        _log.warning("console_log_ins_limited", count=count)


def _buckets(name: str, address: str, browser: str) -> dict[str, Bound]:
    # What somebody typed as a name may be a password.
    named, placed = _digest(name.encode()), _digest(client_of(address))
    if browser:
        return {f"{_PREFIX}browser:{named}:{_digest(browser.encode())}": BROWSER}
    return {
        f"{_PREFIX}pair:{named}:{placed}": PAIR,
        f"{_PREFIX}address:{placed}": ADDRESS,
        f"{_PREFIX}name:{named}": NAME,
    }


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]
