"""A host of images on the loopback, with an answer for each path that a test defines."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import TYPE_CHECKING

from tests.support.http_thread import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 8
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
WEBP = b"RIFF\x00\x08\x00\x00WEBPVP8 " + bytes(256)
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00" + bytes(256)
HEIF = b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00" + bytes(256)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore clients that close their connection."""


class ImageHost:
    """`says` maps a path to the function that answers it; `asked` lists the requested paths, in order."""

    def __init__(self) -> None:
        self.says: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.over = Event()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.asked.append(self.path)
                host.headers = dict(self.headers)
                host.says[self.path](self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.origin = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[ImageHost]:
        with serving(self._server):
            try:
                yield self
            finally:
                self.over.set()

    def serve(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        """Answer `path` with `body`, and return its URL."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                request.send_header(name.replace("_", "-"), value)
            request.end_headers()
            request.wfile.write(body)

        self.says[path] = answer
        return f"{self.origin}{path}"

    def mumble(self, path: str, body: bytes) -> str:
        """Answer with a line that is not a header."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nnot a header\r\n\r\n"
            request.wfile.write(head.encode() + body)
            request.close_connection = True

        self.says[path] = answer
        return f"{self.origin}{path}"

    def cut(self, path: str, body: bytes) -> str:
        """Announce all of `body`, send half of it, and close the connection."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body[: len(body) // 2])
            request.close_connection = True

        self.says[path] = answer
        return f"{self.origin}{path}"

    def drip(self, path: str, body: bytes) -> str:
        """Send `body` a byte at a time, for longer than any client waits."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.close_connection = True
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            try:
                for byte in body:
                    request.wfile.write(bytes([byte]))
                    if self.over.wait(0.02):
                        return
            except OSError:
                return  # the client has closed the connection

        self.says[path] = answer
        return f"{self.origin}{path}"
