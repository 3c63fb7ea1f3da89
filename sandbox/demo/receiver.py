"""A receiver of webhooks: it verifies the signature of each delivery, writes it down, and acknowledges it.

    python -m sandbox.demo.receiver 3

The argument is the descriptor of a listening socket. `WEBHOOK_SECRET_FILE` names the file of the endpoint's secret.
The receiver appends what it gets to `WEBHOOK_FILE`, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from worker.errors import SignatureRefused
from worker.signatures import ID, Verifier, parse_secrets

#: The longest body that is read, in bytes.
_LONGEST: Final = 1024 * 1024


class Receiver(ThreadingHTTPServer):
    """Serves an inherited socket.

    Parameters:
      written: the file that every request is appended to.
    """

    daemon_threads = True

    def __init__(self, listener: socket.socket, verifier: Verifier, written: Path) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.verifier = verifier
        self._written = written

    def write(self, line: dict[str, Any]) -> None:
        descriptor = os.open(self._written, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # One write, so that the lines of two threads do not mix.
            os.write(descriptor, json.dumps(line).encode() + b"\n")
        finally:
            os.close(descriptor)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: Seconds for which a connection may be silent.
    timeout = 60
    server: Receiver

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LONGEST:
            self.close_connection = True
            self._answer(HTTPStatus.BAD_REQUEST)
            return
        # The bytes that are verified are those that arrived, never JSON that was parsed and written again.
        body = self.rfile.read(int(length))
        refused = ""
        try:
            self.server.verifier.verify(dict(self.headers.items()), body)
        except SignatureRefused as error:
            refused = error.reason
        self.server.write(
            {
                "received_at_ms": round(time.time() * 1000),
                "id": self.headers.get(ID, ""),
                "body": body.decode(errors="replace"),
                "refused": refused,
            }
        )
        self._answer(HTTPStatus.UNAUTHORIZED if refused else HTTPStatus.NO_CONTENT)

    def _answer(self, status: HTTPStatus) -> None:
        self.send_response(status)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Log nothing: what arrives is in the file."""


def main() -> None:
    secrets = parse_secrets(Path(os.environ["WEBHOOK_SECRET_FILE"]).read_text())
    listener = socket.socket(fileno=int(sys.argv[1]))
    with Receiver(listener, Verifier(secrets=secrets), Path(os.environ["WEBHOOK_FILE"])) as receiver:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        receiver.serve_forever()


if __name__ == "__main__":
    main()
