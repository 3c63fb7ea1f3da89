"""A URL that counts as plain comes out of `requests` and of Python's own parser as it went in."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.http_client.plain_url import plain

SIGNED = (
    "https://bucket.s3.ap-southeast-1.amazonaws.com/ekyc/2022/10/17/front.jpg?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIA%2F20221017%2Fap-southeast-1%2Fs3%2Faws4_request&X-Amz-Signature=0f2d&x=%E2%82%AC"
)


def prepared(url: str) -> str:
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return str(request.url)


def check(url: str) -> None:
    """Raise ``AssertionError`` if a parser reads a plain URL otherwise."""
    found = plain(url)
    assert found is not None
    parts = urlsplit(prepared(url))
    assert parts.geturl() == url
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    assert found.host == parts.hostname
    assert found.netloc == parts.netloc
    assert found.origin == f"{parts.scheme}://{parts.hostname}:{port}"
    assert parts.username is None
    assert not parts.fragment


#: What may stand in a path, one by one.
ACCEPTED = [
    *[chr(code) for code in range(256) if plain(f"https://a/a{chr(code)}")],
    *[f"%{code:02X}" for code in range(256) if plain(f"https://a/%{code:02X}")],
]

hosts = st.sampled_from(["a", "b-1.example", "127.0.0.1", "0", "xn--a", "-", "a.b.c:1", "a:9999", "a:59999"])
texts = st.lists(st.sampled_from(ACCEPTED), max_size=12).map("".join)

#: Pieces of URLs, of which parsers change some.
PIECES = [
    *("http", "https", "://", ":", "/", "//", ".", "..", "@", "#", "?", ";", "-", "_", "~", "a", "A", "é"),
    *("%", "%2e", "%2E", "%2F", "%41", "%00", "%zz", "\\", "[::1]", "127.0.0.1", "0", "80", "080", "65536"),
    *" \t\n",
]


def test_characters_that_parsers_leave_alone_are_accepted() -> None:
    assert {"/", "a", "Z", "0", "-", "~", "%2F", "%C3"} <= set(ACCEPTED)
    assert not {"%41", "%7E", "%00", "%0A", "#", " ", "\\", "[", "ä"} & set(ACCEPTED)


@given(st.sampled_from(["http", "https"]), hosts, texts, texts)
@settings(deadline=None)
def test_every_parser_reads_a_plain_url_as_it_is(scheme: str, host: str, path: str, query: str) -> None:
    for url in (f"{scheme}://{host}/{path}", f"{scheme}://{host}/{path}?{query}"):
        if plain(url):
            check(url)


@given(
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.sampled_from(["http://a/", "https://a", ""]),
)
@settings(deadline=None)
def test_what_a_parser_would_change_is_not_plain(rest: str, start: str) -> None:
    if plain(start + rest):
        check(start + rest)


@pytest.mark.parametrize(
    "url",
    [SIGNED, "http://127.0.0.1:8080/images/a/front.jpg", "https://a/", "https://a/b//c?d=e?f&g=h/i"],
)
def test_usual_links_are_plain(url: str) -> None:
    check(url)


def test_every_port_is_plain() -> None:
    assert [port for port in range(70_000) if plain(f"https://a:{port}/")] == list(range(1, 65_536))


@pytest.mark.parametrize(
    "url",
    [
        "https://a",
        "HTTPS://a/",
        "https://A/",
        "https://a/#b",
        "https://b@a/",
        "https://a/../b",
        "https://a/%2e%2e/b",
        "https://a/%7Eb",
        "https://a/%2f",
        "https://a/b c",
        "https://a:080/",
        "https://a:65536/",
        "https://a:66000/",
        "https://a:70000/",
        "https://[::1]/",
        "https://ä/",
        "https://a/ä",
        "https://a/?",
        "https://a/b\n",
        "https://.a/",
        "https://a.b//.",
        "https://a.b/c/.",
        "https://a.b.:443//%2F/",
        "ftp://a/",
        "//a/",
        "",
    ],
)
def test_other_urls_take_the_long_way(url: str) -> None:
    assert plain(url) is None


@pytest.mark.parametrize("repeated", ["a.", "/", "/a", "%41", "%2F", "a", "?", "-"])
def test_a_long_url_is_matched_in_linear_time(repeated: str) -> None:
    def took_s(count: int) -> float:
        url = "https://a" + "/" * (repeated != "a.") + repeated * count + "\n"
        best = 1.0
        for _ in range(5):
            began_at = time.thread_time()
            plain(url)
            best = min(best, time.thread_time() - began_at)
        return best

    # Eight times the size in linear time is eight times as long; in quadratic time it is 64 times as long.
    assert took_s(64_000) < max(took_s(8_000), 20e-6) * 80 / 2
