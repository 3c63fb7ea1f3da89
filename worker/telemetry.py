"""What the fleet says of itself: one JSON object a line, without personal data.

Celery's own loggers go through the same formatter. The tasks' arguments, which Celery would log, are described by
`worker.messages` and carry ids and codes only.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger


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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _without_task_data],
            processors=[
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


def _without_task_data(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Celery hands its log records the arguments of a task, as `data`: those of `tasks.enqueue` hold the context."""
    fields: dict[str, Any] = dict(event)
    fields.pop("data", None)
    return fields
