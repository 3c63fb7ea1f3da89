"""Deliveries by webhook with real workers, Valkey and receivers over sockets."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.ports import free_port
from tests.support.receiver import Answer, Received, receiving
from tests.support.waiting import until
from worker.decisions.table import PACKAGED
from worker.ledger.models import Stage
from worker.ledger.webhooks import Shelf, State, Webhooks
from worker.runtime.delivery_runner import CALLS
from worker.signatures import Verifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet, Process
    from tests.support.receiver import Receiver
    from worker.ledger.webhooks import EndpointState

pytestmark = pytest.mark.timeout(300)

KEY: Final = b"k" * 32


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def configure(fleet: Fleet, deliveries: dict[str, list[str]], **origins: str) -> None:
    """Give the fleet a table with these deliveries, and endpoints at these origins."""
    lines = [f"{name} = {json.dumps(kinds)}" for name, kinds in deliveries.items()]
    table = fleet.folder / "table.toml"
    table.write_text(PACKAGED.read_text() + "\n[deliveries]\n" + "\n".join(lines) + "\n")
    secret = fleet.folder / "secret"
    secret.write_text("whsec_" + base64.b64encode(KEY).decode())
    endpoints = fleet.folder / "endpoints.toml"
    allowed = [origin for origin in origins.values() if origin.startswith("http:")]
    endpoints.write_text(
        f"origins = {json.dumps(allowed)}\n"
        + "".join(
            f'[endpoints.{name}]\nurl = "{origin}/hook"\nsecrets = [{{ file = "{secret}" }}]\n'
            for name, origin in origins.items()
        )
    )
    fleet.environment |= {"EKYC_DECISIONS_FILE": str(table), "EKYC_ENDPOINTS_FILE": str(endpoints)}


def enqueue(fleet: Fleet, *signature_ids: str) -> None:
    for start in range(0, len(signature_ids), 500):
        fleet.ledger().enqueue([EnqueueRequest(each, "ph") for each in signature_ids[start : start + 500]])


def state(fleet: Fleet, name: str) -> EndpointState:
    with fleet.redis() as redis:
        return next(each for each in Webhooks(redis).endpoints("ph", [name]) if each.name == name)


def status(fleet: Fleet, signature_id: str) -> dict[str, Any]:
    shown = fleet.run("worker.cli", "status", signature_id, "--region", "ph", "--json")
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def stage(fleet: Fleet, signature_id: str) -> Stage | None:
    found = fleet.ledger().status("ph", signature_id)
    return found.verification.stage if found else None


def kill(process: Process) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_decision_goes_to_the_queue_and_to_endpoints(fleet: Fleet, receiver: Receiver) -> None:
    with receiving() as bank:
        configure(
            fleet,
            {"approve": ["celery", "webhook:shop", "webhook:bank"], "recapture": ["webhook:shop"]},
            shop=receiver.origin,
            bank=bank.origin,
        )
        fleet.worker()
        enqueue(fleet, "pass-1", "CARD_NOT_FOUND-2", "ID_FORGERY_DETECTED-3")
        fleet.await_done(3)
        assert len(receiver.received) == 2
        (at_bank,) = bank.received
    assert sorted(each["decision"]["signature_id"] for each in fleet.delivered()) == [
        "ID_FORGERY_DETECTED-3",
        "pass-1",
    ]
    bodies = {json.loads(each.body)["signature_id"]: each for each in receiver.received}
    assert bodies.keys() == {"pass-1", "CARD_NOT_FOUND-2"}
    for each in (*receiver.received, at_bank):
        assert Verifier(secrets=[KEY]).verify(each.headers, each.body) == each.id
    body = json.loads(bodies["CARD_NOT_FOUND-2"].body)
    assert (body["type"], body["decision"], body["error_code"]) == (
        "verification.decided",
        "recapture",
        "CARD_NOT_FOUND",
    )
    assert at_bank.id != bodies["pass-1"].id
    assert fleet.stats().counts("ph").decisions == {"approve": 1, "recapture": 1, "reject": 1}
    events = {event["event"] for event in status(fleet, "CARD_NOT_FOUND-2")["timeline"]}
    assert "acknowledged" in events
    assert "delivered" not in events


def test_a_killed_worker_sends_again_the_same_bytes_under_the_same_id(fleet: Fleet) -> None:
    hold = threading.Event()

    def answer(request: Received) -> Answer:
        del request
        return Answer(wait=hold) if not hold.is_set() else Answer()

    with receiving(answer) as receiver:
        configure(fleet, {"approve": ["webhook:shop"]}, shop=receiver.origin)
        first = fleet.worker("w1")
        enqueue(fleet, "pass-1")
        until(lambda: receiver.received, "the delivery arrives")
        assert status(fleet, "pass-1")["stage"] == "delivering"
        kill(first)
        hold.set()
        fleet.worker("w2")
        fleet.await_done(1)
        one, two = receiver.received
    assert (one.id, one.body) == (two.id, two.body)
    assert fleet.stats().counts("ph").decisions == {"approve": 1}


def test_an_acknowledged_delivery_is_sent_once_whatever_dies(fleet: Fleet, receiver: Receiver) -> None:
    configure(fleet, {"approve": ["celery", "webhook:shop"]}, shop=receiver.origin)
    first = fleet.worker("w1")
    fleet.worker("w2")
    enqueue(fleet, *(f"pass-{number}" for number in range(300)))
    until(lambda: len(receiver.received) > 50, "deliveries arrive")
    kill(first)
    fleet.await_done(300)
    bodies: dict[str, set[bytes]] = {}
    for each in receiver.received:
        bodies.setdefault(each.id, set()).add(each.body)
    assert len(bodies) == 300
    assert all(len(each) == 1 for each in bodies.values())
    # Only what the killed worker had not recorded came twice.
    assert len(receiver.received) - 300 <= 128


def test_a_receiver_that_dies_and_returns_misses_nothing(fleet: Fleet) -> None:
    port = free_port()
    configure(fleet, {"approve": ["celery", "webhook:shop"]}, shop=f"http://127.0.0.1:{port}")
    fleet.worker()
    enqueue(fleet, *(f"pass-{number}" for number in range(20)))
    fleet.await_delivered(20)
    until(lambda: state(fleet, "shop").held_until_ms, "the endpoint counts as down")
    waiting = status(fleet, "pass-1")
    assert waiting["stage"] == "delivering"
    (pending,) = waiting["deliveries"]
    assert (pending["endpoint"], pending["state"]) == ("shop", "waiting")
    assert fleet.stats().counts("ph").delivering == 20
    with receiving(port=port) as receiver:
        fleet.await_done(20)
        assert len(set(receiver.ids)) == 20


def test_an_endpoint_that_is_gone_is_paused_and_can_be_resumed(fleet: Fleet) -> None:
    with receiving(lambda _: Answer(410)) as receiver:
        configure(fleet, {"approve": ["webhook:shop"]}, shop=receiver.origin)
        fleet.worker()
        enqueue(fleet, "pass-1")
        until(lambda: state(fleet, "shop").is_paused, "the endpoint is paused")
        assert state(fleet, "shop").paused_why == "GONE"
        # In every region, though only one has sent something.
        with fleet.redis() as redis:
            assert all(each.is_paused for each in Webhooks(redis).endpoints("sg"))
        enqueue(fleet, "pass-2")
        until(lambda: stage(fleet, "pass-2") is Stage.DELIVERING, "the second is decided")
        assert len(receiver.received) == 1
        receiver.answer = lambda _: Answer()
        with fleet.redis() as redis:
            assert Webhooks(redis).resume("ph", "shop", who="ann")
        fleet.await_done(2)
        assert len(set(receiver.ids)) == 2
    assert "endpoint_paused" in fleet.log("w1")


def test_retry_after_is_obeyed_for_the_endpoint(fleet: Fleet) -> None:
    times: list[float] = []

    def answer(_: Received) -> Answer:
        times.append(time.monotonic())
        return Answer(429, {"Retry-After": "3"}) if len(times) == 1 else Answer()

    with receiving(answer) as receiver:
        configure(fleet, {"approve": ["webhook:shop"]}, shop=receiver.origin)
        fleet.worker()
        enqueue(fleet, "pass-1")
        # A slow test may look when the hold is over.
        until(lambda: state(fleet, "shop").held_until_ms or len(times) > 1, "the endpoint is held")
        enqueue(fleet, "pass-2", "pass-3")
        fleet.await_done(3)
    assert times[1] - times[0] >= 2.9


def test_a_name_with_a_private_address_is_not_dialled(fleet: Fleet, receiver: Receiver) -> None:
    configure(fleet, {"approve": ["webhook:shop"]}, shop=f"https://localhost:{receiver.port}")
    fleet.worker()
    enqueue(fleet, "pass-1")
    until(lambda: state(fleet, "shop").failures_in_a_row, "the delivery fails")
    (pending,) = status(fleet, "pass-1")["deliveries"]
    assert pending["fault"] == "ADDRESS_NOT_PUBLIC"
    assert not receiver.received


@pytest.mark.parametrize(
    ("origin", "deliveries", "said"),
    [
        ("http://10.0.0.1", "webhook:shop", None),
        ("https://10.0.0.1", "webhook:shop", "endpoint shop: url has a private address"),
        ("https://user:hidden@shop.example", "webhook:shop", "endpoint shop: url is not usable"),
        ("https://shop.example", "webhook:bank", "goes to the endpoint bank, which does not exist"),
    ],
)
def test_a_worker_does_not_start_with_a_fault_in_its_endpoints(
    fleet: Fleet, origin: str, deliveries: str, said: str | None
) -> None:
    configure(fleet, {"approve": [deliveries]}, shop=origin)
    doctor = fleet.run("worker.cli", "doctor", "--json")
    found = [each["said"] for each in json.loads(doctor.stdout)["checks"] if each["level"] == "error"]
    if said is None:
        assert not [each for each in found if "endpoint" in each]
        return
    assert any(said in each for each in found)
    ended = fleet.run("celery", "-A", "worker", "worker")
    assert ended.returncode == 2
    line = next(line for line in ended.stderr.splitlines() if line.startswith("ekyc:"))
    assert said in line
    assert "hidden" not in ended.stderr + doctor.stdout


def _pace(fleet: Fleet, receiver: Receiver, prefix: str, number: int = 200) -> float:
    """Seconds until that many decisions have reached the queue and the endpoint `shop`."""
    before = len(receiver.received)
    began_at = time.monotonic()
    enqueue(fleet, *(f"pass-{prefix}{each}" for each in range(number)))
    until(lambda: len(receiver.received) >= before + number, "the decisions arrive")
    took_s = time.monotonic() - began_at
    until(lambda: len(fleet_decided(fleet, prefix)) == number, "they are done")
    return took_s


def fleet_decided(fleet: Fleet, prefix: str) -> list[str]:
    with fleet.redis() as redis:
        waiting = redis.zrange("ekyc:{ph}:delivering", 0, -1)
        return [
            key.decode()
            for key in redis.scan_iter(match=f"ekyc:{{ph}}:v:pass-{prefix}*", count=1000)
            if key.rpartition(b":")[2] not in waiting
        ]


def test_an_endpoint_that_hangs_holds_back_nothing_else(fleet: Fleet, receiver: Receiver) -> None:
    """A thousand deliveries to an endpoint that never answers; another endpoint and the queue go on as before."""
    with ExitStack() as opened:
        dead = opened.enter_context(receiving(lambda _: Answer(wait=threading.Event())))
        configure(
            fleet,
            {"approve": ["celery", "webhook:shop"], "recapture": ["webhook:dead"]},
            shop=receiver.origin,
            dead=dead.origin,
        )
        fleet.worker()
        _pace(fleet, receiver, "warm")
        alone_s = _pace(fleet, receiver, "alone")
        enqueue(fleet, *(f"CARD_NOT_FOUND-{number}" for number in range(1000)))
        until(lambda: state(fleet, "dead").waiting >= 1000, "the others are decided")
        until(lambda: dead.open > 0, "the endpoint hangs")
        beside_s = _pace(fleet, receiver, "beside")
        print(f"200 decisions: {alone_s:.2f} s alone, {beside_s:.2f} s beside an endpoint that hangs")  # noqa: T201
        assert state(fleet, "dead").waiting == 1000
        # More may be claimed, and are given back: a message on the queue holds no place yet.
        assert dead.most <= CALLS
        # A noisy machine: a bound ten times off.
        assert beside_s < 10 * max(alone_s, 0.5)
        (found,) = [each for each in [state(fleet, "shop")] if each.waiting == 0]
        assert found.failures_in_a_row == 0
        until(lambda: state(fleet, "dead").held_until_ms, "silence of 15 s counts as a failure")
        with fleet.redis() as redis:
            webhooks = Webhooks(redis)
            waiting = webhooks.read("ph", webhooks.ids(Shelf("ph", "dead", State.WAITING), count=2000))
        assert len(waiting) == 1000
        assert {each.fault for each in waiting} == {None, "TIMEOUT"}
        # Most have not been tried: their tries are not used up on an endpoint that is down.
        assert sum(each.tries for each in waiting) < 200


def test_what_an_endpoint_did_not_take_is_recovered(fleet: Fleet) -> None:
    def answer(request: Received) -> Answer:
        return Answer(500 if json.loads(request.body)["signature_id"] == "pass-bad" else 204)

    with receiving(answer) as receiver:
        configure(fleet, {"approve": ["webhook:shop"]}, shop=receiver.origin)
        fleet.worker()
        enqueue(fleet, "pass-bad")
        until(lambda: state(fleet, "shop").failures_in_a_row, "the delivery fails")
        enqueue(fleet, "pass-good")
        fleet.await_done(1)
        with fleet.redis() as redis:
            webhooks = Webhooks(redis)
            (bad,) = webhooks.ids(Shelf("ph", "shop", State.WAITING))
            # As if it had failed nine times in three days.
            redis.hset(f"ekyc:{{ph}}:webhook:{bad}", "tries", "9")
            redis.zadd("ekyc:{ph}:due:webhook:shop", {bad: 0})
            until(lambda: state(fleet, "shop").failed == 1, "the delivery is given up")
        assert status(fleet, "pass-bad")["stage"] == "delivering"
        assert "webhook_given_up" in fleet.log("w1")
        receiver.answer = lambda _: Answer()
        options = ("--endpoint", "shop", "--since", "1h")
        asked = fleet.run("worker.cli", "deliveries", "recover", *options)
        assert asked.returncode == 2
        assert "1 delivery that shop did not take" in asked.stderr
        done = fleet.run("worker.cli", "deliveries", "recover", *options, "--yes", "--json")
        assert json.loads(done.stdout) == {"resent": 1, "not_resent": 0}
        fleet.await_done(2)
        sent = [each for each in receiver.received if each.id == bad]
    assert len({each.body for each in sent}) == 1


def test_a_quarantine_is_an_event(fleet: Fleet, receiver: Receiver) -> None:
    configure(fleet, {"approve": ["celery"]}, shop=receiver.origin)
    path = fleet.folder / "endpoints.toml"
    path.write_text(path.read_text() + 'events = ["verification.quarantined"]\n')
    fleet.worker()
    enqueue(fleet, "wrongid-always-1")
    until(lambda: receiver.received, "the event arrives")
    (got,) = receiver.received
    body = json.loads(got.body)
    assert (body["type"], body["signature_id"]) == ("verification.quarantined", "wrongid-always-1")
    assert Verifier(secrets=[KEY]).verify(got.headers, got.body) == got.id
