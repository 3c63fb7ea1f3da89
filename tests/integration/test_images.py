"""Images over real HTTP: what is taken, what is refused, and what is worth another try."""

from __future__ import annotations

import gzip
import hashlib
import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import name_server
from tests.support.image_host import HEIC, HEIF, JPEG, PNG, WEBP, ImageHost
from tests.support.vendor_stub import Stub
from worker.errors import ImageLinkExpired, ImageRefused, ImageUnavailable
from worker.evidence.admission import Admissions
from worker.evidence.images import MAX_BYTES, Images
from worker.http_client import MIB, deadline

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def images(host: ImageHost) -> Images:
    return Images((host.origin,))


def refused(images: Images, url: str) -> str:
    """The reason why `url` is refused; its message quotes nothing of the URL."""
    with pytest.raises(ImageRefused) as caught:
        images.fetch(url)
    assert str(caught.value) == caught.value.reason
    assert not caught.value.retry
    return caught.value.reason


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (JPEG, "image/jpeg"),
        (PNG, "image/png"),
        (WEBP, "image/webp"),
        (HEIC, "image/heic"),
        (HEIF, "image/heif"),
    ],
)
def test_an_image_is_what_its_bytes_say_whatever_the_host_calls_it(
    host: ImageHost, images: Images, body: bytes, media_type: str
) -> None:
    image = images.fetch(host.serve("/i", body, Content_Type="text/html"))
    assert (image.body, image.media_type) == (body, media_type)
    assert image.sha256 == hashlib.sha256(body).hexdigest()
    assert "xff" not in repr(image)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xd8",
        b"<html>sorry</html>",
        b"%PDF-1.7",
        b"GIF89a",
        b" " + JPEG,
        b"RIFF0000WAVE",
        b"\x00\x00\x00\x18ftypisom",
        b"<svg/>",
    ],
)
def test_what_is_no_image_is_refused_whatever_the_host_calls_it(
    host: ImageHost, images: Images, body: bytes
) -> None:
    assert refused(images, host.serve("/i", body, Content_Type="image/jpeg")) == "NOT_AN_IMAGE"


def test_an_image_of_just_the_greatest_size_is_taken(host: ImageHost, images: Images) -> None:
    body = JPEG.ljust(MAX_BYTES, b"\x00")
    assert len(images.fetch(host.serve("/i", body)).body) == MAX_BYTES


def test_an_image_of_a_byte_more_is_refused(host: ImageHost, images: Images) -> None:
    assert refused(images, host.serve("/i", JPEG.ljust(MAX_BYTES + 1, b"\x00"))) == "TOO_LARGE"


def test_an_image_that_unpacks_to_more_is_refused(host: ImageHost, images: Images) -> None:
    bomb = gzip.compress(JPEG.ljust(MAX_BYTES + 1, b"\x00"))
    assert len(bomb) < 100_000
    assert refused(images, host.serve("/i", bomb, Content_Encoding="gzip")) == "TOO_LARGE"


@pytest.mark.parametrize("status", [401, 403, 404, 410, 400])
def test_a_link_that_its_host_does_not_honour_has_expired(
    host: ImageHost, images: Images, status: int
) -> None:
    with pytest.raises(ImageLinkExpired, match=f"HTTP {status}"):
        images.fetch(host.serve("/i", b"<Error>AccessDenied</Error>", status))


@pytest.mark.parametrize("status", [429, 408, 500, 502, 503, 504, 206])
def test_a_host_in_trouble_is_worth_another_try(host: ImageHost, images: Images, status: int) -> None:
    with pytest.raises(ImageUnavailable, match=f"HTTP {status}") as caught:
        images.fetch(host.serve("/i", JPEG, status))
    assert not isinstance(caught.value, ImageLinkExpired)
    assert caught.value.retry


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
def test_a_redirect_is_refused_and_not_followed(host: ImageHost, images: Images, status: int) -> None:
    url = host.serve("/i", b"", status, Location=host.serve("/elsewhere", JPEG))
    assert refused(images, url) == "REDIRECT"
    assert host.asked == ["/i"]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nHTTP/1.1 x: 200\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_no_image_takes_more_memory_than_was_reserved_for_it(head: bytes) -> None:
    body = JPEG.ljust(MIB, b"\0")
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    admissions = Admissions(["ph"])
    with Stub(lambda _: [head + framed]) as server, admissions.one("ph") as admission:
        image = Images((server.origin,), admissions).fetch(f"{server.origin}/i", admission)
        assert len(image.body) <= admission.size_bytes


def test_an_image_that_is_cut_off_is_worth_another_try(host: ImageHost, images: Images) -> None:
    with pytest.raises(ImageUnavailable, match="TRUNCATED"):
        images.fetch(host.cut("/i", JPEG))


def test_a_host_that_drips_is_left_at_the_deadline(host: ImageHost, images: Images) -> None:
    with pytest.raises(ImageUnavailable, match="TIMEOUT"), deadline(0.3):
        images.fetch(host.drip("/i", JPEG))


def test_a_host_that_is_not_there_is_worth_another_try() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ImageUnavailable, match="REFUSED"):
            Images((origin,)).fetch(f"{origin}/i")


def test_a_host_that_speaks_no_http_is_worth_another_try(host: ImageHost, images: Images) -> None:
    def answer(request: Any) -> None:
        request.wfile.write(b"220 mail.example.com ESMTP\r\n")
        request.close_connection = True

    host.says["/i"] = answer
    with pytest.raises(ImageUnavailable):
        images.fetch(f"{host.origin}/i")


def test_an_origin_that_is_listed_with_capitals_or_a_slash_is_the_same(host: ImageHost) -> None:
    images = Images((f"HTTP://LOCALHOST:{host.port}/",))
    host.serve("/i", JPEG)
    assert images.fetch(f"http://localhost:{host.port}/i").media_type == "image/jpeg"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:{port}/i",
        "http://127.0.0.1/i",
        "http://127.0.0.1:1{port}/i",
        "http://localhost:{port}/i",
        "http://127.0.0.1.:{port}/i",
        "http://127.0.0.1.example.com:{port}/i",
        "http://[::1]:{port}/i",
        "http://2130706433:{port}/i",
        "https://public.example.com/i",
    ],
)
def test_an_origin_that_is_not_listed_as_it_is_written_is_refused(
    host: ImageHost, images: Images, url: str
) -> None:
    port = str(host.port)
    url = url.replace("1{port}", str(host.port - 1)).replace("{port}", port)
    assert refused(images, url) == "ORIGIN_NOT_ALLOWED"
    assert host.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "front.jpg",
        "/front.jpg",
        "//127.0.0.1/i",
        "http://",
        "http:///i",
        "http://:80/i",
        "http://127.0.0.1:x/i",
        "http://127.0.0.1:99999/i",
        "http://[::1/i",
        "file:///etc/passwd",
        "ftp://127.0.0.1/i",
        "javascript:alert(1)",
        "http://user@127.0.0.1:{port}/i",
        "http://user:secret@127.0.0.1:{port}/i",
        "http://127.0.0.1:{port}\\@evil.example.com/i",
        "http://evil.example.com\\@127.0.0.1:{port}/i",
        "http://127.0.0.1:{port}/i\x00",
        "http://127.0.0.1:{port}/i\ti",
        "http://127.0.0.1 :{port}/i",
        "http://user@127.0.0.1:{port}/i\r\n",
        "unusable:",
        "http://\u2100.example.com/i",
        pytest.param("http://127.0.0.1:{port}/" + "i" * 16_000, id="longer than anybody's"),
    ],
)
def test_what_is_no_plain_web_address_is_refused(host: ImageHost, images: Images, url: str) -> None:
    """With origins listed and without: readings of a URL on which parsers disagree never get anywhere."""
    url = url.replace("{port}", str(host.port))
    assert refused(images, url) == "BAD_URL"
    assert refused(Images(()), url) == "BAD_URL"
    assert host.asked == []


def test_without_origins_only_https_will_do(host: ImageHost) -> None:
    assert refused(Images(()), "http://images.example.com/i") == "ORIGIN_NOT_ALLOWED"
    assert refused(Images(()), f"{host.origin}/i") == "ORIGIN_NOT_ALLOWED"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f000001",
        "127.1",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fd00::1]",
        "[fe80::1]",
    ],
)
def test_without_origins_no_private_address_is_reached_however_it_is_written(
    host: ImageHost, address: str
) -> None:
    assert refused(Images(()), f"https://{address}:{host.port}/i") == "PRIVATE_ADDRESS"
    assert host.asked == []


def test_a_public_name_with_a_private_address_is_refused(host: ImageHost, tmp_path: Path) -> None:
    """What a name resolves to when we connect is what counts."""
    program = """
import sys
from worker.errors import ImageRefused
from worker.evidence.images import Images
try:
    Images(()).fetch(sys.argv[1])
except ImageRefused as refused:
    print(refused.reason)
"""
    url = f"https://images.example.com:{host.port}/i"
    ended = name_server.run(tmp_path, program, url, images_example_com="127.0.0.1")
    assert ended.stdout.split() == ["PRIVATE_ADDRESS"]
    assert "asked images.example.com" in ended.stderr
    assert host.asked == []


def test_neither_logs_nor_errors_quote_a_link(
    host: ImageHost, images: Images, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has the link can see the document."""
    caplog.set_level(logging.DEBUG)
    urls = [
        host.serve("/hush?token=hush", b"no image"),
        host.serve("/hush", b"", 403),
        host.serve("/hush2", b"", 503),
        host.cut("/hush3", JPEG),
        host.mumble("/hush4", b"no image"),
        "http://127.0.0.1:1/hush",
        "hush",
    ]
    for url in urls:
        for side in (images, Images(())):
            with pytest.raises((ImageRefused, ImageUnavailable)) as caught:
                side.fetch(url)
            assert "hush" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "hush" not in caplog.text


def test_a_host_is_told_nothing_about_us(host: ImageHost, images: Images) -> None:
    images.fetch(host.serve("/i", JPEG))
    assert {"Authorization", "Cookie", "X-Access-Token", "Referer"}.isdisjoint(host.headers)
