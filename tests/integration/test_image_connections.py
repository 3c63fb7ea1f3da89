"""Whose image it is: a connection to an image host serves one verification, and is closed with it."""

from __future__ import annotations

import time
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import gevent
import pytest

from tests.support.image_host import JPEG
from tests.support.vendor_stub import Call, Stub, http
from tests.support.waiting import until
from worker.evidence.images import Images
from worker.http_client.adapter import Handle
from worker.http_client.curl import pycurl
from worker.http_client.engine import TURN_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

#: More than a record of TLS, so that the end of an image comes in a read of its own.
SIZE = 50_000


def picture(whose: str) -> bytes:
    return JPEG[:4] + whose.encode() * (SIZE // len(whose))


def image(whose: str) -> bytes:
    return http(picture(whose), Content_Type="image/jpeg")


class Host:
    """Serves `/<person>/<side>`, and sends behind it what a test wants."""

    def __init__(self) -> None:
        self.behind: Callable[[str, str], Iterable[Any]] = lambda *_: ()

    def __call__(self, call: Call) -> Iterator[Any]:
        _, person, side = call.path.split("/")
        behind = list(self.behind(person, side))
        first = behind.pop(0) if behind and isinstance(behind[0], bytes) else b""
        yield image(f"{person} {side};") + first
        yield from behind


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def server(host: Host, tls: ssl.SSLContext | None) -> Iterator[Stub]:
    with Stub(host, tls) as server:
        yield server


@pytest.fixture
def images(server: Stub, certificate: Path) -> Images:
    return Images((server.origin,), ca_bundle=str(certificate))


def as_thread(function: Callable[[], Any]) -> Any:
    return function()


def as_greenlet(function: Callable[[], Any]) -> Any:
    return gevent.spawn(function).get()


def folder(images: Images, server: Stub, person: str) -> dict[str, bytes]:
    with images.for_one() as its:
        return {side: its.fetch(f"{server.origin}/{person}/{side}").body for side in ("front", "back")}


def its_own(person: str) -> dict[str, bytes]:
    return {side: picture(f"{person} {side};") for side in ("front", "back")}


@pytest.mark.parametrize("run", [as_thread, as_greenlet])
def test_front_and_back_share_a_connection_and_it_is_closed_with_them(
    images: Images, server: Stub, run: Callable[..., Any], tls: ssl.SSLContext | None
) -> None:
    each = 1 if tls is None else 2  # over TLS nobody sees what lies behind an image within its record
    for number in range(3):
        assert run(lambda person=f"p{number}": folder(images, server, person)) == its_own(f"p{number}")
        assert server.connections == (number + 1) * each
        until(lambda: server.open_connections == 0, "all connections are closed")


@pytest.mark.parametrize("run", [as_thread, as_greenlet])
@pytest.mark.parametrize("pause_s", [None, 0.0, 0.05])
def test_bytes_behind_an_image_are_in_nobodys_folder(
    images: Images, server: Stub, host: Host, run: Callable[..., Any], pause_s: float | None
) -> None:
    """Behind the last image of each person: in the same record, in the next packet, and after a while."""

    def behind(_: str, side: str) -> Iterator[Any]:
        if side == "back":
            yield from [] if pause_s is None else [pause_s]
            yield image("somebody else's;")

    host.behind = behind
    for number in range(4):
        assert run(lambda person=f"p{number}": folder(images, server, person)) == its_own(f"p{number}")
        Event().wait(pause_s or 0.0)


@pytest.mark.parametrize("run", [as_thread, as_greenlet])
def test_bytes_in_the_record_of_the_front_are_not_the_back(
    images: Images, server: Stub, host: Host, run: Callable[..., Any]
) -> None:
    host.behind = lambda _, side: [image("somebody else's;")] if side == "front" else []
    for number in range(4):
        assert run(lambda person=f"p{number}": folder(images, server, person)) == its_own(f"p{number}")


def test_many_at_once_have_each_their_own_connections(images: Images, server: Stub, host: Host) -> None:
    people = 24
    meet = Barrier(people)

    def behind(_: str, side: str) -> Iterator[Any]:
        if side == "front":
            meet.wait(30)
        yield 0.0
        yield image("somebody else's;") if side == "back" else b""

    host.behind = behind
    asked = [gevent.spawn(folder, images, server, f"p{number}") for number in range(people)]
    gevent.joinall(asked)
    assert [each.get() for each in asked] == [its_own(f"p{number}") for number in range(people)]
    until(lambda: server.open_connections == 0, "all connections are closed")


def test_without_a_verification_each_image_has_a_connection(images: Images, server: Stub) -> None:
    for _ in range(3):
        assert images.fetch(f"{server.origin}/p/front").body == picture("p front;")
    assert server.connections == 3


def answered_before_it_is_read(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[bytes], Any]) -> None:
    """Every answer is there when libcurl, which has just sent its request, looks for it the first time."""

    def sent(kind: int, data: bytes) -> None:
        if kind == pycurl.INFOTYPE_HEADER_OUT:
            meanwhile(data)
            time.sleep(10 * TURN_S)

    class Slow(Handle):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.curl.setopt(pycurl.VERBOSE, 1)
            self.curl.setopt(pycurl.DEBUGFUNCTION, sent)

    monkeypatch.setattr("worker.http_client.adapter.Handle", Slow)


def test_an_answer_that_is_there_at_once_keeps_its_connection(
    images: Images, server: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read in the next turn; that is no host that speaks unasked."""
    others: list[gevent.Greenlet[..., Any]] = []

    def other_begins(data: bytes) -> None:
        if data.startswith(b"GET /p/back"):
            others.append(gevent.spawn(folder, images, server, "other"))

    answered_before_it_is_read(monkeypatch, other_begins)
    assert as_greenlet(lambda: folder(images, server, "p")) == its_own("p")
    gevent.joinall(others, raise_error=True)
    assert sorted(server.paths()) == ["/other/back", "/other/front", "/p/back", "/p/front"]


def test_a_socket_with_the_number_of_another_is_watched(
    images: Images, server: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop (libev) would not notice a file that was closed and opened again between two looks."""
    monkeypatch.setattr("worker.http_client.engine.TURN_S", 60.0)
    answered_before_it_is_read(monkeypatch, lambda _: None)

    def all_of_them() -> None:
        for number in range(8):
            assert images.fetch(f"{server.origin}/p{number}/front").body == picture(f"p{number} front;")

    as_greenlet(all_of_them)
