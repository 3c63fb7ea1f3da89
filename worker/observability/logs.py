"""The log of a process: one JSON object per line on stderr, without personal data.

Celery's own loggers use the same formatter. For the tasks' arguments, which Celery logs, `worker.messaging.publish`
gives a description with ids and codes only.
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

#: The time in which lines with the same cause become one line and a count, in seconds.
REPEATS_S: Final = 60.0

#: The number of causes counted at a time. Lines of further causes are written directly.
MOST_CAUSES: Final = 256

#: The fields that identify a line's cause. `error` counts only without `cause`, because it may name a verification.
_CAUSE_FIELDS: Final = ("region", "stage", "reason", "kind", "detail", "why", "at", "task")

#: Events that end something, and the event that began it. After the end, the next beginning is written at once.
_ENDS: Final = {
    "breaker_closed": "region_held",
    "dependency_recovered": "dependency_unavailable",
    "fleet_ready": "fleet_not_ready",
}

#: Loggers of the two INFO lines that Celery writes for each message, which is a batch. Instead,
#: `worker.observability.verification_log` writes a line for each event of a verification.
_PAIR_PER_MESSAGE: Final = ("celery.worker.strategy", "celery.app.trace")


def configure_logging(level: int | str = logging.INFO) -> None:
    """Send every log line of this process to stderr, as JSON or, on a terminal, as text."""
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
    """The lines of one cause that were counted but not written."""

    ends_at: float
    count: int = 0
    last: LogRecord | None = None


class Throttled(logging.StreamHandler[TextIO]):
    """Writes the first warning or error of a cause at once, counts the next ones, and writes one line a minute.

    That line is the last one counted, and its `repeated` is the number of lines that it stands for. Lines below WARNING
    are written directly. The handler's own lock makes it thread-safe.
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
        """Write the counted lines that were not written yet."""
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
        # A thread that was started before a fork does not exist in the child.
        if self._causes and not (self._summaries and self._summaries.is_alive()):
            self._summaries = threading.Thread(target=self._summarise, name="log summaries", daemon=True)
            with suppress(RuntimeError):  # no new threads can start while the interpreter ends
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
    """Return the key of a line's cause, or None if the line must be written in any case."""
    if record.levelno < logging.WARNING:
        return None
    event = record.msg
    if not isinstance(event, dict):
        # The arguments of Celery's line about a failed task include the task's id, which always differs.
        task = record.args if isinstance(record.args, Mapping) else {}
        kind = record.exc_info[0] if record.exc_info else None
        return (record.name, record.levelno, str(event), None, kind, task.get("name"), task.get("exc"))
    if event.get("event") in _ENDS or event.get("by") == "operator":
        return None
    # A person must look at each verification that is not retried.
    signature_id = event.get("signature_id") if event.get("retry") is False else None
    words = (str(event.get(name)) for name in _CAUSE_FIELDS[1:])
    why = event.get("cause") or event.get("error")
    return (record.name, record.levelno, event.get("event"), event.get("region"), signature_id, why, *words)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record that has several `events` as one line per event."""

    def __init__(self, renderer: Processor, **options: Any) -> None:
        super().__init__(**options)
        self._renderer = renderer

    def format(self, record: LogRecord) -> str:
        events: list[dict[str, Any]] | None = getattr(record, "events", None)
        if events is None:
            return super().format(record)
        return "\n".join(str(self._renderer(None, record.levelname.lower(), event)) for event in events)


def _no_plans(record: LogRecord) -> bool:
    """Drop Celery's deprecation warnings: they are for developers, and would be the first line of an outage."""
    return "DeprecationWarning" not in record.getMessage()


def _with_repeats(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add `repeated`: the number of lines with the same cause that this line stands for."""
    if repeated := getattr(event.get("_record"), "repeated", 0):
        event["repeated"] = repeated
    return event


def _without_task_data(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Remove `data`, in which Celery logs a task's arguments: those of `tasks.enqueue` hold the context."""
    fields: dict[str, Any] = dict(event)
    fields.pop("data", None)
    return fields
