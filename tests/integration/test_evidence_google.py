"""Evidence in a bucket of Google, as a server answers that keeps to the documentation of its XML API."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.http_thread import serving
from worker.errors import EvidenceUnsuitable
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = "first:" + base64.b64encode(b"1" * 32).decode()


@dataclass
class Google:
    """Objects by path, each with its generations. `keeps`: old generations stay readable."""

    keeps: bool = False
    url: str = ""
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    live: dict[str, str] = field(default_factory=dict)
    #: How often an old generation was asked for.
    asked: int = 0
    last: int = 1_000
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, path: str, body: bytes, only_if: str | None) -> str | None:
        """Store an object. Returns its generation; None: the condition does not hold."""
        with self.lock:
            if only_if is not None and only_if != self.live.get(path, "0"):
                return None
            self.remove(path)
            self.last += 1
            # Every object has a generation, also in a bucket without versions.
            self.live[path] = str(self.last)
            self.objects.setdefault(path, {})[str(self.last)] = body
            return str(self.last)

    def remove(self, path: str) -> None:
        number = self.live.pop(path, None)
        if number and not self.keeps:
            del self.objects[path][number]

    def listing(self, bucket: str, prefix: str) -> bytes:
        names = sorted(path.removeprefix(f"{bucket}/") for path in self.live)
        entries = "".join(
            f"<Contents><Key>{name}</Key><LastModified>2026-11-30T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;1&quot;</ETag><Size>1</Size></Contents>"
            for name in names
            if name.startswith(prefix)
        )
        return f"<ListBucketResult>{entries}<IsTruncated>false</IsTruncated></ListBucketResult>".encode()

    def get(self, path: str, generation: str | None) -> tuple[str, bytes] | None:
        self.asked += generation is not None
        number = generation or self.live.get(path, "")
        body = self.objects.get(path, {}).get(number)
        return None if body is None else (number, body)


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    bucket = Google()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            number = bucket.put(self.path, body, self.headers.get("x-goog-if-generation-match"))
            self._answer(200 if number else 412, generation=number)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            if "list-type" in query:
                return self._answer(200, bucket.listing(parts.path, query.get("prefix", [""])[0]))
            found = bucket.get(parts.path, query.get("generation", [None])[0])
            if found is None:
                return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return self._answer(200, found[1], generation=found[0])

        def do_DELETE(self) -> None:
            with bucket.lock:
                bucket.remove(self.path)
            self._answer(204)

        def _answer(self, status: int, body: bytes = b"", generation: str | None = None) -> None:
            self.send_response(status)
            if generation:
                self.send_header("ETag", f'"{generation}"')
                self.send_header("x-goog-generation", generation)
                self.send_header("Last-Modified", "Mon, 30 Nov 2026 00:00:00 GMT")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    account = {
        "gcs_base_url": f"http://127.0.0.1:{server.server_port}",
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")
    with serving(server):
        yield bucket


def test_a_bucket_that_numbers_its_objects_is_used_with_keys(google: Google) -> None:
    """Google numbers every object, so a number alone does not mean that the bucket keeps old versions."""
    Evidence("gs://bucket/ekyc", keys=KEYS).check()
    assert google.asked, "it did not ask whether the removed probe is kept: the test shows nothing"
    assert not [path for path in google.live if "probe-" in path]


def test_a_place_of_keys_that_keeps_old_generations_is_refused(google: Google) -> None:
    google.keeps = True
    with pytest.raises(
        EvidenceUnsuitable, match="keeps old versions, so keys of evidence cannot be destroyed"
    ):
        Evidence("gs://bucket/ekyc", keys=KEYS).check()


def test_what_is_written_is_read_back_and_written_once(google: Google) -> None:
    evidence = Evidence("gs://bucket/ekyc", keys=KEYS).of("ph", "a")
    assert evidence.keep_answer(b'{"name": "Ana"}') == b'{"name": "Ana"}'
    assert evidence.keep_answer(b'{"second": 2}') == b'{"name": "Ana"}'
    assert evidence.read("answer.json") == b'{"name": "Ana"}'
    assert b"Ana" not in b"".join(body for each in google.objects.values() for body in each.values())
