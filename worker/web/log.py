"""What `web` logs: gunicorn's own lines, in the form of all others. Answered requests are not among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gunicorn.glogging import Logger

from worker.observability.logs import configure_logging

if TYPE_CHECKING:
    from gunicorn.config import Config


class Log(Logger):  # type: ignore[misc]
    """Gunicorn makes one when it starts, and sets it up again on a reload."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        configure_logging(self.loglevel)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
