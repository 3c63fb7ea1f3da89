"""Events: what an endpoint hears that is no decision, if it asks for it by name."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from schemas.decision import decision_id
from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import quarantine, to_routing
from tests.support.json_schema import check
from worker.decisions import events
from worker.decisions.authenticity import is_event
from worker.decisions.endpoints import EVENTS, Endpoint
from worker.ledger import Ledger, transitions
from worker.ledger.models import EvidenceState, Stage
from worker.ledger.webhooks import Shelf, State, Webhooks
from worker.records.reviews import new_review
from worker.settings import Settings
from worker.web.api.application import make_application
from worker.web.api.token_file import TokenFile

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask
    from redis import Redis

    from tests.support.cli_process import Ekyc

ENDPOINTS = {
    "all": Endpoint("all", "https://all.example/", events=frozenset(EVENTS)),
    "none": Endpoint("none", "https://none.example/"),
}


@pytest.fixture
def webhooks(redis: Redis) -> Webhooks:
    return Webhooks(redis)


@pytest.fixture
def app(redis: Redis) -> Flask:
    return make_application(Settings(regions=("ph",)), redis, TokenFile(None))


@pytest.fixture
def ekyc(ekyc: Ekyc, tmp_path: Path) -> Ekyc:
    path = tmp_path / "endpoints.toml"
    names = ", ".join(f'"{name}"' for name in EVENTS)
    path.write_text(
        f'[endpoints.all]\nurl = "https://all.example/"\nsecrets = [{{ env = "SECRET" }}]\nevents = [{names}]\n'
    )
    return ekyc.with_env(
        EKYC_ENDPOINTS_FILE=str(path),
        SECRET="whsec_" + base64.b64encode(b"k" * 32).decode(),
        LOGNAME="maria",
        EKYC_EVIDENCE_URL=(tmp_path / "evidence").as_uri(),
        ADVANCE_REGIONS="ph",
    )


def waiting(webhooks: Webhooks, endpoint: str = "all") -> list[dict[str, Any]]:
    """The bodies that wait for an endpoint, each by the schema that is published for it."""
    found = webhooks.read("ph", webhooks.ids(Shelf("ph", endpoint, State.WAITING)))
    return [json.loads(each.body) for each in found]


def published(app: Flask, body: dict[str, Any]) -> None:
    """Fails unless the description has a schema of this type that takes the body, and the schema knows each member."""
    description = json.loads(app.test_client().get("/openapi.json").data)
    content = description["webhooks"][body["type"]]["post"]["requestBody"]["content"]["application/json"]
    name = content["schema"]["$ref"].rpartition("/")[2]
    schema = description["components"]["schemas"][name]
    assert body.keys() <= schema["properties"].keys()
    check(body, schema | {"components": description["components"]})


def test_a_quarantine_and_its_event_are_one_step(
    ledger: Ledger, redis: Redis, webhooks: Webhooks, app: Flask
) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    transition = events.of_transition(ENDPOINTS, "ph", transitions.quarantine(one, reason="UNREADABLE"))
    # A batch that lost its lease announces nothing.
    holder = redis.hget("ekyc:{ph}:v:a", "b")
    assert isinstance(holder, bytes)
    redis.hset("ekyc:{ph}:v:a", "b", "another")
    ledger.record(batch, [transition])
    assert waiting(webhooks) == []
    redis.hset("ekyc:{ph}:v:a", "b", holder)
    ledger.record(batch, [transition])
    (body,) = waiting(webhooks)
    assert (body["type"], body["signature_id"], body["reason"]) == (
        "verification.quarantined",
        "a",
        "UNREADABLE",
    )
    assert body["decision_id"] == decision_id("ph", "a")
    assert waiting(webhooks, "none") == []
    published(app, body)
    status = ledger.status("ph", "a")
    assert status
    assert status.verification.deliveries == ()


def test_evidence_that_is_completed_after_the_decision_is_an_event(
    ledger: Ledger, webhooks: Webhooks, app: Flask
) -> None:
    batch, one = to_routing(ledger, "a")
    ledger.record(batch, [transitions.decide(one, name="approve", decision="{}")])
    ledger.record(batch, [transitions.delivered(one, name="approve", then=Stage.ARCHIVING)])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    for state in (EvidenceState.PENDING, EvidenceState.INCOMPLETE):
        assert not events.of_transition(ENDPOINTS, "ph", transitions.archived(one, state)).events
    ledger.record(
        batch, [events.of_transition(ENDPOINTS, "ph", transitions.archived(one, EvidenceState.COMPLETE))]
    )
    (body,) = waiting(webhooks)
    assert (body["type"], body["signature_id"]) == ("evidence.completed", "a")
    published(app, body)


def test_evidence_that_is_complete_before_the_decision_is_no_event(ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    assert not events.of_transition(ENDPOINTS, "ph", transitions.archived(one, EvidenceState.COMPLETE)).events


def test_without_endpoints_a_transition_stays_as_it_is(ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    transition = transitions.quarantine(one, reason="UNREADABLE")
    assert events.of_transition({}, "ph", transition) is transition
    assert "events" not in transition.packed()


def test_what_people_do_is_announced(ekyc: Ekyc, ledger: Ledger, webhooks: Webhooks, app: Flask) -> None:
    quarantine(ledger, "a")
    quarantine(ledger, "b")
    assert ekyc("quarantine", "retry", "a", "--region", "ph", "--yes").code == 0
    assert ekyc("quarantine", "drop", "b", "--region", "ph", "--why", "test", "--yes").code == 0
    assert ekyc("hold", "ph", "--for", "10m", "--why", "test").code == 0
    assert ekyc("resume", "ph").code == 0
    assert ekyc("resume", "ph").code == 0
    assert ekyc("deliveries", "pause", "all", "--why", "test").code == 0
    bodies = waiting(webhooks)
    for body in bodies:
        published(app, body)
    assert sorted((body["type"], body.get("outcome") or body["reason"]) for body in bodies) == [
        ("endpoint.paused", "BY_HAND"),
        ("region.held", "BY_HAND"),
        ("region.resumed", "BY_HAND"),
        ("verification.released", "dropped"),
        ("verification.released", "retried"),
    ]
    assert {body["signature_id"] for body in bodies if "signature_id" in body} == {"a", "b"}


def test_each_event_has_a_constant_and_its_own_id() -> None:
    texts = {name: value for name, value in vars(events).items() if isinstance(value, str)}
    constants = {value for name, value in texts.items() if name.isupper() and "." in value}
    assert constants == {*EVENTS, events.TEST}
    one, two = (events.of_region(ENDPOINTS, events.REGION_HELD, "ph", reason="X")[0] for _ in range(2))
    assert one.id != two.id


def test_the_members_of_events_without_a_mac_are_those_of_the_published_schemas(app: Flask) -> None:
    description: Any = app.test_client().get("/openapi.json").get_json()
    schemas = description["components"]["schemas"]
    published = {}
    for name, hook in description["webhooks"].items():
        reference = hook["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = schemas[reference.rpartition("/")[2]]
        published[name] = frozenset(schema["properties"])
        assert published[name] == frozenset(schema["required"]) | ({"context"} & published[name])
    assert published.pop("verification.decided")
    assert published == dict(events.MEMBERS)


def test_what_is_announced_is_taken_for_an_event_without_a_mac() -> None:
    made = [
        *events.of_verification(ENDPOINTS, events.QUARANTINED, "ph", "a", reason="X"),
        *events.of_verification(ENDPOINTS, events.RELEASED, "ph", "a", outcome="retried"),
        *events.of_verification(ENDPOINTS, events.EVIDENCE_COMPLETED, "ph", "a"),
        *events.of_review(ENDPOINTS, new_review("1", "ph", "a", who="ann", verdict="confirmed", note="")),
        *events.of_hold(ENDPOINTS, "ph", reason="X"),
        *events.of_region(ENDPOINTS, events.REGION_RESUMED, "ph", reason=events.BY_HAND),
        *events.of_pause(ENDPOINTS, "ph", "all")[events.GONE],
        *events.of_region(ENDPOINTS, events.LEDGER_REPLACED, "ph"),
        events.delivery_of_test("all", "t", datetime(2026, 3, 1, tzinfo=UTC)),
    ]
    assert {each.type for each in made} == events.MEMBERS.keys()
    assert all(is_event(each.type, each.body) for each in made)
    wider = [each.body[:-1] + ',"Decision":"approve"}' for each in made]
    assert not any(is_event(each.type, body) for each, body in zip(made, wider, strict=True))
