"""Over connections to the vendor that are kept, bytes behind one answer decide no other verification."""

from __future__ import annotations

import gzip
import itertools
import time
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.vendor_stub import Call, Stub, envelope, http, token
from tests.support.waiting import until
from worker.advance.answers import OursToFix, Pending, Settled, TransientFault, UnknownId, Unreadable
from worker.advance.client import Client
from worker.advance.regions import TOKEN_PATH
from worker.settings import Settings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.timeout(60)

ID, OTHER = "f302f5d2454a85c2", "0000000000000000"

#: More than a read of libcurl or a record of TLS holds: the end of the body comes in a read of its own.
LONG = "x" * 40_000


def result(signature_id: str, overall_result: str | None = "PASS", **data: Any) -> bytes:
    data = {"signatureId": signature_id, "overallResult": overall_result, "errorCode": None} | data
    if overall_result:
        data["errorCode"] = "SUCCESS"
    return http(envelope("SUCCESS", data | {"docDetail": {"ocrInfo": {"front": {"name": LONG}}}}))


def code(name: str) -> bytes:
    return http(envelope(name))


class Vendor:
    """Answers as configured; by default at once, and about the id that was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Callable[[str, int], Iterable[Any]] = lambda signature_id, _: [result(signature_id)]

    def __call__(self, call: Call) -> Iterable[Any]:
        if call.path == TOKEN_PATH:
            return [token("token-1")]
        self.asked += 1
        return self.answer(call.json()["signatureId"], self.asked)


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def server(vendor: Vendor, tls: ssl.SSLContext | None) -> Iterator[Stub]:
    with Stub(vendor, tls) as server:
        yield server


class Rate:
    """What the ledger says when it is asked for the right to one more call."""

    def __init__(self) -> None:
        self.taken = 0
        self.waits_s: Iterator[float] = itertools.repeat(0.0)

    def __call__(self, _: str) -> float:
        self.taken += 1
        return next(self.waits_s)


@pytest.fixture
def rate() -> Rate:
    return Rate()


@pytest.fixture
def client(server: Stub, redis: redis_py.Redis, certificate: Path, rate: Rate) -> Client:
    settings = Settings(
        access_key="access", secret_key="secret", base_url=server.origin, ca_bundle=str(certificate)
    )
    return Client(settings, redis, rate)


def name(answer: object) -> str:
    return type(answer).__name__


#: What may stand behind an answer, and what it would make of the next person.
SURPLUS = {
    "another's answer": result(OTHER),
    "an unknown id": code("SIGNATURE_NOT_EXIST"),
    "a code that quarantines": code("PARAMETER_ERROR"),
    "a success without an id": code("SUCCESS"),
    "a code that nobody knows": code("NEW_CODE"),
}


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
@pytest.mark.parametrize("pause_s", [None, 0.0, 0.05])
def test_bytes_behind_an_answer_decide_nobody(
    client: Client, vendor: Vendor, surplus: bytes, pause_s: float | None
) -> None:
    """In the same record, in the next packet, and after a while."""

    def answer(signature_id: str, number: int) -> Iterator[Any]:
        if number == 1:
            yield from (
                [result(signature_id) + surplus]
                if pause_s is None
                else [
                    result(signature_id),
                    pause_s,
                    surplus,
                ]
            )
        else:
            yield result(signature_id)

    vendor.answer = answer
    assert isinstance(client.get_result("ph", "first"), Settled)
    if pause_s is not None:
        Event().wait(pause_s)
    for number in range(4):
        found = client.get_result("ph", f"next-{number}")
        assert isinstance(found, Settled), found
        assert found.result.signature_id == f"next-{number}"


def test_an_answer_that_names_another_is_asked_for_once_more_and_ends_the_connections(
    client: Client, vendor: Vendor, server: Stub, rate: Rate
) -> None:
    assert isinstance(client.get_result("ph", ID), Settled)
    opened = server.connections
    vendor.answer = lambda signature_id, number: [result(OTHER if number == 2 else signature_id)]
    assert isinstance(client.get_result("ph", ID), Settled)
    assert (vendor.asked, rate.taken, server.connections) == (3, 1, opened + 1)
    assert isinstance(client.get_result("ph", ID), Settled)
    assert server.connections == opened + 2  # neither that which was kept, nor that of the second question
    until(lambda: server.open_connections == 1, "one connection is open")


def test_a_vendor_that_names_another_twice_is_unreadable(client: Client, vendor: Vendor) -> None:
    vendor.answer = lambda *_: [result(OTHER)]
    answer = client.get_result("ph", ID)
    assert isinstance(answer, Unreadable)
    assert answer.cause == "data.signatureId: must be the id that was asked"
    assert vendor.asked == 2


@pytest.mark.parametrize(
    ("answered", "kind"), [("SIGNATURE_NOT_EXIST", UnknownId), ("CLIENT_ERROR", OursToFix)]
)
def test_an_answer_that_names_nobody_counts_over_a_fresh_connection(
    client: Client, vendor: Vendor, rate: Rate, answered: str, kind: type
) -> None:
    vendor.answer = lambda *_: [code(answered)]
    assert isinstance(client.get_result("ph", ID), kind)
    assert (vendor.asked, rate.taken) == (1, 0)  # the first connection was fresh
    assert isinstance(client.get_result("ph", ID), kind)
    assert (vendor.asked, rate.taken) == (3, 1)


def test_what_a_fresh_connection_says_counts(client: Client, vendor: Vendor, server: Stub) -> None:
    assert isinstance(client.get_result("ph", ID), Settled)
    opened = server.connections
    vendor.answer = lambda signature_id, number: (
        [code("SIGNATURE_NOT_EXIST")]
        if number == 2
        else [result(signature_id, None, submissionCompleted=True)]
    )
    assert isinstance(client.get_result("ph", ID), Pending)
    assert isinstance(client.get_result("ph", ID), Pending)
    assert server.connections == opened + 2  # the answers differ, so that none of the others is used again


def test_an_answer_that_names_the_id_and_cannot_be_read_is_asked_for_once(
    client: Client, vendor: Vendor, rate: Rate
) -> None:
    assert isinstance(client.get_result("ph", ID), Settled)
    vendor.answer = lambda signature_id, _: [result(signature_id, "NO_SUCH_RESULT")]
    assert isinstance(client.get_result("ph", ID), Unreadable)
    assert (vendor.asked, rate.taken) == (2, 0)


def test_two_answers_packed_as_one_approve_nobody(client: Client, vendor: Vendor) -> None:
    """Unpacked to its first member alone, it would be a PASS."""

    def packed(signature_id: str) -> bytes:
        both = (result(signature_id, overall).partition(b"\r\n\r\n")[2] for overall in ("PASS", "FAIL"))
        return http(b"".join(gzip.compress(body) for body in both), Content_Encoding="gzip")

    vendor.answer = lambda signature_id, _: [packed(signature_id)]
    assert not isinstance(client.get_result("ph", ID), Settled)


def test_a_second_question_waits_for_the_regions_rate(client: Client, vendor: Vendor, rate: Rate) -> None:
    assert isinstance(client.get_result("ph", ID), Settled)
    vendor.answer = lambda *_: [code("SIGNATURE_NOT_EXIST")]
    rate.waits_s = iter([0.1, 0.0])
    begun = time.monotonic()
    assert isinstance(client.get_result("ph", ID), UnknownId)
    assert time.monotonic() - begun >= 0.1
    rate.waits_s = itertools.repeat(3600.0)
    assert client.get_result("ph", ID) == TransientFault("NOT_CONFIRMED", transaction_id="d3fde1547eeaf226")
    assert vendor.asked == 4


def test_tokens_are_asked_for_on_fresh_connections(client: Client, server: Stub) -> None:
    """A token names nobody, and is asked for where nothing can be behind another answer."""
    for _ in range(3):
        assert client.probe("ph").refusal is None
    assert server.connections == 3
    until(lambda: server.open_connections == 0, "all connections are closed")
    assert name(client.get_result("ph", ID)) == "Settled"
