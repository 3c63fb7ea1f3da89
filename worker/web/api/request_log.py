"""One line for each request of the API: never its path, its query, its body or its token.

Lines are written together, a moment later: a write for each would take a third of the time of a request.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from worker.web.api.blueprint import Answer
from worker.web.api.current import current

if TYPE_CHECKING:
    from flask import Response

#: How long a line may wait for others.
DELAY_S: Final = 0.1

#: A method that does not exist is foreign text.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Grouped:
    """A logger that writes its lines together. Thread-safe; its thread starts with the first line, so after a fork."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._lock = threading.Lock()
        self._waiting: list[dict[str, Any]] = []
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    def info(self, event: str, **fields: Any) -> None:
        if not self._logger.isEnabledFor(logging.INFO):
            return
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = fields | {"event": event, "level": "info", "logger": self._logger.name, "timestamp": at}
        with self._lock:
            self._waiting.append(line)
            if len(self._waiting) > 1:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="request log", daemon=True)
                self._thread.start()
                atexit.register(self.write)
        self._some.set()

    def write(self) -> None:
        """Write what waits."""
        with self._lock:
            lines, self._waiting = self._waiting, []
        if not lines:
            return
        logger = self._logger
        record = logger.makeRecord(logger.name, logging.INFO, "", 0, "%d lines", (len(lines),), None)
        record.events = lines
        logger.handle(record)

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            time.sleep(DELAY_S)
            self.write()


_log: Final = Grouped(__name__)


def finish(response: Response) -> Response:
    """Log the request, and add the headers that every answer has."""
    request, headers = current(), response.headers
    headers.extend(request.rate_limit)
    if not isinstance(response, Answer):
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Cache-Control", "no-store")
    method, rule = request.environ["REQUEST_METHOD"], request.url_rule
    _log.info(
        "api_request",
        method=method if method in _METHODS else "other",
        route=rule.rule if rule else "none",
        status=response.status_code,
        token=request.token_name,
        ms=round((time.perf_counter() - request.began) * 1000, 2),
    )
    return response
