"""Log lines of a command that works as a worker does: warnings only, on stderr, so that stdout has the result alone."""

from __future__ import annotations

import logging
import sys

import structlog


def warnings_to_stderr() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
