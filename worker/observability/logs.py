"""The log of a process: one JSON object a line on stderr, without personal data.

Celery's own loggers go through the same formatter. The tasks' arguments, which Celery would log, are described by
`worker.messaging.publish` and carry ids and codes only.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

import structlog

if TYPE_CHECKING:
    from logging import LogRecord

    from structlog.typing import EventDict, Processor, WrappedLogger

#: Lines of one cause within this time are one line, and then a count.
REPEATS_S: Final = 60.0

#: Causes that are counted at a time. Lines of further ones are written as they come.
MOST_CAUSES: Final = 256

#: What a line says of its cause; `error` only where there is no `cause`, because it may name a verification.
_CAUSE_FIELDS: Final = ("region", "stage", "reason", "kind", "detail", "why", "at", "task")

#: A line that says that something is over, and the event that began it: the next one of that is written at once.
_ENDS: Final = {
    "breaker_closed": "region_held",
    "dependency_recovered": "dependency_unavailable",
    "fleet_ready": "fleet_not_ready",
}

#: Celery writes two lines at INFO for each message, and a message is a batch. `worker.observability.verification_log`
#: writes one for each event of a verification.
_PAIR_PER_MESSAGE: Final = ("celery.worker.strategy", "celery.app.trace")


def configure_logging(level: int | str = logging.INFO) -> None:
    """Send every log line of this process to stderr as JSON (as plain text on a terminal)."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    handler = Throttled(sys.stderr, every_s=REPEATS_S)
    handler.setFormatter(
        _Formatter(
            renderer,
            foreign_pre_chain=[*shared, _without_task_data],
            processors=[
                _with_repeats,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # At DEBUG Celery's pools and kombu write the arguments of every call.
    for talkative in ("celery.concurrency", "celery.pool", "kombu"):
        logging.getLogger(talkative).setLevel(max(logging.INFO, root.level))
    for talkative in _PAIR_PER_MESSAGE:
        quiet = root.level > logging.DEBUG
        logging.getLogger(talkative).setLevel(max(logging.WARNING if quiet else logging.INFO, root.level))
    logging.captureWarnings(capture=True)
    logging.getLogger("py.warnings").addFilter(_no_plans)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


@dataclass(slots=True)
class _Cause:
    """Lines of one cause that were not written."""

    ends_at: float
    count: int = 0
    last: LogRecord | None = None


class Throttled(logging.StreamHandler[TextIO]):
    """Writes the first warning or error of a cause at once; further ones are counted, and are one line a minute.

    That line is the last of them, and its `repeated` is the number of lines that it stands for. What is below WARNING
    is written as it comes. Thread-safe by the handler's own lock.
    """

    def __init__(self, stream: TextIO, *, every_s: float) -> None:
        super().__init__(stream)
        self._every_s = every_s
        self._causes: dict[tuple[Any, ...], _Cause] = {}
        self._summaries: threading.Thread | None = None

    def emit(self, record: LogRecord) -> None:
        self._end(record)
        key = _key(record)
        if key is None:
            super().emit(record)
            return
        if found := self._causes.get(key):
            found.count += 1
            found.last = record
        else:
            super().emit(record)
            if len(self._causes) < MOST_CAUSES:
                self._causes[key] = _Cause(time.monotonic() + self._every_s)
        self._start_summaries()

    def close(self) -> None:
        """Write what was counted and not yet written."""
        with self._locked():
            for cause in self._causes.values():
                self._sum_up(cause)
            self._causes.clear()
        super().close()

    def _end(self, record: LogRecord) -> None:
        if not (isinstance(record.msg, dict) and record.msg.get("event") in _ENDS):
            return
        begun, region = _ENDS[record.msg["event"]], record.msg.get("region")
        for key in [key for key in self._causes if key[2] == begun and key[3] == region]:
            self._sum_up(self._causes.pop(key))

    def _sum_up(self, cause: _Cause) -> None:
        if cause.last is not None:
            cause.last.repeated = cause.count
            super().emit(cause.last)
        cause.count, cause.last = 0, None

    def _start_summaries(self) -> None:
        # A thread that was started before a fork is not alive after it.
        if self._causes and not (self._summaries and self._summaries.is_alive()):
            self._summaries = threading.Thread(target=self._summarise, name="log summaries", daemon=True)
            with suppress(RuntimeError):  # while the interpreter ends there are no new threads
                self._summaries.start()

    def _summarise(self) -> None:
        while True:
            with self._locked():
                now = time.monotonic()
                for key, cause in [*self._causes.items()]:
                    if cause.ends_at > now:
                        continue
                    if cause.last is None:
                        del self._causes[key]
                        continue
                    self._sum_up(cause)
                    cause.ends_at = now + self._every_s
                if not self._causes:
                    self._summaries = None
                    return
                next_at = min(cause.ends_at for cause in self._causes.values())
            time.sleep(max(next_at - time.monotonic(), 0.01))

    def _locked(self) -> threading.RLock:
        lock: Any = self.lock
        return lock  # type: ignore[no-any-return]


def _key(record: LogRecord) -> tuple[Any, ...] | None:
    """What two lines of the same cause have in common; None: each line counts."""
    if record.levelno < logging.WARNING:
        return None
    said = record.msg
    if not isinstance(said, dict):
        # Celery's line about a task that failed has its id in its arguments, which differ each time.
        task = record.args if isinstance(record.args, Mapping) else {}
        kind = record.exc_info[0] if record.exc_info else None
        return (record.name, record.levelno, str(said), None, kind, task.get("name"), task.get("exc"))
    if said.get("event") in _ENDS or said.get("by") == "operator":
        return None
    # Without a retry a person has to look at this one.
    person = said.get("signature_id") if said.get("retry") is False else None
    words = (str(said.get(name)) for name in _CAUSE_FIELDS[1:])
    why = said.get("cause") or said.get("error")
    return (record.name, record.levelno, said.get("event"), said.get("region"), person, why, *words)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record that carries several `events`, each of which is ready to be rendered, as a line each."""

    def __init__(self, renderer: Processor, **options: Any) -> None:
        super().__init__(**options)
        self._renderer = renderer

    def format(self, record: LogRecord) -> str:
        events: list[dict[str, Any]] | None = getattr(record, "events", None)
        if events is None:
            return super().format(record)
        return "\n".join(str(self._renderer(None, record.levelname.lower(), event)) for event in events)


def _no_plans(record: LogRecord) -> bool:
    """Drops what Celery plans to change: it is for developers, and would be the first line of an outage."""
    return "DeprecationWarning" not in record.getMessage()


def _with_repeats(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """`repeated`: how many lines of the same cause a line stands for."""
    if repeated := getattr(event.get("_record"), "repeated", 0):
        event["repeated"] = repeated
    return event


def _without_task_data(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Celery hands its log records the arguments of a task, as `data`: those of `tasks.enqueue` hold the context."""
    fields: dict[str, Any] = dict(event)
    fields.pop("data", None)
    return fields
