"""Acts on everything in quarantine that matches a filter: what a person is asked to confirm, and the run that follows.

A run is a thread of this process. Its state is in Redis, so that every process and tab can show it. While it is at
work it holds a lease; a run without one was interrupted, and any operator can continue it from where it was.

    ekyc:console:asked:<token>     string  what a user was shown, as JSON; taken once
    ekyc:console:runs              list    the ids of the newest runs
    ekyc:console:run:<id>          hash    the run
    ekyc:console:run:<id>:lease    string  the thread that is at work
    ekyc:console:run:<id>:told     list    items that were not done, as JSON lists: region, id, why
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from importlib.resources import files
from operator import index
from typing import TYPE_CHECKING, Any, Final

import structlog

from worker.decisions.releases import dropping, retrying
from worker.errors import LedgerUnavailable
from worker.ledger import Quarantine
from worker.ledger.audit import AuditLog, Via
from worker.ledger.connection import translated
from worker.ledger.console_sessions import ConsoleSessions
from worker.ledger.quarantine import PAGE
from worker.ledger.quarantine_scan import Position, QuarantineScan, Sought
from worker.web.console import stored_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis import Redis

    from worker.decisions.endpoints import Endpoint
    from worker.decisions.releases import Release

#: Seconds for which a question can be answered, and a run is shown.
ASKED_S: Final = 900
KEPT_S: Final = 7 * 86_400

#: Runs that are listed, and that one process works on at a time.
MOST_RUNS: Final = 20
AT_ONCE: Final = 2

#: Items that were not done, of which a run says why. Of the others it has the number.
MOST_TOLD: Final = 500

#: Milliseconds after which a run whose thread does not renew its lease counts as interrupted.
LEASE_MS: Final = 15_000

#: Seconds for which a run waits for a Redis that does not answer.
PATIENCE_S: Final = 60.0

#: Seconds between two pages, in which Redis works for the fleet.
PAUSE_S: Final = 0.01

#: Items that fail one after the other before a run stops: then it is not the items.
MOST_FAILURES: Final = 20

_PREFIX: Final = "ekyc:console:"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22}")

#: What a hash, or JSON, that is none of ours raises where it is read: a client of Redis wrote it.
_DAMAGED: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)

_log = structlog.get_logger(__name__)


class Act(StrEnum):
    """What is done to each verification."""

    RETRY = "retry"
    DROP = "drop"


class State(StrEnum):
    """What became of a run."""

    RUNNING = "running"
    #: It has no thread: its process ended, or Redis did not answer for long.
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person was shown: what would be done to how many. Later arrivals are no part of it."""

    act: Act
    sought: Sought
    count: int

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: bytes) -> Asked:
        found = stored_json.loads(text)
        return cls(Act(found["act"]), _sought(found["sought"]), index(found["count"]))


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Redis has it. `total`: what the person was shown."""

    id: str
    act: Act
    sought: Sought
    total: int
    #: Who began it, and who acts now.
    begun_by: str
    who: str
    why: str
    started_ms: int
    state: State
    ended_ms: int | None = None
    #: Verifications that were done.
    done: int = 0
    #: Those that had left quarantine right before.
    gone: int = 0
    #: Those of calls whose answer was lost, and that are gone now: the audit log says who did it.
    unsure: int = 0
    failed: int = 0
    #: Why it stopped by itself.
    error: str = ""
    position: Position = field(default_factory=Position)

    @property
    def seen(self) -> int:
        return self.done + self.gone + self.unsure + self.failed

    @property
    def missing(self) -> int:
        """Those that left quarantine before the run came to them; so far, those that it has still to come to."""
        return max(self.total - self.seen, 0)

    @property
    def is_whole(self) -> bool:
        return self.state is State.FINISHED and self.done == self.total


class Runs:
    """Asks, begins, shows, stops and continues runs. Thread-safe. Every method raises ``LedgerUnavailable``.

    Parameters:
        retention_s: how long a dropped verification is kept.
        endpoints: those that may want an event of what is done.
        may: whether a user may still act. Asked before each page: a run stops with the right of its user, and when
            all sessions of its user are ended.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        retention_s: float,
        endpoints: Mapping[str, Endpoint],
        may: Callable[[str], bool],
    ) -> None:
        self._redis = redis
        self._retention_s = retention_s
        self._endpoints = endpoints
        self.may = may
        self.sessions = ConsoleSessions(redis)
        self._scan = QuarantineScan(redis)
        self._lease_script = redis.register_script(
            (files("worker.web.console") / "run_lease.lua").read_text()
        )
        self._threads = threading.BoundedSemaphore(AT_ONCE)

    def ask(self, user: str, asked: Asked) -> str:
        """Keep what a user is asked, and return the token of the answer."""
        token = secrets.token_urlsafe(16)
        with translated():
            self._redis.set(_asked(user, token), asked.as_json(), ex=ASKED_S)
        return token

    def asked(self, user: str, token: str) -> Asked | None:
        """Return what a user was asked. None: it was long ago, it was answered, or it was another user."""
        if not _TOKEN.fullmatch(token):
            return None
        with translated():
            kept: Any = self._redis.get(_asked(user, token))
        try:
            return None if kept is None else Asked.parse(kept)
        except _DAMAGED:
            return None

    def take(self, user: str, token: str) -> bool:
        """Take the answer. False: it was given before, as by a second press of the button."""
        with translated():
            return bool(self._redis.delete(_asked(user, token)))

    def begin(
        self, asked: Asked, *, who: str, why: str = "", record: Callable[[str], None] = lambda _run_id: None
    ) -> str | None:
        """Begin a run, and return its id. None: this process works on as many as it may.

        `record` is called with the id before anything else: a run that cannot be recorded does not begin.
        """
        if not self._threads.acquire(blocking=False):
            return None
        try:
            run_id = secrets.token_urlsafe(16)
            record(run_id)
            fields: dict[Any, Any] = {
                "act": asked.act.value,
                "sought": json.dumps(asdict(asked.sought)),
                "total": asked.count,
                "begun_by": who,
                "who": who,
                "why": why,
                "started_ms": self._now_ms(),
                "state": State.RUNNING.value,
            }
            with translated(), self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(_run(run_id), mapping=fields)
                pipe.pexpire(_run(run_id), KEPT_S * 1000)
                pipe.rpush(f"{_PREFIX}runs", run_id)
                pipe.ltrim(f"{_PREFIX}runs", -MOST_RUNS, -1)
                pipe.execute()
            self._start(run_id, self._lease(run_id), who)
        except BaseException:
            self._threads.release()
            raise
        return run_id

    def resume(self, run_id: str, *, who: str) -> bool:
        """Continue a run that was interrupted or stopped, under the name of `who`. False: it is at work, or over."""
        run = self.get(run_id)
        if run is None or run.state not in {State.INTERRUPTED, State.STOPPED}:
            return False
        if not self._threads.acquire(blocking=False):
            return False
        try:
            lease = self._lease(run_id)
            if lease:
                with translated():
                    self._redis.hdel(_run(run_id), "stop", "error", "ended_ms")
                    self._redis.hset(_run(run_id), mapping={"who": who, "state": State.RUNNING.value})
                self._start(run_id, lease, who)
            else:
                self._threads.release()
        except BaseException:
            self._threads.release()
            raise
        return bool(lease)

    def stop(self, run_id: str) -> None:
        """Ask a run to stop. It completes the page that it is at."""
        if self.get(run_id) is not None:
            with translated():
                self._redis.hset(_run(run_id), "stop", "1")

    def get(self, run_id: str) -> Run | None:
        """Return a run. None: there is none, or it was long ago."""
        return next(iter(self._read([run_id] if _TOKEN.fullmatch(run_id) else [])), None)

    def recent(self) -> list[Run]:
        """Return the newest runs, the newest first."""
        with translated():
            ids: Any = self._redis.lrange(f"{_PREFIX}runs", -MOST_RUNS, -1)
        return self._read([each.decode(errors="replace") for each in reversed(ids)])

    def told(self, run_id: str) -> list[tuple[str, str, str]]:
        """Return what was not done, at most ``MOST_TOLD``: region, id, and why."""
        with translated():
            lines: Any = self._redis.lrange(f"{_run(run_id)}:told", 0, MOST_TOLD - 1)
        found = []
        for line in lines:
            with suppress(*_DAMAGED):
                region, signature_id, why = map(str, stored_json.loads(line))
                found.append((region, signature_id, why))
        return found

    def release(self, act: Act, *, who: str, why: str = "") -> Release:
        """Return what acts on ids, under the name of a person."""
        quarantine = Quarantine(self._redis, who=who, via=Via.CONSOLE, retention_s=self._retention_s)
        if act is Act.DROP:
            return dropping(quarantine, self._endpoints, why=why)
        return retrying(quarantine, self._endpoints)

    def _read(self, ids: Sequence[str]) -> list[Run]:
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for each in ids:
                pipe.hgetall(_run(each))
                pipe.exists(f"{_run(each)}:lease")
            answers: list[Any] = pipe.execute()
        found = []
        for each, fields, leased in zip(ids, answers[::2], answers[1::2], strict=True):
            with suppress(*_DAMAGED):
                found.append(_decoded(each, fields, is_leased=bool(leased)))
        return found

    def _lease(self, run_id: str) -> str:
        """Return the lease of a run; "": another thread has it."""
        lease = secrets.token_urlsafe(16)
        with translated():
            taken = self._redis.set(f"{_run(run_id)}:lease", lease, nx=True, px=LEASE_MS)
        return lease if taken else ""

    def renew(self, run_id: str, lease: str, for_ms: int) -> Any:
        """Renew the lease of a thread, or give it back, unless another thread has taken it: see `run_lease.lua`."""
        with translated():
            return self._lease_script(keys=[_run(run_id), f"{_run(run_id)}:lease"], args=[lease, for_ms])

    def _start(self, run_id: str, lease: str, who: str) -> None:
        """Start the thread of a run under the name of `who`. It releases its place at the end."""
        revoked = self.sessions.revocation(who)
        worker = _Worker(self, self._redis, self._scan, run_id, lease, who=who, revoked=revoked)
        threading.Thread(target=self._work, args=(worker,), name="quarantine run", daemon=True).start()

    def _work(self, worker: _Worker) -> None:
        try:
            worker.work()
        except LedgerUnavailable as error:
            # Its lease ends, and with it the run counts as interrupted.
            _log.warning("quarantine_run_interrupted", error=str(error))
        except Exception:  # noqa: BLE001 - a thread has no caller that could handle it
            _log.error("quarantine_run_failed", exc_info=True)
        finally:
            self._threads.release()

    def _now_ms(self) -> int:
        with translated():
            now: Any = self._redis.time()
        return int(now[0] * 1000 + now[1] // 1000)


class _Stopped(Exception):
    """A person asked for it, or `why` says what was wrong."""

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class _Lost(Exception):
    """Another process has the run."""


class _Worker:
    """The thread of one run."""

    def __init__(  # noqa: PLR0913 - what it stands on, and whose it is
        self,
        runs: Runs,
        redis: Redis,
        scan: QuarantineScan,
        run_id: str,
        lease: str,
        *,
        who: str,
        revoked: bytes | None,
    ) -> None:
        self._runs = runs
        self._redis = redis
        self._scan = scan
        self._id = run_id
        self._lease = lease
        # The name in Redis is for people to read: a client of Redis may have written it.
        self._who = who
        #: Changes when all sessions of the user are ended.
        self._revoked = revoked
        self._counts = dict.fromkeys(("done", "gone", "unsure", "failed"), 0)
        self._failures = 0
        self._told: list[str] = []

    def work(self) -> None:
        """Act until the run is at its end, is stopped, or Redis does not answer for long."""
        run = _patient(lambda: self._runs.get(self._id))
        if run is None:
            return
        self._counts = {name: getattr(run, name) for name in self._counts}
        release = self._runs.release(run.act, who=self._who, why=run.why)
        try:
            try:
                self._act_on_all(run, release)
            except _Stopped as stopped:
                self._end(State.STOPPED, stopped.why)
            else:
                self._end(State.FINISHED)
        except _Lost:
            return

    def _act_on_all(self, run: Run, release: Release) -> None:
        following: Position | None = run.position
        while following is not None:
            at = following
            found = _patient(partial(self._scan.slice, run.sought, at))
            ids = [each.signature_id for each in found.entries]
            for start in range(0, len(ids), PAGE):
                self._check(run)
                self._act(release, found.region, ids[start : start + PAGE])
                self._write({})
                time.sleep(PAUSE_S)
            if not ids:
                self._check(run)
            following = found.following
            self._write({"position": json.dumps(following or at)})

    def _check(self, run: Run) -> None:
        """Renew the lease.

        Raises ``_Lost`` if another thread has it, and ``_Stopped`` if a person asked to stop, if its user may not act,
        or if all sessions of its user were ended.
        """
        # Before the lease is renewed: no answer that may take long comes between that and the act.
        revoked = _patient(lambda: self._runs.sessions.revocation(self._who))
        if self._renew():
            raise _Stopped
        if not self._runs.may(self._who):
            raise _Stopped(
                f"{self._who} was removed, or is no operator any more. Another operator can continue it"
            )
        # The word expires long after it was written.
        if revoked not in {None, self._revoked}:
            self._record_revoked(run)
            raise _Stopped(f"all sessions of {self._who} were ended. An operator can continue it")

    def _record_revoked(self, run: Run) -> None:
        """Record the stop in each region. Who ended the sessions is in the entry `sessions_revoke`."""
        audit, about = AuditLog(self._redis), f"{run.act.value} {run.sought.reason}".rstrip()
        for region in run.sought.regions:
            detail = f"{about}: of {self._who}, whose sessions were all ended"
            # One that cannot be recorded stops all the same.
            with suppress(LedgerUnavailable, ValueError):
                audit.record(
                    "run_stop", who="", via=Via.CONSOLE, region=region, subject=self._id, detail=detail
                )

    def _renew(self) -> bool:
        """Renew the lease, and return whether a person asked to stop. Raises ``_Lost`` if another thread has it."""
        answer = _patient(lambda: self._runs.renew(self._id, self._lease, LEASE_MS))
        if answer == b"lost":
            raise _Lost
        return bool(answer == b"stop")

    def _act(self, release: Release, region: str, ids: Sequence[str]) -> None:
        try:
            answers = release(region, ids)
        except LedgerUnavailable:
            self._act_singly(release, region, ids)
            return
        for signature_id, is_done in zip(ids, answers, strict=True):
            self._note("done" if is_done else "gone", region, signature_id, "it had left quarantine")

    def _act_singly(self, release: Release, region: str, ids: Sequence[str]) -> None:
        """After a page whose answer was lost, or that failed for one of its items."""
        for signature_id in ids:
            _patient(self._ping)
            try:
                (is_done,) = release(region, [signature_id])
            except LedgerUnavailable as error:
                self._note("failed", region, signature_id, str(error))
                self._failures += 1
                if self._failures >= MOST_FAILURES:
                    raise _Stopped(str(error)) from None
                continue
            self._failures = 0
            why = "the answer of Redis was lost: the audit log says whether this run did it"
            self._note("done" if is_done else "unsure", region, signature_id, why)

    def _note(self, kind: str, region: str, signature_id: str, why: str) -> None:
        self._counts[kind] += 1
        if kind != "done":
            self._told.append(json.dumps([region, signature_id, why]))

    def _write(self, fields: Mapping[str, Any]) -> None:
        told, self._told = self._told[:MOST_TOLD], []
        key = _run(self._id)
        mapping: dict[Any, Any] = {**self._counts, **fields}

        def write() -> None:
            with translated(), self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(key, mapping=mapping)
                pipe.pexpire(key, KEPT_S * 1000)
                if told:
                    pipe.rpush(f"{key}:told", *told)
                    pipe.ltrim(f"{key}:told", 0, MOST_TOLD - 1)
                    pipe.pexpire(f"{key}:told", KEPT_S * 1000)
                pipe.execute()

        _patient(write)

    def _end(self, state: State, error: str = "") -> None:
        self._renew()
        self._write({"state": state.value, "error": error, "ended_ms": _patient(self._runs._now_ms)})  # noqa: SLF001
        self._runs.renew(self._id, self._lease, 0)

    def _ping(self) -> None:
        with translated():
            self._redis.ping()


def _patient(call: Callable[[], Any]) -> Any:
    """Call until Redis answers. Raises ``LedgerUnavailable`` if it has not for ``PATIENCE_S``."""
    ends_at, wait_s = time.monotonic() + PATIENCE_S, 0.2
    while True:
        try:
            return call()
        except LedgerUnavailable:
            if time.monotonic() >= ends_at:
                raise
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, 5.0)


def _asked(user: str, token: str) -> str:
    return f"{_PREFIX}asked:{user}:{token}"


def _run(run_id: str) -> str:
    return f"{_PREFIX}run:{run_id}"


def _sought(found: Mapping[str, Any]) -> Sought:
    regions, reason = found["regions"], found["reason"]
    if not isinstance(regions, list) or not all(isinstance(each, str) for each in (*regions, reason)):
        raise TypeError("regions and a reason are texts")
    return Sought(tuple(regions), reason, index(found["since_ms"]), index(found["until_ms"]))


def _decoded(run_id: str, fields: Mapping[bytes, bytes], *, is_leased: bool) -> Run:
    texts = {name.decode(): value.decode() for name, value in fields.items()}
    state = State(texts["state"])
    if state is State.RUNNING and not is_leased:
        state = State.INTERRUPTED
    return Run(
        id=run_id,
        act=Act(texts["act"]),
        sought=_sought(stored_json.loads(texts["sought"])),
        total=int(texts["total"]),
        begun_by=texts["begun_by"],
        who=texts["who"],
        why=texts["why"],
        started_ms=int(texts["started_ms"]),
        state=state,
        ended_ms=int(texts["ended_ms"]) if "ended_ms" in texts else None,
        done=int(texts.get("done", 0)),
        gone=int(texts.get("gone", 0)),
        unsure=int(texts.get("unsure", 0)),
        failed=int(texts.get("failed", 0)),
        error=texts.get("error", ""),
        position=Position(*stored_json.loads(texts["position"])) if "position" in texts else Position(),
    )
