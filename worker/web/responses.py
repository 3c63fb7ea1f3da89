"""Pages of one line, for probes."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Line:
    """The content of a page."""

    status: HTTPStatus
    text: str


class Page:
    """A WSGI application that answers GET and HEAD with one line. It calls `look` for each request."""

    def __init__(self, look: Callable[[], Line]) -> None:
        self._look = look

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        line = (
            self._look()
            if method in {"GET", "HEAD"}
            else Line(HTTPStatus.METHOD_NOT_ALLOWED, "use GET or HEAD")
        )
        body = f"{line.text}\n".encode()
        start_response(
            f"{line.status.value} {line.status.phrase}",
            [
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
            ],
        )
        return [] if method == "HEAD" else [body]
