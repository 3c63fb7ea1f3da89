"""Requests of the console that cost much: searches, counts, checks, recoveries. Few run at a time in a process.

`web` has eight threads, which serve the HTTP API and the probes, too.
"""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from flask import abort

from worker.web.api.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

#: For all screens together, so that the limits of several do not add up to all threads.
_GATE: Final = Gate(at_once=3, waiting=1, wait_s=0.5)


@contextmanager
def place() -> Iterator[None]:
    """Take a place for what follows. Answers 503 where there is none."""
    if not _GATE.enter():
        abort(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Other people search, count or check at this moment. Nothing was done: try again in a few seconds.",
        )
    try:
        yield
    finally:
        _GATE.leave()
