"""Promises of the vendor's client, against a vendor on the loopback and a real Valkey."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.support.vendor_stub import HANG_UP, Call, Stub, envelope, http, token
from worker.advance import client as client_module
from worker.advance.answers import (
    AccountFault,
    Answer,
    Busy,
    OursToFix,
    Pending,
    Settled,
    TransientFault,
    Unauthorised,
    UnknownCode,
    UnknownId,
    Unreadable,
)
from worker.advance.client import Client
from worker.advance.regions import RESULT_PATH, TOKEN_PATH
from worker.errors import LedgerUnavailable
from worker.http_client.engine import Engine
from worker.ledger.connection import connect
from worker.policy.rules import trip
from worker.settings import Settings
from worker.time_budget import VENDOR_CALL_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import redis as redis_py

pytestmark = pytest.mark.timeout(60)

ID = "f302f5d2454a85c2"
TID = "d3fde1547eeaf226"


def result(signature_id: str = ID, overall_result: str | None = "PASS") -> bytes:
    return http(
        envelope(
            "SUCCESS",
            {
                "signatureId": signature_id,
                "overallResult": overall_result,
                "submissionCompleted": True,
                "errorCode": "SUCCESS" if overall_result else None,
                "docDetail": {"ocrInfo": {"front": {"name": "Juan dela Cruz"}}},
            },
        )
    )


class Vendor:
    """Grants `token-1`, `token-2`, …, takes those in `good`, and answers what it is told to."""

    def __init__(self) -> None:
        self.good = {"token-1", "token-2", "token-3"}
        self.grants: Callable[[], Iterable[Any]] = self._grant
        self.answers: Callable[[str], Iterable[Any]] = lambda signature_id: [result(signature_id)]
        self._numbers = itertools.count(1)

    def __call__(self, call: Call) -> Iterable[Any]:
        if call.path == TOKEN_PATH:
            return self.grants()
        if call.headers.get("x-access-token") not in self.good:
            return [http(envelope("IAM_FAILED"))]
        return self.answers(call.json()["signatureId"])

    def _grant(self) -> Iterable[Any]:
        return [token(f"token-{next(self._numbers)}")]


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def server(vendor: Vendor) -> Iterator[Stub]:
    with Stub(vendor) as server:
        yield server


@pytest.fixture
def client(server: Stub, redis: redis_py.Redis) -> Client:
    return Client(Settings(access_key="access", secret_key="secret", base_url=server.origin), redis)


def test_a_result_is_asked_for_as_the_page_says(client: Client, server: Stub) -> None:
    answer = client.get_result("ph", ID)
    assert isinstance(answer, Settled)
    assert answer.result.signature_id == ID
    assert answer.transaction_id == TID
    assert json.loads(answer.raw)["data"]["signatureId"] == ID
    call = server.calls[-1]
    assert (call.method, call.path) == ("POST", RESULT_PATH)
    assert call.headers["x-access-token"] == "token-1"
    assert call.headers["content-type"] == "application/json"
    assert call.json() == {"signatureId": ID}


WHOLE = result().partition(b"\r\n\r\n")[2]
CHUNKS = http(framed=False, Transfer_Encoding="chunked") + b"%x\r\n%s\r\n" % (len(WHOLE), WHOLE)


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (http(WHOLE, Content_Length=str(len(WHOLE) + 2)), "TRUNCATED"),
        (CHUNKS, "TRUNCATED"),
        (CHUNKS + b"no size\r\n", "NOT_HTTP"),
        (http(gzip.compress(WHOLE)[:-4], Content_Encoding="gzip"), "BODY_UNPACKABLE"),
    ],
)
def test_an_answer_of_one_that_does_not_arrive_whole_says_nothing_against_the_vendor(
    client: Client, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, sent: bytes, cause: str
) -> None:
    vendor.answers = lambda _: [sent, HANG_UP]
    answer = client.get_result("ph", ID)
    assert answer == TransientFault(cause, vendor_answers=True)
    assert trip(answer) is None
    # Nor on a busy worker, whose turn is over when the answer arrives.
    monkeypatch.setattr(Engine, "turn_is_over", True)
    assert client.get_result("ph", ID) == answer
    monkeypatch.undo()
    other = client.get_result("ph", "another")
    assert other == TransientFault(cause)
    assert trip(other)


def test_calls_one_after_another_share_one_connection_and_one_token(client: Client, server: Stub) -> None:
    for number in range(30):
        assert isinstance(client.get_result("ph", f"id-{number}"), Settled)
    assert server.connections == 2  # one of them for the token alone
    assert server.paths().count(TOKEN_PATH) == 1


def test_many_threads_get_each_their_own_answer(client: Client, server: Stub) -> None:
    ids = [f"id-{number}" for number in range(500)]
    with ThreadPoolExecutor(64) as threads:
        answers = list(threads.map(lambda signature_id: client.get_result("ph", signature_id), ids))
    assert [a.result.signature_id for a in answers if isinstance(a, Settled)] == ids
    assert server.paths().count(TOKEN_PATH) == 1


def test_a_token_that_has_ended_is_renewed_and_the_question_asked_again(
    client: Client, vendor: Vendor, server: Stub
) -> None:
    client.get_result("ph", ID)
    vendor.good = {"token-2"}
    assert isinstance(client.get_result("ph", ID), Settled)
    assert server.paths().count(TOKEN_PATH) == 2


def test_a_region_that_is_not_ours_is_told_so_after_one_renewal(
    client: Client, vendor: Vendor, server: Stub
) -> None:
    """The vendor has one code for a token that has ended and for an account that may not."""
    vendor.good = set()
    assert client.get_result("ph", ID) == Unauthorised("IAM_FAILED", transaction_id=TID)
    assert server.paths() == [TOKEN_PATH, RESULT_PATH, TOKEN_PATH, RESULT_PATH]


def test_a_batch_that_is_refused_renews_the_token_once(client: Client, vendor: Vendor, server: Stub) -> None:
    client.get_result("ph", ID)
    vendor.good = {"token-2"}
    with ThreadPoolExecutor(64) as threads:
        answers = list(threads.map(lambda number: client.get_result("ph", f"id-{number}"), range(64)))
    assert all(isinstance(answer, Settled) for answer in answers)
    assert server.paths().count(TOKEN_PATH) == 2


#: What the vendor sends, and what we make of it.
ANSWERS: dict[str, tuple[list[Any], Answer]] = {
    "null": ([result(overall_result=None)], Pending(submission_completed=True, transaction_id=TID)),
    "busy": (
        [http(envelope("SERVICE_BUSY"), Retry_After="10s")],
        Busy(10.0, transaction_id=TID),
    ),
    "429": ([http(b"slow down", 429, Retry_After="7")], Busy(7.0)),
    "account": ([http(envelope("OVER_QUERY_LIMIT"))], AccountFault("OVER_QUERY_LIMIT", transaction_id=TID)),
    "server error": ([http(envelope("ERROR"))], TransientFault("ERROR", transaction_id=TID)),
    "unknown code": ([http(envelope("NEW_CODE"))], UnknownCode("NEW_CODE", transaction_id=TID)),
    "502": ([http(b"<html>", 502)], TransientFault("HTTP_502")),
    "redirect": ([http(b"", 302, Location="/openapi")], TransientFault("HTTP_302")),
    "HTML": ([http(b"<html>")], TransientFault("NOT_JSON")),
    "empty": ([http(b"")], TransientFault("EMPTY_BODY")),
    "half the JSON": ([http(b'{"code": "SUCC')], TransientFault("NOT_JSON")),
    "half the body": ([http(b'{"code"', Content_Length="400"), HANG_UP], TransientFault("TRUNCATED")),
    "hang up": ([HANG_UP], TransientFault("RESET")),
    "no HTTP": ([b"SSH-2.0-x\r\n", HANG_UP], TransientFault("NOT_HTTP")),
    "far too much": (
        [http(b"", Content_Length=str(3 * 1024 * 1024))],
        Unreadable("BODY_TOO_LARGE", b""),
    ),
    "silence": ([60.0], TransientFault("TIMEOUT")),
    "a byte at a time": ([b"HTTP/1.1 200 ", *[b"O", 0.2] * 300], TransientFault("TIMEOUT")),
}


def shorten(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    """Shorten the time of a call that ends by time alone. Any other has its whole time: the machine may be busy."""
    if answer == TransientFault("TIMEOUT"):
        monkeypatch.setattr(client_module, "VENDOR_CALL_S", 1.0)


@pytest.mark.parametrize(("reply", "answer"), ANSWERS.values(), ids=ANSWERS)
def test_whatever_the_vendor_does_is_an_answer(
    client: Client, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, reply: list[Any], answer: Answer
) -> None:
    with monkeypatch.context() as patch:
        shorten(patch, answer)
        vendor.answers = lambda _: reply
        assert client.get_result("ph", ID) == answer
    vendor.answers = lambda signature_id: [result(signature_id)]
    assert isinstance(client.get_result("ph", ID), Settled)


def test_whatever_bytes_the_vendor_sends_are_an_answer(client: Client, vendor: Vendor, server: Stub) -> None:
    lines = st.sampled_from(
        [
            *(b"HTTP/1.1 200 OK", b"HTTP/1.1 401 ", b"HTTP/1.0 503 X", b"HTTP/1.1 100 Continue", b"HTTP/9 x"),
            *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 5, 6", b"Content-Length: x"),
            *(b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Content-Encoding: gzip, deflate"),
            *(b"Set-Cookie: a=b; expires=never", b"Location: http://[", b"Content-Type: x; charset=\xff"),
            *(b"Retry-After: 1", b"5", b"hello", b"0", b"", b'{"code": "SUCCESS"}', b": ", b"\x00"),
        ]
    )

    @given(st.lists(lines | st.binary(max_size=20), max_size=8))
    @settings(max_examples=200, deadline=None)
    def ask(response: list[bytes]) -> None:
        raw = b"\r\n".join(response)
        server.reply = lambda call: vendor.grants() if call.path == TOKEN_PATH else [raw, HANG_UP]
        assert isinstance(client.get_result("ph", ID), get_args(Answer))

    ask()


@pytest.mark.parametrize(
    ("code", "kind"),
    [("SIGNATURE_NOT_EXIST", UnknownId), ("PARAMETER_ERROR", OursToFix), ("SUCCESS", Unreadable)],
)
def test_an_answer_for_a_person_to_look_at_comes_with_its_bytes(
    client: Client, vendor: Vendor, code: str, kind: type[Answer]
) -> None:
    vendor.answers = lambda _: [http(envelope(code))]
    answer = client.get_result("ph", ID)
    assert isinstance(answer, kind)
    assert isinstance(answer, UnknownId | OursToFix | Unreadable)
    assert json.loads(answer.raw)["code"] == code


def test_an_answer_about_another_person_is_unreadable(client: Client, vendor: Vendor) -> None:
    vendor.answers = lambda _: [result("another")]
    answer = client.get_result("ph", ID)
    assert isinstance(answer, Unreadable)
    assert answer.cause == "data.signatureId: must be the id that was asked"


#: How the vendor refuses a token, and what that means for a verification: nothing, and its region rests.
REFUSALS: dict[str, tuple[list[Any], Answer]] = {
    "keys": ([http(envelope("PARAMETER_ERROR"))], AccountFault("TOKEN_PARAMETER_ERROR", transaction_id=TID)),
    "account": ([http(envelope("ACCOUNT_DISABLED"))], AccountFault("ACCOUNT_DISABLED", transaction_id=TID)),
    "busy": ([http(b"", 429, Retry_After="30")], Busy(30.0)),
    "down": ([http(b"", 500)], TransientFault("HTTP_500")),
    "silent": ([60.0], TransientFault("TIMEOUT")),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_why_there_is_no_token_is_an_answer(
    client: Client, vendor: Vendor, server: Stub, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    reply, answer = REFUSALS[case]
    shorten(monkeypatch, answer)
    vendor.grants = lambda: reply
    assert client.get_result("ph", ID) == answer
    assert RESULT_PATH not in server.paths()


def test_all_of_a_call_shares_one_deadline(
    client: Client, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow token, a slow refusal and a slow second token do not add up to more than a lease."""
    monkeypatch.setattr(client_module, "VENDOR_CALL_S", 1.0)
    vendor.grants = lambda: [0.6, token("token-x")]
    vendor.answers = lambda _: [60.0]
    assert client.get_result("ph", ID) == TransientFault("TIMEOUT")


def test_a_call_is_over_long_before_its_lease() -> None:
    assert Settings().lease_s >= 2 * VENDOR_CALL_S


def test_a_vendor_that_is_not_there_is_an_answer(redis: redis_py.Redis, server: Stub) -> None:
    with Stub(lambda _: []) as gone:
        origin = gone.origin
    ours = Settings(access_key="access", secret_key="secret", base_url=origin)
    assert Client(ours, redis).get_result("ph", ID) == TransientFault("REFUSED")


def test_without_redis_the_ledger_is_unavailable(server: Stub) -> None:
    with Stub(lambda _: []) as gone:
        port = gone.port
    ours = Settings(access_key="access", secret_key="secret", base_url=server.origin)
    with connect(f"redis://127.0.0.1:{port}") as nobody, pytest.raises(LedgerUnavailable):
        Client(ours, nobody).get_result("ph", ID)
    assert server.calls == []


def test_nothing_personal_and_no_secret_is_logged(
    client: Client, vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"), capture_logs() as logs:
        client.get_result("ph", ID)
        vendor.answers = lambda _: [result("another")]
        client.get_result("ph", ID)
    said = caplog.text + repr(logs)
    assert "token_issued" in said
    assert all(word not in said for word in ("Juan", "token-1", "secret", "access_key"))


# Probing


def test_a_probe_of_a_vendor_that_is_well(client: Client, vendor: Vendor, redis: redis_py.Redis) -> None:
    vendor.grants = lambda: [
        token("granted").replace(
            b"\r\n", f"\r\nDate: {formatdate(time.time() - 120, usegmt=True)}\r\n".encode(), 1
        )
    ]
    probe = client.probe("ph")
    assert probe.reachable
    assert probe.refusal is None
    assert probe.clock_skew_s == pytest.approx(120, abs=30)
    assert redis.dbsize() == 0


def test_a_probe_of_a_vendor_that_refuses_our_keys(client: Client, vendor: Vendor) -> None:
    vendor.grants = lambda: [http(envelope("PARAMETER_ERROR"))]
    probe = client.probe("ph")
    assert probe.reachable
    assert probe.refusal == AccountFault("TOKEN_PARAMETER_ERROR", transaction_id=TID)
    assert probe.clock_skew_s is None


def test_a_probe_of_a_vendor_that_is_not_there(redis: redis_py.Redis) -> None:
    with Stub(lambda _: []) as gone:
        origin = gone.origin
    probe = Client(Settings(base_url=origin), redis).probe("ph")
    assert not probe.reachable
    assert probe.refusal == TransientFault("REFUSED")
