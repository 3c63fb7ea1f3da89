"""Who listens to traces and error reports on the loopback, and remembers every byte."""

from __future__ import annotations

import gzip
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.http_thread import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Listener:
    """Answers 200 to every POST. `heard` has the bodies, unpacked, by path."""

    origin: str = ""
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """Those of OTLP over HTTP."""
        requests = [ExportTraceServiceRequest.FromString(body) for _, body in self.heard]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def reports(self) -> list[dict[str, Any]]:
        """The events in Sentry's envelopes: a line for the envelope, then a line and a body for each item."""
        lines = [body.splitlines() for _, body in self.heard]
        return [json.loads(event) for _, header, event, *_ in lines if json.loads(header)["type"] == "event"]


def attributes(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            listener.heard.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.origin = f"127.0.0.1:{server.server_port}"
    with serving(server):
        yield listener
