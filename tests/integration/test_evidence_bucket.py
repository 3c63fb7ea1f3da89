"""Evidence in a bucket: a server on the loopback answers what a bucket may answer."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from tests.support.certificates import self_signed
from tests.support.http_thread import serving
from tests.support.image_host import JPEG, PNG, ImageHost
from tests.support.tls_front import tls_front
from worker.errors import EvidenceConflict, EvidenceUnavailable
from worker.evidence.archive import archive
from worker.evidence.images import Images
from worker.evidence.manifest import FileEntry
from worker.evidence.store import Evidence
from worker.evidence.verification import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGION, ID = "ph", "f302f5d2454a85c2"


class Bucket:
    """Keeps objects by path. `status` is answered instead of anything else, with a body nobody should see."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.status: int | None = None
        self.requests = 0
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                bucket.requests += 1
                if bucket.status is None and self.headers["If-None-Match"] == "*":
                    taken = bucket.objects.setdefault(self.path, body) is not body
                    self.reply(412 if taken else 200)
                else:
                    self.reply(bucket.status or 400)

            def do_GET(self) -> None:
                bucket.requests += 1
                path, _, query = self.path.partition("?")
                kept = bucket.listing(parse_qs(query)["prefix"][0]) if query else bucket.objects.get(path)
                self.reply(bucket.status or (404 if kept is None else 200), kept)

            def do_DELETE(self) -> None:
                """Refuse, as a bucket whose objects are locked does."""
                self.reply(403)

            def reply(self, status: int, body: bytes | None = None) -> None:
                body = b"<Error>\n<Message>hunter2</Message></Error>" if body is None else body
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", '"1"')
                self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def listing(self, prefix: str) -> bytes:
        found = "".join(
            f"<Contents><Key>{path.removeprefix('/bucket/')}</Key><Size>{len(body)}</Size>"
            '<ETag>"1"</ETag><LastModified>2025-01-01T00:00:00.000Z</LastModified></Contents>'
            for path, body in self.objects.items()
            if path.startswith(f"/bucket/{prefix}")
        )
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    bucket = Bucket()
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{bucket.server.server_port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with serving(bucket.server):
        yield bucket


@pytest.fixture
def evidence(bucket: Bucket) -> Evidence:
    return Evidence("s3://bucket/ekyc")


def test_an_answer_is_kept_once_under_the_prefix(bucket: Bucket, evidence: Evidence) -> None:
    assert evidence.of(REGION, ID).answer() is None
    assert evidence.of(REGION, ID).keep_answer(b"first") == b"first"
    assert evidence.of(REGION, ID).keep_answer(b"second") == b"first"
    assert evidence.of(REGION, ID).answer() == b"first"
    assert bucket.objects == {f"/bucket/ekyc/ph/{ID}/answer.json": b"first"}


def test_other_bytes_under_the_same_name_are_refused(evidence: Evidence) -> None:
    evidence.of(REGION, ID).keep("front.jpg", b"image")
    evidence.of(REGION, ID).keep("front.jpg", b"image")
    with pytest.raises(EvidenceConflict):
        evidence.of(REGION, ID).keep("front.jpg", b"another image")


def test_archiving_into_a_bucket_reads_the_answer_once_and_nothing_twice(
    bucket: Bucket, evidence: Evidence
) -> None:
    with ImageHost().running() as host:
        images = Images((host.origin,))
        document = {"docFrontImage": host.serve("/front", JPEG), "docBackImage": host.serve("/back", PNG)}
        data = {"signatureId": ID, "overallResult": "PASS", "errorCode": "SUCCESS", "docDetail": document}
        evidence.of(REGION, ID).keep_answer(json.dumps({"code": "SUCCESS", "data": data}).encode())
        bucket.requests = 0
        first = archive(evidence.of(REGION, ID), images, refresh=lambda: None)
        assert first.complete
        assert bucket.requests == 7, (
            "a listing, the answer, two images, the manifest, two looks for an erasure"
        )
        assert archive(evidence.of(REGION, ID), images, refresh=lambda: None) == first
        assert host.asked == ["/front", "/back"]
    assert verify(evidence.of(REGION, ID)) == []
    assert sorted(path.rpartition("/")[2] for path in bucket.objects) == [
        "answer.json",
        "back.png",
        "front.jpg",
        "manifest.json",
    ]


def test_another_image_in_a_bucket_is_not_replaced(bucket: Bucket, evidence: Evidence) -> None:
    evidence.of(REGION, ID).keep("front.jpg", b"image")
    same, other = (
        FileEntry("front.jpg", "front", len(body), sha256(body).hexdigest(), "image/jpeg", "")
        for body in (b"image", b"another image")
    )
    with evidence.of(REGION, ID).adding() as add:
        add(same, b"image")
    with pytest.raises(EvidenceConflict), evidence.of(REGION, ID).adding() as add:
        add(other, b"another image")
    assert evidence.of(REGION, ID).read("front.jpg") == b"image"


def test_a_bucket_that_does_not_let_go_of_a_probe_is_a_good_place(evidence: Evidence) -> None:
    evidence.check()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "the credentials are not accepted"),
        (403, "permission denied"),
        (404, "it answers HTTP 404"),
        (400, "it answers HTTP 400"),
        (503, "it answers HTTP 503"),
    ],
)
def test_a_bucket_that_refuses_is_told_in_one_line_without_its_words(
    bucket: Bucket, evidence: Evidence, status: int, says: str
) -> None:
    bucket.status = status
    with pytest.raises(EvidenceUnavailable) as caught:
        evidence.of(REGION, ID).keep_answer(b"{}")
    message = str(caught.value)
    assert message.startswith(f"evidence cannot be written at s3://bucket/ekyc: {says}; check ")
    assert "\n" not in message
    assert "hunter2" not in message
    assert bucket.requests == (3 if status == 503 else 1)


@pytest.mark.parametrize(
    ("status", "at", "says"),
    [
        (401, "", "the credentials are not accepted"),
        (403, f"/{REGION}/{ID}/answer.json", "permission denied"),
        (400, f"/{REGION}/{ID}/answer.json", "it answers HTTP 400"),
        (503, f"/{REGION}/{ID}/answer.json", "it answers HTTP 503"),
    ],
)
def test_an_object_that_a_bucket_does_not_give_is_named(
    bucket: Bucket, evidence: Evidence, status: int, at: str, says: str
) -> None:
    bucket.status = status
    with pytest.raises(EvidenceUnavailable) as caught:
        evidence.of(REGION, ID).answer()
    message = str(caught.value)
    assert message.startswith(f"evidence cannot be read at s3://bucket/ekyc{at}: {says}; check ")
    assert "hunter2" not in message


def test_a_bucket_that_is_not_there_is_told_in_one_line(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(EvidenceUnavailable, match=r"s3://bucket/ekyc: it does not answer; check"):
        Evidence("s3://bucket/ekyc").of(REGION, ID).answer()


def test_an_http_address_without_the_variable_that_allows_it_names_that_variable(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(
        EvidenceUnavailable, match="begins with http:, which needs AWS_ALLOW_HTTP=true; check"
    ):
        Evidence("s3://bucket/ekyc").of(REGION, ID).answer()
    assert bucket.requests == 0


def test_a_certificate_that_is_not_trusted_is_told_and_where_to_name_its_authority(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificate = self_signed(tmp_path)
    with tls_front(certificate, bucket.server.server_port) as port:
        monkeypatch.setenv("AWS_ENDPOINT", f"https://127.0.0.1:{port}")
        with pytest.raises(
            EvidenceUnavailable, match="its TLS certificate is not trusted: SSL_CERT_FILE names"
        ):
            Evidence("s3://bucket/ekyc").of(REGION, ID).answer()


def test_a_name_that_nobody_knows_is_told(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "https://bucket.invalid")
    with pytest.raises(EvidenceUnavailable, match="the name of its host is not known; check"):
        Evidence("s3://bucket/ekyc").of(REGION, ID).answer()


def test_a_bucket_used_before_a_fork_says_so_after_it_instead_of_hanging(bucket: Bucket) -> None:
    """The threads of obstore do not survive a fork, and it would wait for them for ever."""
    script = """
        import os
        from worker.evidence.store import Evidence
        evidence = Evidence("s3://bucket/ekyc")
        evidence.check()
        if not os.fork():
            try:
                evidence.check()
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
        os.wait()
    """
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "before this process was forked" in child.stdout, child.stderr


def test_an_object_that_is_larger_than_any_evidence_is_not_read_into_memory(
    bucket: Bucket, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.evidence.storage.bucket.MOST_BYTES", 1000)
    evidence.of(REGION, ID).keep_answer(b"{}")
    bucket.objects[f"/bucket/ekyc/ph/{ID}/front.jpg"] = bytes(1001)
    with pytest.raises(
        EvidenceUnavailable, match=rf"at s3://bucket/ekyc/ph/{ID}/front.jpg: it is larger than"
    ):
        evidence.of(REGION, ID).read("front.jpg")
    assert evidence.of(REGION, ID).answer() == b"{}"
