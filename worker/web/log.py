"""The log of `web`: gunicorn's own lines in our format. Requests of the HTTP API have lines of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gunicorn.glogging import Logger

from worker.observability.logs import configure_logging

if TYPE_CHECKING:
    from gunicorn.config import Config


class Log(Logger):  # type: ignore[misc]
    """The logger that gunicorn creates when it starts, and sets up again on a reload."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        configure_logging(self.loglevel)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
