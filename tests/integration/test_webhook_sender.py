"""One try of a delivery, to real receivers over sockets."""

from __future__ import annotations

import base64
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.drive_ledger import decision_text
from tests.support.ports import free_port
from tests.support.receiver import Answer, Received, Receiver, receiving
from worker.decisions import webhooks
from worker.decisions.endpoints import Endpoint, Secret
from worker.decisions.webhooks import MAX_ANSWER, Sender
from worker.errors import EvidenceKeyUnknown
from worker.http_client.adapter import SUSPECT_AFTER_S
from worker.ledger.webhooks import Delivery, Kind, Outcome, State
from worker.policy import webhooks as policy
from worker.signatures import Verifier
from worker.time_budget import FIRST_BYTE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = b"k" * 32


def endpoint(receiver: Receiver, **given: object) -> Endpoint:
    fields: dict[str, object] = {
        "url": f"{receiver.origin}/hook?t=1",
        "secrets": (Secret(KEY),),
        "is_trusted": True,
    }
    return Endpoint("shop", **fields | given)  # type: ignore[arg-type]


def delivery(body: str = '{"a":"ü"}', tries: int = 0) -> Delivery:
    return Delivery("1d", "ph", "shop", "one", "verification.decided", body, State.WAITING, 0, tries)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def send() -> Iterator[Callable[..., Outcome]]:
    senders: list[Sender] = []

    def sent(to: Endpoint, what: Delivery | None = None, keys: tuple[Ed25519PrivateKey, ...] = ()) -> Outcome:
        senders.append(Sender({to.name: to}, keys, is_genuine=lambda _: True))
        return senders[-1].send(what or delivery())

    yield sent
    for each in senders:
        each.close()


def test_the_request_is_signed_with_every_usable_secret_and_key(
    receiver: Receiver, send: Callable[..., Outcome]
) -> None:
    old = Secret(b"o" * 32, datetime.now(UTC) + timedelta(hours=1))
    ended = Secret(b"e" * 32, datetime.now(UTC) - timedelta(seconds=1))
    key = Ed25519PrivateKey.generate()
    to = endpoint(receiver, secrets=(Secret(KEY), old, ended))
    assert send(to, keys=(key,)) == Outcome("1d", Kind.ACKNOWLEDGED, answer="HTTP_204")
    (got,) = receiver.received
    assert got.body == '{"a":"ü"}'.encode()
    assert got.path == "/hook?t=1"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["webhook-signature"].count("v1,") == 2
    for verifier in (
        Verifier(secrets=[KEY]),
        Verifier(secrets=[old.value]),
        Verifier(public_keys=[key.public_key()]),
    ):
        assert verifier.verify(got.headers, got.body) == "1d"


def test_the_reference_library_verifies_it(receiver: Receiver, send: Callable[..., Outcome]) -> None:
    standard = pytest.importorskip("standardwebhooks.webhooks")
    send(endpoint(receiver))
    (got,) = receiver.received
    read = standard.Webhook(base64.b64encode(KEY).decode()).verify(got.body, got.headers)
    assert read == {"a": "ü"}


def answering(status: int, **headers: str) -> Callable[[Received], Answer]:
    return lambda _: Answer(status, headers)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_success_acknowledges(receiver: Receiver, send: Callable[..., Outcome], status: int) -> None:
    receiver.answer = answering(status)
    assert send(endpoint(receiver)).kind is Kind.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("status", "fault", "slow", "gone"),
    [
        (400, "HTTP_400", False, False),
        (404, "HTTP_404", False, False),
        (410, "HTTP_410", False, True),
        (429, "HTTP_429", True, False),
        (500, "HTTP_500", False, False),
        (502, "HTTP_502", True, False),
        (504, "HTTP_504", True, False),
    ],
)
def test_a_failure_says_what_it_is(
    receiver: Receiver, send: Callable[..., Outcome], *, status: int, fault: str, slow: bool, gone: bool
) -> None:
    receiver.answer = answering(status)
    outcome = send(endpoint(receiver))
    assert (outcome.kind, outcome.fault, outcome.slow, outcome.gone) == (Kind.FAILED, fault, slow, gone)
    assert 8.5 <= outcome.in_s <= 10.0
    assert outcome.hold_s == 0


def test_a_redirect_is_a_failure_and_is_not_followed(
    receiver: Receiver, send: Callable[..., Outcome]
) -> None:
    with receiving() as other:
        receiver.answer = answering(307, Location=f"{other.origin}/elsewhere")
        assert send(endpoint(receiver)).fault == "REDIRECT"
        assert not other.received


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "least", "most"), [("120", 120, 120), ("999999", 3600, 3600), ("-1", 0, 0)]
)
def test_retry_after_is_obeyed_within_bounds(
    receiver: Receiver, send: Callable[..., Outcome], *, status: int, header: str, least: float, most: float
) -> None:
    receiver.answer = lambda _: Answer(status, {"Retry-After": header})
    outcome = send(endpoint(receiver))
    assert least <= outcome.hold_s <= most
    assert outcome.in_s >= outcome.hold_s


def test_silence_ends_after_the_time_of_a_try(
    receiver: Receiver, send: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "WEBHOOK_S", 0.3)
    receiver.answer = lambda _: Answer(wait=threading.Event())
    began_at = time.monotonic()
    assert send(endpoint(receiver)).fault == "TIMEOUT"
    assert 0.25 < time.monotonic() - began_at < 10.0


@pytest.mark.parametrize("size", [MAX_ANSWER + 1, 50_000_000])
def test_an_answer_that_is_too_large_still_acknowledges(
    receiver: Receiver, send: Callable[..., Outcome], size: int
) -> None:
    receiver.answer = lambda _: Answer(200, body=b"x" * size)
    assert send(endpoint(receiver)).kind is Kind.ACKNOWLEDGED


def test_a_body_that_never_ends_still_acknowledges(
    receiver: Receiver, send: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Enough for the head of the answer on a busy machine.
    monkeypatch.setattr(webhooks, "WEBHOOK_S", 1.0)
    receiver.answer = lambda _: Answer(200, {"X": "1"}, body=_Endless(b""))
    assert send(endpoint(receiver)).kind is Kind.ACKNOWLEDGED


class _Endless(bytes):
    """Claims to have more bytes than it has."""

    def __len__(self) -> int:
        return 100


def test_an_endpoint_that_is_not_there_is_a_fault(send: Callable[..., Outcome]) -> None:
    to = Endpoint("shop", f"http://127.0.0.1:{free_port()}/", (Secret(KEY),), is_trusted=True)
    assert send(to).fault == "REFUSED"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_private_address_is_refused_at_the_dial(
    receiver: Receiver, send: Callable[..., Outcome], host: str
) -> None:
    """A name that resolves to a private address, too."""
    to = endpoint(receiver, url=f"http://{host}:{receiver.port}/", is_trusted=False)
    assert send(to).fault == "ADDRESS_NOT_PUBLIC"
    assert not receiver.received


def test_no_secret_left_is_a_fault(receiver: Receiver, send: Callable[..., Outcome]) -> None:
    ended = Secret(KEY, datetime.now(UTC) - timedelta(seconds=1))
    assert send(endpoint(receiver, secrets=(ended,))).fault == "NO_SECRET"
    assert not receiver.received


def test_what_goes_to_an_unknown_endpoint_is_left_to_others(receiver: Receiver) -> None:
    del receiver
    outcome = Sender({}, is_genuine=lambda _: True).send(delivery())
    assert (outcome.kind, outcome.in_s) == (Kind.BACK, policy.UNKNOWN_S)


def test_what_cannot_be_compared_waits_and_says_why(receiver: Receiver) -> None:
    def is_genuine(_: Delivery) -> bool:
        raise EvidenceKeyUnknown("under the key odd")

    sender = Sender({"shop": endpoint(receiver)}, is_genuine=is_genuine)
    outcome = sender.send(delivery())
    sender.close()
    assert (outcome.kind, outcome.fault) == (Kind.BACK, "EVIDENCE_KEY_UNKNOWN")
    assert not receiver.received


def test_a_body_is_thin() -> None:
    text = decision_text("one", context={"user": 42})
    shop = Endpoint("shop", "https://shop.example/", (Secret(KEY),))
    bank = Endpoint("bank", "https://bank.example/", (Secret(KEY),), context=True)
    thin, full = webhooks.of_decision(text, ("shop", "bank"), {"shop": shop, "bank": bank})
    decision = json.loads(text)
    names = ("id", "signature_id", "region", "decision", "error_code", "reason", "decided_at", "table")
    wanted = {"type": "verification.decided"} | {name: decision[name] for name in names}
    assert json.loads(thin.body) == wanted
    assert json.loads(full.body) == wanted | {"context": {"user": 42}}
    assert thin.id != full.id
    assert webhooks.of_decision(text, ("shop",), {"shop": shop}) == (thin,)


def test_a_slow_receiver_gets_a_delivery_once_over_a_connection_that_was_idle(receiver: Receiver) -> None:
    """Requests to the vendor are sent again after 3 s without a byte: they change nothing."""
    sender = Sender({"shop": endpoint(receiver)}, is_genuine=lambda _: True)
    assert sender.send(delivery()).kind is Kind.ACKNOWLEDGED
    time.sleep(SUSPECT_AFTER_S + 0.2)
    ready = threading.Event()
    receiver.answer = lambda _: Answer(wait=ready)
    threading.Timer(FIRST_BYTE_S + 1.0, ready.set).start()
    assert sender.send(delivery()).kind is Kind.ACKNOWLEDGED
    sender.close()
    assert len(receiver.received) == 2
