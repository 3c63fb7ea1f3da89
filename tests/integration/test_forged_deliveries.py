"""What a client that can write to Redis plants is not delivered: by webhook, again, or unnoticed by the feed."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from click.testing import CliRunner
from redis import Redis

from schemas.decision import decision_id
from tests.support.receiver import receiving
from tests.support.redis_attacker import DECIDED, TARGET, Attacker
from worker import signatures
from worker.cli.redeliver import redeliver
from worker.client import enqueue, verify
from worker.decisions.table import PACKAGED
from worker.errors import SignatureRefused
from worker.ledger.decision_feed import Cursor, DecisionFeed
from worker.ledger.fields import Field
from worker.ledger.scripts import prefix
from worker.ledger.webhooks import State, Webhooks, delivery_id
from worker.signatures import Verifier
from worker.testing import LocalFleet
from worker.web.api.decision_signature import signature_headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.receiver import Receiver

SECRET: Final = b"k" * 32
GENUINE: Final = "pass-1"

KEY: Final = signatures.new_private_key()
PUBLIC: Final = signatures.format_public_key(KEY.public_key())

SHOUTED: Final = {"TYPE": "verification.decided", "DECISION": "approve", "ERROR_CODE": "SUCCESS"}
QUARANTINED_EVENT: Final = {
    "type": "verification.quarantined",
    "id": "e",
    "at": "2026-01-01T00:00:00.000Z",
    "region": "ph",
    "signature_id": TARGET,
    "decision_id": decision_id("ph", TARGET),
    "reason": "NO_ANSWER",
}


@contextmanager
def opened(settings: Mapping[str, object]) -> Iterator[tuple[LocalFleet, Attacker]]:
    with LocalFleet(settings=settings) as fleet, Redis.from_url(fleet.redis_url) as redis:
        yield fleet, Attacker(redis, fleet.redis_url)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def settings(receiver: Receiver, tmp_path: Path) -> dict[str, object]:
    """Of a fleet that signs, and sends approvals and rejections to the receiver, too."""
    secret = tmp_path / "secret"
    secret.write_text("whsec_" + base64.b64encode(SECRET).decode())
    table, endpoints = tmp_path / "table.toml", tmp_path / "endpoints.toml"
    kinds = json.dumps(["celery", "webhook:shop"])
    table.write_text(f"{PACKAGED.read_text()}\n[deliveries]\napprove = {kinds}\nreject = {kinds}\n")
    endpoints.write_text(
        f"origins = [{json.dumps(receiver.origin)}]\n"
        f'[endpoints.shop]\nurl = "{receiver.origin}/hook"\nsecrets = [{{ file = "{secret}" }}]\n'
    )
    return {
        "EKYC_DECISIONS_FILE": table,
        "EKYC_ENDPOINTS_FILE": endpoints,
        "EKYC_SIGNING_KEY": signatures.format_private_key(KEY),
    }


def plant(attacker: Attacker, body: str, kind: str = "verification.decided", **fields: str) -> str:
    """A delivery as `add_deliveries` of ``lua/common.lua`` makes one."""
    id_ = fields.pop("id", delivery_id("shop", decision_id("ph", TARGET)))
    base = prefix("ph")
    attacker.redis.delete(f"{base}webhook:{id_}")
    given: dict[Any, Any] = {
        "endpoint": "shop",
        "about": TARGET,
        "type": kind,
        "body": body,
        "state": "waiting",
        "at": "1",
    }
    attacker.redis.hset(f"{base}webhook:{id_}", mapping=given | fields)
    attacker.redis.sadd(f"{base}endpoints", "shop")
    attacker.redis.zadd(f"{base}due:webhook:shop", {id_: 1})
    return id_


def approval(kind: str = "verification.decided") -> dict[str, Any]:
    thin = {"type": kind, "id": decision_id("ph", TARGET), "signature_id": TARGET, "region": "ph"}
    rest = {"error_code": "SUCCESS", "reason": None, "decided_at": "2026-01-01T00:00:00.000Z", "table": "x"}
    return thin | {"decision": "approve"} | rest


def packed(body: Mapping[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))


def stored(attacker: Attacker, id_: str) -> dict[str, str]:
    found: Any = attacker.redis.hgetall(f"{prefix('ph')}webhook:{id_}")
    return {name.decode(): value.decode() for name, value in found.items()}


def test_a_planted_webhook_is_neither_signed_nor_sent(
    settings: dict[str, object], receiver: Receiver
) -> None:
    with opened(settings) as (fleet, attacker):
        for name in (GENUINE, TARGET):
            enqueue(name, "ph")
        fleet.drain()
        fleet.drain()
        assert {json.loads(each.body)["decision"] for each in receiver.received} == {"approve", "reject"}
        for each in receiver.received:
            assert Verifier(secrets=[SECRET]).verify(each.headers, each.body) == each.id
        genuine = stored(attacker, delivery_id("shop", decision_id("ph", GENUINE)))
        count = len(receiver.received)
        seal = genuine["seal"]
        # What is no event, or only looks like one.
        doubled = '{"type":"verification.decided",' + packed(approval("endpoint.test"))[1:]
        attacks = [
            {"body": packed(approval())},
            {"body": packed(approval()), "seal": seal},
            {"body": genuine["body"], "seal": seal},
            {"body": genuine["body"].replace(GENUINE, TARGET), "seal": seal},
            {"body": packed(approval()), "kind": "endpoint.test"},
            {"body": packed(approval("endpoint.test")), "kind": "endpoint.test"},
            {"body": doubled, "kind": "endpoint.test"},
            {"body": "[" * 100_000, "kind": "endpoint.test"},
            {"body": "no json", "kind": "verification.released"},
            # Go and .NET ignore case in names, and take the last of several.
            {"body": packed(QUARANTINED_EVENT | SHOUTED), "kind": "verification.quarantined"},
            {"body": packed(QUARANTINED_EVENT | {"Decision": "approve"}), "kind": "verification.quarantined"},
            {"body": packed(QUARANTINED_EVENT | {"reason": SHOUTED}), "kind": "verification.quarantined"},
            {
                "body": packed(QUARANTINED_EVENT | {"type": "verification.approved"}),
                "kind": "verification.approved",
            },
        ]
        for attack in attacks:
            id_ = plant(attacker, **attack)
            fleet.drain()
            assert (stored(attacker, id_)["state"], stored(attacker, id_)["fault"]) == ("failed", "FORGED")
        # Moved to another id: a receiver that remembers ids would take it for another decision.
        plant(attacker, genuine["body"], id="0" * 8, seal=seal, about=GENUINE)
        fleet.drain()
        assert len(receiver.received) == count
        # An endpoint has nothing to do with it: it is neither slowed nor paused.
        (endpoint,) = Webhooks(attacker.redis).endpoints("ph", ["shop"])
        assert not endpoint.is_paused
        assert endpoint.failures_in_a_row == 0


def test_webhooks_of_an_older_release_are_sent_and_its_events(
    settings: dict[str, object], receiver: Receiver
) -> None:
    """They have no MAC: the decision that the ledger has confirms them, and it has one, or the stored answer does."""
    with opened(settings) as (fleet, attacker):
        enqueue(TARGET, "ph")
        fleet.drain()
        fleet.drain()
        body = receiver.received[0].body.decode()
        for seals in ((), (Field.OUTCOME_SEAL, Field.DECISION_SEAL)):
            attacker.write(dict.fromkeys(seals, ""))
            id_ = plant(attacker, body)
            fleet.drain()
            assert stored(attacker, id_)["state"] == State.ACKNOWLEDGED
        plant(attacker, packed({"type": "endpoint.test", "id": "t", "at": "now"}), "endpoint.test", id="t")
        fleet.drain()
        assert [json.loads(each.body)["type"] for each in receiver.received[-3:]] == [
            "verification.decided",
            "verification.decided",
            "endpoint.test",
        ]


def test_redelivery_refuses_what_no_worker_made() -> None:
    with opened({"EKYC_SIGNING_KEY": signatures.format_private_key(KEY)}) as (fleet, attacker):
        for name in (GENUINE, TARGET, "CARD_NOT_FOUND-3"):
            enqueue(name, "ph")
        fleet.drain()
        text = attacker.fields(GENUINE)[Field.DECISION].replace(GENUINE, TARGET)
        genuine = attacker.fields(GENUINE)
        attacker.write({field: genuine.get(field, "") for field in DECIDED} | {Field.DECISION: text})
        # One of an older release: its stored answer confirms it.
        attacker.write({Field.DECISION_SEAL: ""}, "CARD_NOT_FOUND-3")
        done = CliRunner().invoke(redeliver, ["--since", "1h", "--yes", "--json", "--who", "test"])
        counts = json.loads(done.stdout)
        assert counts == {"redelivered": 2, "not_delivered": 0, "forged": 1, "unknown": 0}
        assert done.exit_code == 1
        assert sorted(each.name for each in fleet.drain()) == ["approve", "recapture"]


def test_the_signature_of_the_feed_shows_what_the_fleet_decided() -> None:
    """`web` serves what Redis has, and a receiver that verifies notices what was planted."""
    with opened({"EKYC_SIGNING_KEY": signatures.format_private_key(KEY)}) as (fleet, attacker):
        for name in (GENUINE, TARGET):
            enqueue(name, "ph", context={"n": 1.5, "text": "José"})
        fleet.drain()
        feed = DecisionFeed(attacker.redis, ("ph", "sg"))

        def read() -> list[tuple[dict[str, Any], Mapping[str, str] | None]]:
            page = feed.read(Cursor())
            return [
                (json.loads(text), signature_headers(text, signature))
                for text, signature in zip(page.decisions, page.signatures, strict=True)
            ]

        for decision, headers in read():
            task = f"onboarding.{decision['decision']}"
            assert verify(headers, decision, keys=PUBLIC, name=task) == decision["id"]

        genuine = attacker.fields(GENUINE)
        text = genuine[Field.DECISION].replace(GENUINE, TARGET)
        attacker.write({field: genuine.get(field, "") for field in DECIDED} | {Field.DECISION: text})
        refused = 0
        for decision, headers in read():
            try:
                verify(headers, decision, keys=PUBLIC, name=f"onboarding.{decision['decision']}")
            except SignatureRefused:
                assert decision["signature_id"] == TARGET
                refused += 1
        assert refused == 1


def test_a_contradiction_cannot_be_hidden_by_a_planted_decision() -> None:
    """While a decision is there, the reason of an answer is not recorded."""
    with opened({}) as (fleet, attacker):
        enqueue("pass-idvfail-1", "ph")
        attacker.write({Field.DECISION: "{}", Field.DECISION_NAME: "approve"}, "pass-idvfail-1")
        assert fleet.drain() == []
        found = attacker.fields("pass-idvfail-1")
        assert (found[Field.OVERALL_RESULT], found[Field.ERROR_CODE]) == ("PASS", "SUCCESS")
        assert Field.REASON not in found
        attacker.write(dict.fromkeys(DECIDED, ""), "pass-idvfail-1")
        attacker.make_due("routing", "pass-idvfail-1")
        assert fleet.drain() == []
        assert [each.reason for each in fleet.quarantined()] == ["OUTCOME_FORGED"]


def test_what_an_older_release_settled_at_a_deadline_is_polled_again() -> None:
    """There is no answer that could confirm it, and nothing in it could approve."""
    with opened({"EKYC_POLL_DEADLINE": 600}) as (fleet, attacker):
        enqueue("forever-1", "ph")
        fleet.drain(for_s=300)
        attacker.write({Field.REASON: "DEADLINE_PASSED"}, "forever-1")
        attacker.make_due("routing", "forever-1")
        (decision,) = fleet.drain(for_s=3600)
        assert (decision.name, decision.decision["reason"]) == ("review", "DEADLINE_PASSED")
        assert attacker.fields("forever-1")[Field.OUTCOME_SEAL]


def test_a_late_pass_does_not_become_a_second_decision() -> None:
    """It was decided at its deadline. What the vendor said later is true, sealed, and no decision."""
    with opened({"EKYC_POLL_DEADLINE": 600}) as (fleet, attacker):
        enqueue("pass-t700s-1", "ph")
        (first,) = fleet.drain()
        assert (first.name, first.decision["reason"]) == ("review", "DEADLINE_PASSED")
        found = attacker.fields("pass-t700s-1")
        assert (found[Field.OVERALL_RESULT], found[Field.STAGE]) == ("PASS", "done")
        attacker.write(dict.fromkeys((*DECIDED, Field.REASON), ""), "pass-t700s-1")
        attacker.make_due("routing", "pass-t700s-1")
        (again,) = fleet.drain()
        assert (again.name, again.id) == ("review", first.id)
        assert again.decision["decided_at"] == first.decision["decided_at"]
