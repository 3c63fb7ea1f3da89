"""What may stand where the link of an image should."""

from __future__ import annotations

import base64
import time
import tracemalloc
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.image_host import JPEG
from worker.evidence.inline import inline, tidied

STANDARD = base64.b64encode(JPEG).decode()
URL_SAFE = base64.urlsafe_b64encode(JPEG).decode()

IMAGES = {
    "one line": STANDARD,
    "lines of 76": base64.encodebytes(JPEG).decode(),
    "lines that end with CR LF": base64.encodebytes(JPEG).decode().replace("\n", "\r\n"),
    "blanks and tabs": f" {STANDARD[:40]}\t {STANDARD[40:]} ",
    "no padding": STANDARD.rstrip("="),
    "the URL-safe alphabet": URL_SAFE.rstrip("="),
    "a data: URL": f"data:image/jpeg;base64,{STANDARD}",
    "a data: URL with parameters": f"data:image/jpeg;name=a.jpg;charset=utf-8;base64,{STANDARD}",
    "a data: URL in capitals": f"DATA:IMAGE/JPEG;BASE64,{STANDARD}",
    "a data: URL of another type": f"data:text/plain;base64,{STANDARD}",
    "a data: URL without a type": f"data:;base64,{STANDARD}",
    "a data: URL in lines": f"\ndata:image/jpeg;base64,\n{base64.encodebytes(JPEG).decode()}",
    "a data: URL with escapes": f"data:image/jpeg;base64,{STANDARD.replace('+', '%2B').replace('/', '%2F')}",
    "a data: URL of bytes": "data:image/jpeg," + "".join(f"%{byte:02x}" for byte in JPEG),
    "no scheme": f"image/jpeg;base64,{STANDARD}",
    "base64 alone": f"base64,{STANDARD}",
}


@pytest.mark.parametrize("text", IMAGES.values(), ids=IMAGES)
def test_an_image_in_the_place_of_its_link_is_decoded(text: str) -> None:
    assert inline(text) == JPEG


LINKS = [
    "https://images.example/front.jpg",
    "https://images.example/a,b;base64,c",
    "https://images.example/" + "A" * 200,
    "//images.example/" + "A" * 200,
    "/files/front.jpg",
    "",
    "front",
    "AAAA",
    "unusable:",
    "file:///etc/passwd",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("link", LINKS)
def test_a_link_is_no_image(link: str) -> None:
    assert inline(link) is None


@pytest.mark.parametrize(
    "text",
    ["data:image/jpeg;base64,§", "data:image/jpeg;base64,A", "data:,\ud83d", "data:;base64,\ud83d", "data:,"],
)
def test_a_broken_data_url_holds_nothing(text: str) -> None:
    assert inline(text) == b""


@given(
    st.binary(min_size=48), st.sampled_from(["", "data:image/png;base64,"]), st.integers(1, 80), st.booleans()
)
def test_base64_in_any_lines_is_decoded(image: bytes, label: str, width: int, padded: bool) -> None:
    text = base64.b64encode(image).decode()
    text = text if padded else text.rstrip("=")
    lines = "\n".join(text[start : start + width] for start in range(0, len(text), width))

    assert inline(label + lines) == image


@given(st.text())
def test_whatever_text_comes_is_decoded_or_a_link(text: str) -> None:
    assert inline(text) is None or isinstance(inline(text), bytes)
    assert tidied(text) is None or tidied(text) == tidied(str(tidied(text)))


TIDY = {
    "https://a.example/b c.jpg": "https://a.example/b c.jpg",
    " https://a.example/b\n": "https://a.example/b",
    "https://a.exam\r\nple/b\nc": "https://a.example/bc",
    "https://a.example/é?x=ü": "https://a.example/é?x=ü",
}


@pytest.mark.parametrize(("link", "tidy"), TIDY.items())
def test_a_link_is_tidied(link: str, tidy: str) -> None:
    assert tidied(link) == tidy


@pytest.mark.parametrize(
    "link",
    [
        "https://a.example/b\tc",
        "https://a.example/b\0c",
        "https://a.example/b\x7fc",
        "https://a.example\\@b.example/",
        "https://a b.example/c",
        "https://a.example/\u202egpj.exe",
        "https://a.example/\ud83d",
        "https://a.example/\u2028",
        " \n",
        "",
    ],
)
def test_a_suspicious_link_is_refused(link: str) -> None:
    assert tidied(link) is None


@pytest.mark.parametrize("piece", [";a", "data:", "a/", "A", " ", "\n", ",", "="])
def test_a_long_text_takes_no_time(piece: str) -> None:
    began_at = time.process_time()
    inline(piece * (2_000_000 // len(piece)))
    assert time.process_time() - began_at < 1


@pytest.mark.parametrize("piece", ["%41", "%", "%4", "A%41", "%25"])
def test_percent_signs_take_the_memory_of_the_text_a_few_times(piece: str) -> None:
    """An answer may have 2 MiB of them, and is read on the event loop."""
    text = f"data:image/jpeg,{piece * (2_000_000 // len(piece))}"
    tracemalloc.start()
    try:
        inline(text)
        assert tracemalloc.get_traced_memory()[1] < 8 * len(text)
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=30))
def test_percent_signs_are_read_as_by_the_standard_library(raw: bytes) -> None:
    quoted = quote_from_bytes(raw)
    assert inline(f"data:,{quoted}") == unquote_to_bytes(quoted) == raw


def test_a_percent_sign_that_begins_no_byte_gives_no_bytes() -> None:
    assert [inline(f"data:,a{stray}") for stray in ("%", "%4", "%4g", "%%41", "=41")] == [
        b"",
        b"",
        b"",
        b"",
        b"a=41",
    ]
