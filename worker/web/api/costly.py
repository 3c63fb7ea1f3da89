"""Requests that cost much of the processor: few run at a time in a process, so that others are served beside them.

See `worker.web.api.gate`. A request that finds no place is refused (503).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.web.api.backend import backend
from worker.web.api.current import current
from worker.web.api.problems import BUSY, Problem

if TYPE_CHECKING:
    from flask import Flask

#: A request with a longer body is costly. A thousand verifications without a context are shorter.
LARGE_BODY: Final = 131_072

#: Seconds after which a refused request is worth sending again.
RETRY_S: Final = 1


def take_place() -> None:
    """Count the request among the costly ones until it ends. Raises ``Problem`` where there are too many."""
    request = current()
    if request.costly:
        return
    if not backend().gate.enter():
        raise Problem(
            BUSY,
            "too many large requests are under way: send it again",
            headers={"Retry-After": str(RETRY_S)},
        )
    request.costly = True


def watch(app: Flask) -> None:
    """Count the costly requests of `app` down when they end."""

    @app.teardown_request
    def leave(error: BaseException | None) -> None:
        del error
        request = current()
        if request.costly:
            request.costly = False
            backend().gate.leave()
