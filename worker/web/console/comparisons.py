"""Comparisons of uploaded tables: at most one for each user, with its progress and result in Redis for an hour.

Any process of `web` can show it. The table itself is never stored: it goes from the request to the process that
compares.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from operator import index
from typing import IO, TYPE_CHECKING, Any, Final, cast

import structlog

from worker.errors import LedgerUnavailable
from worker.ledger.connection import translated
from worker.web.console import stored_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

#: Seconds for which a replay runs. What it has found until then is the result.
LONGEST_S: Final = 120.0

#: Decisions that are compared at most: a thousand take 0.2 MB of memory.
MOST: Final = 250_000

#: Seconds after which the process is ended whatever it does. A check of a table takes some seconds.
END_S: Final = LONGEST_S + 30.0

#: Comparisons that run at a time in one process of `web`: each takes up to 130 MB of memory.
AT_ONCE: Final = 1

#: Seconds for which the state of a comparison can be shown.
KEPT_S: Final = 3600

#: Seconds after which a comparison counts as interrupted of which nothing is heard.
ALIVE_S: Final = 10.0

#: Seconds between two looks at whether it is cancelled.
_LOOK_S: Final = 0.3
_RENEW_S: Final = 1.0

#: The longest line of the process that is read.
_LONGEST_LINE: Final = 1024 * 1024

_log = structlog.get_logger(__name__)


#: What is known of a comparison beside its findings and changes: numbers, and texts that may be missing.
_COUNTS: Final = ("compared", "changed", "more_findings", "without_facts", "decided_otherwise")
_TEXTS: Final = ("before", "after", "ended", "failed", "left_out")


class State(StrEnum):
    """What has become of a comparison."""

    RUNNING = "running"
    #: The table has faults: there is nothing to compare.
    FAULTY = "faulty"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    #: The process of `web` that ran it has ended.
    INTERRUPTED = "interrupted"


class Busy(Exception):
    """No comparison can begin now: the message says why."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is known of a comparison. `known`: what ``worker.decisions.comparison`` has told so far."""

    id: str
    name: str
    state: State
    began_ms: int
    now_ms: int
    known: Mapping[str, Any]
    regions: Sequence[str]
    since: str

    @property
    def is_running(self) -> bool:
        return self.state is State.RUNNING

    @property
    def seconds(self) -> float:
        return (self.now_ms - self.began_ms) / 1000


@dataclass(frozen=True, slots=True)
class Upload:
    """A table that is to be compared. `since`: a time as people write it, and in seconds; "" and None: all."""

    user: str
    name: str
    raw: bytes
    regions: Sequence[str]
    since: str
    since_s: float | None


class Comparisons:
    """Begins, shows and cancels comparisons. Thread-safe. Every method raises ``LedgerUnavailable``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._places = threading.BoundedSemaphore(AT_ONCE)

    def begin(self, upload: Upload) -> None:
        """Begin to compare in the background. Raises ``Busy``."""
        running = self.find(upload.user)
        if running is not None and running.is_running:
            raise Busy("You compare a table already: wait for its end, or cancel it.")
        if not self._places.acquire(blocking=False):
            raise Busy("This server compares a table already: try again in a minute.")
        try:
            run = self._first(upload)
            run.write(State.RUNNING)
            threading.Thread(target=self._follow, args=(run,), name="comparison", daemon=True).start()
        except BaseException:
            self._places.release()
            raise

    def _first(self, upload: Upload) -> _Run:
        """The run of an upload. Raises ``Busy`` while another one of its user goes on."""
        id_ = secrets.token_hex(8)
        with translated():
            is_first = self._redis.set(_key(upload.user, "alive"), id_, nx=True, px=round(ALIVE_S * 1000))
            now_s, micros = self._redis.time()
        if not is_first:
            raise Busy("You compare a table already: wait for its end, or cancel it.")
        return _Run(self._redis, id_, upload, now_s * 1000 + micros // 1000)

    def find(self, user: str) -> Comparison | None:
        """The last comparison of a user; None: there is none, or it was long ago."""
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.get(_key(user))
            pipe.get(_key(user, "alive"))
            pipe.time()
            kept, alive, (now_s, micros) = pipe.execute()
        if kept is None:
            return None
        try:
            found = stored_json.loads(kept)
            state = State(found["state"])
            if state is State.RUNNING and alive != found["id"].encode():
                state = State.INTERRUPTED
            return Comparison(
                str(found["id"]),
                str(found["name"]),
                state,
                index(found["began_ms"]),
                now_s * 1000 + micros // 1000,
                _known(found["known"]),
                list(map(str, found["regions"])),
                str(found["since"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # A client of Redis wrote it.
            return None

    def cancel(self, user: str) -> bool:
        """End the running comparison of a user. False if there is none."""
        found = self.find(user)
        if found is None or not found.is_running:
            return False
        with translated():
            self._redis.set(_key(user, "cancel"), found.id, ex=round(END_S))
        return True

    def _follow(self, run: _Run) -> None:
        try:
            run.follow()
        finally:
            self._places.release()


class _Run:
    """One comparison: the process that does it, and what is known of it."""

    def __init__(self, redis: Redis, id_: str, upload: Upload, began_ms: int) -> None:
        self._redis = redis
        self._id = id_
        self._upload = upload
        self._began_ms = began_ms
        self._known: dict[str, Any] = {}
        self._renew_at = 0.0

    def write(self, state: State) -> None:
        """Write what is known into Redis."""
        about = {
            "id": self._id,
            "name": self._upload.name,
            "state": state.value,
            "began_ms": self._began_ms,
            "known": self._known,
            "regions": list(self._upload.regions),
            "since": self._upload.since,
        }
        with translated():
            self._redis.set(_key(self._upload.user), json.dumps(about, separators=(",", ":")), ex=KEPT_S)

    def follow(self) -> None:
        """Run the process, and write down what it tells until it ends."""
        try:
            self._end(self._state_at_end())
        except LedgerUnavailable:
            # The state expires, or counts as interrupted.
            _log.warning("table_diff_lost", why="Redis does not answer")

    def _end(self, state: State) -> None:
        self.write(state)
        with translated():
            self._redis.delete(_key(self._upload.user, "alive"), _key(self._upload.user, "cancel"))

    def _state_at_end(self) -> State:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.web.console.comparing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with process:
            try:
                return self._watch(cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout))
            finally:
                process.kill()
                # A part of the table may be left in the buffer.
                with suppress(OSError):
                    cast("IO[bytes]", process.stdin).close()

    def _watch(self, stdin: IO[bytes], stdout: IO[bytes]) -> State:
        threading.Thread(target=self._give, args=(stdin,), name="table", daemon=True).start()
        ends, buffer = time.monotonic() + END_S, b""
        os.set_blocking(stdout.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while time.monotonic() < ends:
                if selector.select(_LOOK_S):
                    read = os.read(stdout.fileno(), 65_536)
                    *lines, buffer = (buffer + read).split(b"\n")
                    self._learn(lines)
                    if not read or len(buffer) > _LONGEST_LINE:
                        return self._judged()
                if self._is_cancelled():
                    return State.CANCELLED
        self._known["failed"] = f"it took longer than {END_S:g} s, and was ended"
        return State.FAILED

    def _give(self, stdin: IO[bytes]) -> None:
        """Give the process what it is to compare. The pipe stays open: its end would end the process."""
        upload = self._upload
        asked = {
            "name": upload.name,
            "bytes": len(upload.raw),
            "regions": list(upload.regions),
            "since_s": upload.since_s,
            "longest_s": LONGEST_S,
            "most": MOST,
        }
        with suppress(OSError, ValueError):
            stdin.write(json.dumps(asked).encode() + b"\n" + upload.raw)
            stdin.flush()

    def _learn(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self._known |= json.loads(line)
        if lines:
            self.write(State.RUNNING)

    def _judged(self) -> State:
        """The state after the process has ended by itself."""
        if bug := self._known.pop("bug", None):
            _log.error("table_diff_failed", bug=bug)
        if "failed" in self._known:
            return State.FAILED
        if "ended" in self._known:
            return State.DONE
        if "findings" in self._known and self._known["after"] is None:
            return State.FAULTY
        self._known["failed"] = (
            "its process has ended: the table, or the time, may be too large for its memory"
        )
        return State.FAILED

    def _is_cancelled(self) -> bool:
        """Whether the user wants no result any more. Renews the sign of life."""
        now = time.monotonic()
        if now < self._renew_at:
            return False
        self._renew_at = now + _RENEW_S
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.set(_key(self._upload.user, "alive"), self._id, px=round(ALIVE_S * 1000))
            pipe.get(_key(self._upload.user, "cancel"))
            _, cancelled = pipe.execute()
        return bool(cancelled == self._id.encode())


def _known(told: Any) -> Mapping[str, Any]:
    """Return what is known of a comparison, each part with the type that the page shows. Raises what `find` catches."""
    known: dict[str, Any] = {name: index(told[name]) for name in _COUNTS if name in told}
    known |= {name: None if told[name] is None else str(told[name]) for name in _TEXTS if name in told}
    if "findings" in told:
        known["findings"] = [
            {name: str(each[name]) for name in ("severity", "said", "cure")}
            | {"line": None if each["line"] is None else index(each["line"])}
            for each in told["findings"]
        ]
    if "changes" in told:
        known["changes"] = [
            {
                "from": str(each["from"]),
                "to": str(each["to"]),
                "count": index(each["count"]),
                "ids": [(str(region), str(signature_id)) for region, signature_id in each["ids"]],
            }
            for each in told["changes"]
        ]
    return known


def _key(user: str, what: str = "") -> str:
    return f"ekyc:console:diff:{user}{f':{what}' if what else ''}"
