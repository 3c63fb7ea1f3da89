"""Lookups of names: libcurl does them, on threads of its own, and they hold up nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support import name_server
from tests.support.vendor_stub import Stub, http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def server() -> Iterator[Stub]:
    with Stub(lambda _: [http(b"answer")]) as server:
        yield server


ASK = """
import sys, time
import requests
from worker.http_client import MIB, deadline, fault, public_session, read_bounded, session
def ask(session, url, total_s):
    begun = time.monotonic()
    try:
        with deadline(total_s), session.get(url, stream=True) as response:
            found = read_bounded(response, MIB).decode()
    except requests.RequestException as error:
        found = fault(error)
    return found, time.monotonic() - begun
"""


def test_64_lookups_of_image_hosts_that_hang_delay_no_call_of_the_vendor(
    tmp_path: Path, server: Stub
) -> None:
    program = (
        ASK
        + """
import gevent
vendor, images = session(), public_session()
hanging = [gevent.spawn(ask, images, "http://images.example.com/", 4.0) for _ in range(64)]
gevent.sleep(0.2)
asked = [gevent.spawn(ask, vendor, f"http://vendor.example.com:{sys.argv[1]}/", 5.0) for _ in range(16)]
gevent.joinall(asked)
print(sorted({each.get()[0] for each in asked}), max(each.get()[1] for each in asked) < 3.5)
gevent.joinall(hanging)
print(sorted({each.get()[0] for each in hanging}))
"""
    )
    begun = time.monotonic()
    ended = name_server.run(
        tmp_path, program, str(server.port), images_example_com="hang", vendor_example_com="127.0.0.1"
    )
    assert ended.stdout.splitlines() == ["['answer'] True", "['TIMEOUT']"], ended.stderr
    assert ended.returncode == 0
    assert time.monotonic() - begun < 30  # nor does the end of the process wait for the name server


def test_outside_of_greenlets_a_lookup_ends_at_the_deadline(tmp_path: Path, server: Stub) -> None:
    program = (
        ASK
        + """
for make in (session, public_session):
    http = make()
    print(ask(http, "http://images.example.com/", 0.3)[0])
    http.close()
"""
    )
    begun = time.monotonic()
    ended = name_server.run(tmp_path, program, images_example_com="hang")
    assert ended.stdout.split() == ["TIMEOUT", "TIMEOUT"], ended.stderr
    assert time.monotonic() - begun < 30


def test_a_name_that_nobody_knows_is_called_so(tmp_path: Path) -> None:
    program = (
        ASK
        + """
for make in (session, public_session):
    print(ask(make(), "http://images.example.com/", 5.0)[0])
"""
    )
    ended = name_server.run(tmp_path, program, images_example_com="none")
    assert ended.stdout.split() == ["DNS", "DNS"], ended.stderr


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "64:ff9b::7f00:1"])
def test_a_name_with_an_address_that_is_not_public_is_not_dialled(
    tmp_path: Path, server: Stub, address: str
) -> None:
    program = (
        ASK
        + """
print(ask(public_session(), f"http://images.example.com:{sys.argv[1]}/", 5.0)[0])
"""
    )
    ended = name_server.run(tmp_path, program, str(server.port), images_example_com=address)
    assert ended.stdout.split() == ["ADDRESS_NOT_PUBLIC"], ended.stderr
    assert server.connections == 0
