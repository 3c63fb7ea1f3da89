"""A blueprint of flask-smorest whose parser reads JSON strictly and reports faults as problems."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

import flask_smorest
import marshmallow
from flask import Response
from webargs.flaskparser import FlaskParser

from worker.web.api.bodies import json_body
from worker.web.api.current import current
from worker.web.api.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import WSGIEnvironment

    from werkzeug.datastructures import Headers


class Parser(FlaskParser):
    """Reads what a view asks for with `Blueprint.arguments`."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {  # noqa: RUF012 - as webargs declares it
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": marshmallow.RAISE,
    }

    def load_json(self, req: Any, schema: Any) -> Any:
        """The body, whose type was checked before: webargs takes a body of another type for an empty one."""
        del req, schema
        return json_body(current())

    def handle_error(
        self, error: Any, req: Any, schema: Any, *, error_status_code: Any, error_headers: Any
    ) -> NoReturn:
        del req, schema, error_status_code, error_headers
        # webargs puts the messages under the name of the location.
        ((location, messages),) = error.messages.items()
        raise invalid(messages, "parameter" if location == "query" else "pointer")


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    ARGUMENTS_PARSER = Parser()


#: Made once: `json.dumps` makes one for each call.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


#: What every answer has, unless it says otherwise.
_HEADERS: Final = {
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Answer(Response):
    """A response whose headers are complete and ASCII: werkzeug would copy and check them again."""

    response: list[bytes]

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        del environ
        return self.headers

    def get_app_iter(self, environ: WSGIEnvironment) -> Iterable[bytes]:
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.response


def answer(
    body: Mapping[str, Any] | bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A response with JSON: `body` itself where it is bytes."""
    raw = body if isinstance(body, bytes) else _ENCODER.encode(body).encode()
    complete = {**_HEADERS, **headers} if headers else _HEADERS
    # In a list: werkzeug sets the length of bytes once more.
    return Answer([raw], status, [*complete.items(), ("Content-Length", str(len(raw)))])
