"""Asking the vendor to delete its data: what counts as deleted, and what has to be asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.faults import Faults, Mode
from sandbox.server import Sandbox
from tests.support.vendor_stub import HANG_UP, Call, Stub, envelope, http, token
from worker.advance.answers import (
    AccountFault,
    Busy,
    Settled,
    TransientFault,
    Unauthorised,
    UnknownId,
)
from worker.advance.answers.values import Cleared, NotCleared
from worker.advance.client import Client
from worker.advance.regions import CLEAR_PATH, TOKEN_PATH
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis


def client_of(redis: Redis, origin: str) -> Client:
    return Client(
        Settings(access_key="sampleaccesskey", secret_key="samplesecretkey", base_url=origin),
        redis,
    )


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def test_the_sandbox_deletes_what_has_ended_once(sandbox: Sandbox, redis: Redis) -> None:
    client = client_of(redis, sandbox.url)
    unknown = client.clear_data("ph", "pass-n2-1")
    assert isinstance(unknown, NotCleared)
    assert unknown.code == "PARAMETER_ERROR"
    client.get_result("ph", "pass-n2-1")
    unfinished = client.clear_data("ph", "pass-n2-1")
    assert isinstance(unfinished, NotCleared)
    client.get_result("ph", "pass-n2-1")
    assert isinstance(client.get_result("ph", "pass-n2-1"), Settled)
    done = client.clear_data("ph", "pass-n2-1")
    assert isinstance(done, Cleared)
    assert done.transaction_id
    assert isinstance(client.get_result("ph", "pass-n2-1"), UnknownId)
    assert isinstance(client.clear_data("ph", "pass-n2-1"), NotCleared)
    assert sandbox.verifications()["pass-n2-1"]["cleared"] is True
    assert sandbox.stats()["clear_answers"] == {"PARAMETER_ERROR": 3, "SUCCESS": 1}


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        (Mode.REFUSE, TransientFault),
        (Mode.GARBAGE, TransientFault),
        (Mode.BUSY, Busy),
        (Mode.DISABLED, AccountFault),
        (Mode.REJECT_TOKENS, (TransientFault, Unauthorised)),
    ],
)
def test_a_fault_of_the_vendor_deletes_nothing(sandbox: Sandbox, redis: Redis, mode: Mode, kind: Any) -> None:
    client = client_of(redis, sandbox.url)
    assert isinstance(client.get_result("ph", "pass-1"), Settled)
    sandbox.set_faults(Faults(mode, 1.0))
    assert isinstance(client.clear_data("ph", "pass-1"), kind)
    sandbox.set_faults(Faults())
    assert sandbox.verifications()["pass-1"]["cleared"] is False


class Vendor:
    """Grants `token-1`, `token-2`, …, and answers each request to delete with what is next in `answers`."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.granted = 0

    def __call__(self, call: Call) -> Iterable[Any]:
        if call.path == TOKEN_PATH:
            self.granted += 1
            return [token(f"token-{self.granted}")]
        return [self.answers.pop(0)]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (http(envelope("SUCCESS")), Cleared),
        (http(envelope("PARAMETER_ERROR")), NotCleared),
        (http(envelope("SIGNATURE_NOT_EXIST")), NotCleared),
        (http(envelope("REQUEST_IN_PROCESSING")), TransientFault),
        (http(envelope("ERROR")), TransientFault),
        (http(envelope("CLIENT_ERROR")), TransientFault),
        (http(envelope("SOMETHING_NEW")), TransientFault),
        (http(envelope("SUCCESS"), status=202), TransientFault),
        (http(b"<html>"), TransientFault),
        (http(b""), TransientFault),
    ],
)
def test_only_the_documented_codes_say_that_it_is_over(redis: Redis, sent: bytes, expected: type) -> None:
    with Stub(Vendor(sent)) as server:
        answer = client_of(redis, server.origin).clear_data("ph", "a_b-1")
        call = server.calls[-1]
    assert type(answer) is expected
    url = urlsplit(call.path)
    assert (call.method, url.path, parse_qs(url.query)) == ("POST", CLEAR_PATH, {"signatureId": ["a_b-1"]})
    assert (call.body, call.headers["x-access-token"]) == (b"", "token-1")


def test_a_refused_token_is_renewed_once(redis: Redis) -> None:
    vendor = Vendor(http(envelope("IAM_FAILED")), http(envelope("SUCCESS")))
    with Stub(vendor) as server:
        assert isinstance(client_of(redis, server.origin).clear_data("ph", "a"), Cleared)
        assert server.calls[-1].headers["x-access-token"] == "token-2"
    vendor = Vendor(http(envelope("IAM_FAILED")), http(envelope("IAM_FAILED")))
    with Stub(vendor) as server:
        assert isinstance(client_of(redis, server.origin).clear_data("ph", "a"), Unauthorised)


def test_an_answer_that_was_on_the_connection_before_does_not_count(redis: Redis) -> None:
    """Surplus bytes after a response become the answer to the next request on that connection."""
    surplus = http(envelope("ERROR")) + http(envelope("SUCCESS"))
    with Stub(Vendor(surplus, http(envelope("ERROR")))) as server:
        client = client_of(redis, server.origin)
        assert isinstance(client.clear_data("ph", "a"), TransientFault)
        assert isinstance(client.clear_data("ph", "b"), TransientFault)


def test_each_request_has_a_connection_of_its_own(redis: Redis) -> None:
    with Stub(Vendor(http(envelope("SUCCESS")), http(envelope("SUCCESS")))) as server:
        client = client_of(redis, server.origin)
        assert isinstance(client.clear_data("ph", "a"), Cleared)
        assert isinstance(client.clear_data("ph", "b"), Cleared)
        # Of the token, and of each request.
        assert server.connections == 3


def test_a_vendor_that_hangs_up_is_a_fault(redis: Redis) -> None:
    def reply(call: Call) -> Iterable[Any]:
        return [token("token-1")] if call.path == TOKEN_PATH else [HANG_UP]

    with Stub(reply) as server:
        assert isinstance(client_of(redis, server.origin).clear_data("ph", "a"), TransientFault)
