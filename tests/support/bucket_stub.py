"""A server with the part of S3 that evidence needs, and the faults of real stores and setups."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qs

from tests.support.http_thread import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Text of the server that no message of ours may quote.
SECRET = "hunter2"


class S3:
    """Stores objects by path, with any credentials. Attributes switch its faults on while it runs."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        #: Writes replace existing objects: `If-None-Match` is ignored.
        self.overwrites = False
        #: Checks whether a name is free, and writes a moment later.
        self.races = False
        #: Refuses objects without a checksum, as a bucket with Object Lock does.
        self.locked = False
        #: Accepts files whose path ends with this, but does not store them.
        self.forgets = ""
        #: The answer to every request: a status, and an error code.
        self.refuses: tuple[int, str] | None = None
        #: Added to the body of every error.
        self.extra = ""
        self.slow_s = 0.0
        self.requests = 0
        self.lock = Lock()
        self.server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"stub": self}))

    def put(self, path: str, body: bytes, *, once: bool) -> bool:
        """Store an object. Return True if the name was taken."""
        if self.races:
            taken = path in self.objects
            time.sleep(0.1)
            if not taken:
                self.objects[path] = body
            return taken
        if self.forgets and path.endswith(self.forgets):
            return False
        with self.lock:
            if once and not self.overwrites and path in self.objects:
                return True
            self.objects[path] = body
            return False

    def exchange(self, path: str, body: bytes, expected: str) -> bool:
        """Replace an object that has the expected ETag. Return False if it has another."""
        if self.races:
            same = expected == etag(self.objects.get(path))
            time.sleep(0.1)
            if same:
                self.objects[path] = body
            return same
        with self.lock:
            same = expected == etag(self.objects.get(path))
            if same:
                self.objects[path] = body
            return same

    def listing(self, bucket: str, prefix: str) -> bytes:
        base = f"{bucket.rstrip('/')}/"
        found = "".join(
            f"<Contents><Key>{path.removeprefix(base)}</Key><Size>{len(body)}</Size>"
            '<ETag>"1"</ETag><LastModified>2025-01-01T00:00:00.000Z</LastModified></Contents>'
            for path, body in sorted(self.objects.items())
            if path.startswith(f"{base}{prefix}")
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.server.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    @contextmanager
    def running(self) -> Iterator[S3]:
        with serving(self.server):
            yield self


class Handler(BaseHTTPRequestHandler):
    stub: ClassVar[S3]
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refused():
            return
        if self.stub.locked and not self.checked(body):
            self.error(400, "InvalidRequest")
            return
        if expected := self.headers["If-Match"]:
            changed = not self.stub.exchange(self.path, body, expected)
            self.error(412, "PreconditionFailed") if changed else self.reply(200, b"", of=body)
            return
        taken = self.stub.put(self.path, body, once=self.headers["If-None-Match"] == "*")
        self.error(412, "PreconditionFailed") if taken else self.reply(200, b"")

    def do_GET(self) -> None:
        if self.refused():
            return
        path, _, query = self.path.partition("?")
        if query:
            self.reply(200, self.stub.listing(path, parse_qs(query)["prefix"][0]))
        elif path in self.stub.objects:
            body = self.stub.objects[path]
            self.reply(200, body, of=body)
        else:
            self.error(404, "NoSuchKey")

    def do_DELETE(self) -> None:
        if self.refused():
            return
        if self.stub.locked:
            self.error(403, "AccessDenied")
            return
        self.stub.objects.pop(self.path, None)
        self.reply(204, b"")

    def refused(self) -> bool:
        with self.stub.lock:
            self.stub.requests += 1
        time.sleep(self.stub.slow_s)
        if self.stub.refuses:
            self.error(*self.stub.refuses)
        return self.stub.refuses is not None

    def checked(self, body: bytes) -> bool:
        sums = {"Content-MD5": hashlib.md5(body), "x-amz-checksum-sha256": hashlib.sha256(body)}
        given = {name: self.headers[name] for name in sums if self.headers[name]}
        return bool(given) and all(
            value == b64encode(sums[name].digest()).decode() for name, value in given.items()
        )

    def error(self, status: int, code: str) -> None:
        words = f"<Code>{code}</Code>" if code else ""
        body = f"<Error>\n{words}<Message>{SECRET}</Message>{self.stub.extra}</Error>"
        self.reply(status, body.encode())

    def reply(self, status: int, body: bytes, *, of: bytes | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", etag(of))
        self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def etag(body: bytes | None) -> str:
    return '"1"' if body is None else f'"{hashlib.md5(body).hexdigest()}"'


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore the broken connections of killed workers."""
