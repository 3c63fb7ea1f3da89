"""The resources of the HTTP API: a real `web`, a real Valkey, HTTP over sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from schemas.decision import load_decision
from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import decide, decision_text, quarantine
from tests.support.web_process import NOTIFIER, READER, WRITER, Web, secret, web_process
from worker.ledger import Quarantine, Stats, transitions
from worker.ledger.scripts import prefix
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger import Ledger

PH = prefix("ph")


def one(signature_id: Any = "a", region: Any = "ph", **more: Any) -> dict[str, Any]:
    return {"signature_id": signature_id, "region": region, **more}


def several(*items: Any) -> dict[str, Any]:
    return {"verifications": list(items)}


def errors(answer: Any) -> list[tuple[str, str]]:
    assert answer.headers["content-type"] == "application/problem+json"
    return [(error["pointer"], error["detail"]) for error in answer.json.get("errors", [])]


# Enqueueing


def test_one_verification_is_in_the_ledger_with_its_context_when_the_answer_comes(
    web: Web, ledger: Ledger
) -> None:
    answer = web.post("/v1/verifications", one(context={"application": 42}), name=WRITER)
    assert (answer.status, answer.headers["location"]) == (202, "/v1/verifications/ph/a")
    assert answer.json == {"signature_id": "a", "region": "ph", "new": True, "url": "/v1/verifications/ph/a"}
    status = ledger.status("ph", "a")
    assert status is not None
    assert status.verification.context == '{"application":42}'
    again = web.post("/v1/verifications", one(context={"application": 43}), name=WRITER)
    assert (again.status, again.json["new"]) == (200, False)
    status = ledger.status("ph", "a")
    assert status is not None
    assert status.verification.context == '{"application":42}'


def test_a_batch_has_an_answer_for_each_in_its_order(web: Web, redis: Redis) -> None:
    web.post("/v1/verifications", one("b"))
    answer = web.post("/v1/verifications", several(one("a"), one("b"), one("a", "sg"), one("a")))
    assert answer.status == 202
    assert [(each["region"], each["signature_id"], each["new"]) for each in answer.json["verifications"]] == [
        ("ph", "a", True),
        ("ph", "b", False),
        ("sg", "a", True),
        ("ph", "a", False),
    ]
    assert answer.json["new"] == 2
    known = web.post("/v1/verifications", several(one("a"), one("b")))
    assert (known.status, known.json["new"]) == (200, 0)
    assert (Stats(redis).counts("ph").enqueued, Stats(redis).counts("sg").enqueued) == (2, 1)


def test_a_thousand_are_accepted_and_one_more_is_not(web: Web, redis: Redis) -> None:
    items = [one(f"v{number}") for number in range(1001)]
    answer = web.post("/v1/verifications", several(*items))
    assert (answer.status, errors(answer)) == (422, [("/verifications", "must have 1 to 1000 entries")])
    assert Stats(redis).counts("ph").enqueued == 0
    assert web.post("/v1/verifications", several(*items[:1000])).json["new"] == 1000
    assert Stats(redis).counts("ph").enqueued == 1000


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("/signature_id", "Missing data for required field"), ("/region", "Missing data for required field")]),
        (one("a b"), [("/signature_id", "must be 1 to 64 of letters, digits, - and _")]),
        (one(7), [("/signature_id", "must be 1 to 64 of letters, digits, - and _")]),
        (one(None), [("/signature_id", "must be 1 to 64 of letters, digits, - and _")]),
        (one(["a"]), [("/signature_id", "must be 1 to 64 of letters, digits, - and _")]),
        (one(region="xx"), [("/region", "unknown region, use one of sg, ph, th, my, vn, global")]),
        (one(region="PH"), [("/region", "unknown region, use one of sg, ph, th, my, vn, global")]),
        (one(region=" ph"), [("/region", "unknown region, use one of sg, ph, th, my, vn, global")]),
        (one(region=["ph"]), [("/region", "unknown region, use one of sg, ph, th, my, vn, global")]),
        (one(region="vn"), [("/region", "this fleet polls ph, sg only")]),
        (one(more=1), [("/more", "Unknown field")]),
        (one(context="x" * 4097), [("/context", "must be at most 4096 bytes of JSON, is 4099")]),
        (one(context={"__type__": 1}), [("/context", "must not have the key __type__")]),
        ([], [("", "Invalid input type")]),
        (7, [("", "Invalid input type")]),
        (None, [("", "Invalid input type")]),
        ({"verifications": {}}, [("/verifications", "Not a valid list")]),
        ({"verifications": []}, [("/verifications", "must have 1 to 1000 entries")]),
        ({"verifications": [7]}, [("/verifications/0", "Invalid input type")]),
        ({"verifications": [one()], "x": 1}, [("/x", "Unknown field")]),
        (several(one("a"), one("b", "vn"), one("c", "th")), [
            ("/verifications/1/region", "this fleet polls ph, sg only"),
            ("/verifications/2/region", "this fleet polls ph, sg only"),
        ]),
        (several(one("a"), one("!"), {"signature_id": "c"}), [
            ("/verifications/1/signature_id", "must be 1 to 64 of letters, digits, - and _"),
            ("/verifications/2/region", "Missing data for required field"),
        ]),
        ({f"x{number}": 1 for number in range(51)}, [("", "has more than 20 members")]),
    ],
)  # fmt: skip
def test_a_body_with_a_fault_enqueues_nothing_and_says_where_it_is(
    web: Web, redis: Redis, body: Any, expected: list[tuple[str, str]]
) -> None:
    answer = web.send("POST", "/v1/verifications", json.dumps(body))
    assert answer.status == 422
    assert answer.json["type"] == "urn:ekyc:problem:invalid-request"
    assert [(where, detail.partition(": ")[0]) for where, detail in errors(answer)] == expected
    assert Stats(redis).counts("ph").enqueued == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"signature_id": "a", "signature_id": "b", "region": "ph"}',
        b'{"signature_id": "a", "region": "ph", "context": NaN}',
        b'{"signature_id": "a", "region": "ph", "context": ' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"signature_id": "\xff", "region": "ph"}',
        json.dumps(one()).encode("utf-16"),
    ],
)
def test_a_body_that_is_no_acceptable_json_is_one_clear_answer(web: Web, redis: Redis, body: bytes) -> None:
    answer = web.post("/v1/verifications", body)
    assert (answer.status, answer.json["type"]) == (400, "urn:ekyc:problem:not-json")
    assert Stats(redis).counts("ph").enqueued == 0


# Idempotency-Key


def keyed(web: Web, key: str, body: Any, name: str = WRITER) -> Any:
    return web.post("/v1/verifications", body, name=name, Idempotency_Key=key)


def test_a_request_under_its_key_has_the_first_answer_again(web: Web, redis: Redis) -> None:
    body = several(one("a"), one("b"))
    web.post("/v1/verifications", one("a"))
    first = keyed(web, "key-1", body)
    assert (first.status, first.json["new"]) == (202, 1)
    again = keyed(web, "key-1", body)
    assert (again.status, again.raw) == (first.status, first.raw)
    without = web.post("/v1/verifications", body)
    assert (without.status, without.json["new"]) == (200, 0)
    assert Stats(redis).counts("ph").enqueued == 2


def test_a_key_with_another_body_is_refused_and_enqueues_nothing(web: Web, redis: Redis) -> None:
    keyed(web, "key-1", one("a"))
    answer = keyed(web, "key-1", one("b"))
    assert (answer.status, answer.json["type"]) == (422, "urn:ekyc:problem:idempotency-key-reused")
    assert answer.json["errors"] == [
        {"header": "Idempotency-Key", "detail": "belongs to a request with another body"}
    ]
    assert Stats(redis).counts("ph").enqueued == 1
    assert keyed(web, "key-1", one("b"), name="all").status == 202, "another token has keys of its own"


def test_a_key_is_kept_for_a_day_and_a_body_with_a_fault_does_not_use_it(web: Web, redis: Redis) -> None:
    assert keyed(web, "key-1", one("a b")).status == 422
    assert keyed(web, "key-1", one("a")).status == 202
    (key,) = redis.keys("ekyc:api:idempotency:*")
    assert 86_390 < redis.ttl(key) <= 86_400
    assert b"key-1" not in key


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256])
def test_a_malformed_key_is_refused(web: Web, redis: Redis, key: str) -> None:
    answer = keyed(web, key, one("a"))
    assert (answer.status, answer.json["errors"][0]["header"]) == (400, "Idempotency-Key")
    assert Stats(redis).counts("ph").enqueued == 0


# One verification


def test_one_that_waits_says_for_what_and_when_to_ask_again(web: Web, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (loaded,) = ledger.load(batch)
    ledger.record(batch, [transitions.repoll(loaded, Heard("pending", nulls=1), in_s=30)])
    answer = web.get("/v1/verifications/ph/a", name=READER)
    assert answer.status == 200
    assert 25 <= int(answer.headers["retry-after"]) <= 31
    assert (answer.json["stage"], answer.json["polls"], answer.json["decision"]) == ("polling", 1, None)
    assert answer.json["waits_for"]["what"] == "vendor_result"
    assert answer.json["waits_for"]["held_until"] is None
    ledger.hold("ph", for_s=120, reason="VENDOR_BUSY")
    answer = web.get("/v1/verifications/ph/a")
    assert answer.json["waits_for"]["held_until"] is not None
    assert 100 <= int(answer.headers["retry-after"]) <= 121
    ledger.hold("ph", for_s=7200, reason="VENDOR_BUSY")
    assert web.get("/v1/verifications/ph/a").headers["retry-after"] == "600"


def test_one_that_is_done_has_its_decision_and_timeline_and_no_retry_after(web: Web, ledger: Ledger) -> None:
    decide(ledger, "a")
    answer = web.get("/v1/verifications/ph/a")
    assert (answer.status, answer.json["stage"], answer.json["waits_for"]) == (200, "done", None)
    assert "retry-after" not in answer.headers
    assert answer.json["decision"] == json.loads(decision_text("a"))
    assert [event["event"] for event in answer.json["timeline"]] == [
        "settled",
        "archived",
        "decided",
        "delivered",
    ]
    assert "w1" not in answer.raw.decode(), "the names of workers stay inside"


def test_one_that_needs_a_person_says_so_and_not_what_a_person_wrote(
    web: Web, ledger: Ledger, redis: Redis
) -> None:
    quarantine(ledger, "a")
    answer = web.get("/v1/verifications/ph/a")
    assert (answer.json["stage"], answer.json["quarantine_reason"]) == ("quarantined", "UNREADABLE")
    assert (answer.json["waits_for"]["what"], answer.headers["retry-after"]) == ("person", "300")
    Quarantine(redis, who="maria").drop("ph", ["a"], why="called by phone")
    answer = web.get("/v1/verifications/ph/a")
    assert (answer.json["stage"], answer.json["waits_for"]) == ("dropped", None)
    assert "maria" not in answer.raw.decode()
    assert "phone" not in answer.raw.decode()


@pytest.mark.parametrize(
    "path", ["ph/unknown", "xx/a", "ph/a%20b", "PH/a", "ph/" + "x" * 65, "ph/a/", "ph//a", "ph"]
)
def test_what_is_not_there_is_not_found(web: Web, path: str) -> None:
    answer = web.get(f"/v1/verifications/{path}")
    assert (answer.status, answer.json["type"]) == (404, "urn:ekyc:problem:not-found")


def test_an_alias_of_a_region_leads_to_it(web: Web, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("a", "global")])
    assert web.get("/v1/verifications/id/a").json["region"] == "global"


# Nudging, and the vendor's notifications


@pytest.mark.parametrize("way", ["nudge", "notification"])
def test_a_poll_is_brought_forward(web: Web, ledger: Ledger, way: str) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (loaded,) = ledger.load(batch)
    ledger.record(batch, [transitions.repoll(loaded, Heard("pending", nulls=1), in_s=600)])
    assert ledger.claim("ph", limit=1).batches == ()
    if way == "nudge":
        answer = web.post("/v1/verifications/ph/a/nudge", name=WRITER)
        assert (answer.status, answer.json) == (200, {"nudged": True, "stage": "polling"})
    else:
        answer = notified(web, {"signatureId": "a", "type": "COMPLETED"})
        assert (answer.status, answer.json) == (200, {})
    assert [batch.signature_ids for batch in ledger.claim("ph", limit=1).batches] == [("a",)]


def notified(web: Web, body: Any, region: str = "ph", token: str = NOTIFIER) -> Any:
    return web.post(f"/v1/notifications/{region}?secret={secret(token)}", body, name=None)


def test_a_nudge_of_what_does_not_wait_says_so(web: Web, ledger: Ledger) -> None:
    decide(ledger, "a")
    assert web.post("/v1/verifications/ph/a/nudge").json == {"nudged": False, "stage": "done"}
    assert web.post("/v1/verifications/ph/unknown/nudge").status == 404


def test_a_notification_of_an_unknown_id_changes_nothing(web: Web, redis: Redis) -> None:
    before = {key: redis.dump(key) for key in redis.keys(f"{PH}*")}
    for body in (
        {"signatureId": "unknown", "type": "COMPLETED"},
        {"signatureId": "a", "more": [1], "type": None},
    ):
        answer = notified(web, body)
        assert (answer.status, answer.raw) == (200, b"{}")
    assert {key: redis.dump(key) for key in redis.keys(f"{PH}*")} == before


@pytest.mark.parametrize(
    ("kind", "in_s"), [("COMPLETED", 0), ("SOMETHING_NEW", 0), (None, 0), ("SUBMIT_COMPLETED", 2)]
)
def test_a_notification_brings_the_poll_forward(
    web: Web, ledger: Ledger, kind: str | None, in_s: int
) -> None:
    """Once the user is done, the vendor needs a moment."""
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.repoll(one, Heard("pending"), in_s=600)])
    before = ledger.status("ph", "a")
    assert notified(web, {"signatureId": "a", "type": kind}).status == 200
    status = ledger.status("ph", "a")
    assert before is not None
    assert status is not None
    assert status.due_at_ms is not None
    assert before.now_ms <= status.due_at_ms - in_s * 1000 <= status.now_ms


@pytest.mark.parametrize(
    ("body", "status"), [({"signatureId": "a b"}, 422), ({}, 422), ([], 422), ("x", 400), (None, 400)]
)
def test_a_malformed_notification_is_one_clear_answer(web: Web, body: Any, status: int) -> None:
    answer = notified(web, body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("token", [READER, "nobody", ""])
def test_a_notification_with_a_wrong_secret_is_refused(web: Web, token: str) -> None:
    query = f"?secret={secret(token)}" if token else ""
    answer = web.post(f"/v1/notifications/ph{query}", {"signatureId": "a"}, name=None)
    assert answer.status == (403 if token == READER else 401)


# Lists


def listed(web: Web, query: str = "") -> list[str]:
    """The ids of all pages."""
    found, cursor = [], ""
    while True:
        answer = web.get(f"/v1/verifications?{query}{cursor}", name=READER)
        assert answer.status == 200, answer.raw
        found += [each["signature_id"] for each in answer.json["verifications"]]
        if answer.json["next"] is None:
            return found
        cursor = f"&cursor={answer.json['next']}"


def test_a_list_by_each_filter(web: Web, ledger: Ledger, redis: Redis) -> None:
    decide(ledger, "approved")
    decide(ledger, "rejected", name="reject")
    quarantine(ledger, "odd")
    ledger.enqueue(
        [EnqueueRequest("waits", "ph"), EnqueueRequest("other", "sg"), EnqueueRequest("not-polled", "vn")]
    )
    redis.hset(f"{PH}v:approved", "e", 1_700_000_000_000)
    assert sorted(listed(web)) == ["approved", "odd", "other", "rejected", "waits"]
    assert sorted(listed(web, "stage=polling")) == ["other", "waits"]
    assert listed(web, "stage=quarantined") == ["odd"]
    assert listed(web, "reason=UNREADABLE") == ["odd"]
    assert listed(web, "decision=reject") == ["rejected"]
    assert sorted(listed(web, "stage=done&error_code=SUCCESS")) == ["approved", "rejected"]
    assert listed(web, "until=2023-12-01T00:00:00Z") == ["approved"]
    assert listed(web, "since=2023-11-01T00:00:00%2B08:00&until=2023-12-01T00:00:00Z") == ["approved"]
    assert sorted(listed(web, "since=2023-12-01T00:00:00Z")) == ["odd", "other", "rejected", "waits"]
    assert listed(web, "stage=dropped") == []


@pytest.mark.parametrize("query", ["", "stage=polling"])
def test_pages_of_any_size_have_each_verification_once(web: Web, ledger: Ledger, query: str) -> None:
    ids = {f"v{number}" for number in range(250)}
    ledger.enqueue(
        [EnqueueRequest(name, "ph" if number % 2 else "sg") for number, name in enumerate(sorted(ids))]
    )
    ledger.claim("ph", limit=20)
    for limit in (1, 7, 100):
        found = listed(web, f"{query}&limit={limit}")
        assert len(found) == 250, limit
        assert set(found) == ids


def test_a_page_looks_at_a_bounded_number_and_leads_on(web: Web, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph") for number in range(6000)])
    answer = web.get("/v1/verifications?stage=polling&decision=none")
    assert answer.json["verifications"] == []
    assert answer.json["next"] is not None
    assert listed(web, "stage=polling&decision=none") == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("stage=nowhere", "stage"),
        ("limit=1_0", "limit"), ("limit=%2010", "limit"), ("limit=%D9%A5", "limit"), ("limit=5.0", "limit"),
        ("decision=A", "decision"), ("error_code=a-b", "error_code"), ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"), ("since=2026-01-01", "since"),
        ("until=9999-12-31T23:59:59-12:00", "until"),
        ("cursor=x", "cursor"), ("cursor=", "cursor"), ("unknown=1", "unknown"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(web: Web, query: str, parameter: str) -> None:
    answer = web.get(f"/v1/verifications?{query}")
    assert answer.status == 422
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


def test_a_parameter_that_is_given_twice_is_refused(web: Web) -> None:
    answer = web.get("/v1/verifications?limit=1&limit=2")
    assert (answer.status, answer.json["errors"][0]["parameter"]) == (400, "limit")


# Decisions


def test_decisions_come_in_order_with_their_bytes_and_a_cursor_survives_a_restart(
    web: Web, ledger: Ledger, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = web.get("/v1/decisions", name=READER)
    assert (empty.status, empty.json["decisions"], empty.json["more"]) == (200, [], False)
    for name, region in (("a", "ph"), ("b", "sg"), ("c", "ph")):
        decide(ledger, name, region)
    first = web.get(f"/v1/decisions?limit=2&after={empty.json['next']}")
    assert [each["signature_id"] for each in first.json["decisions"]] == ["a", "b"]
    assert first.json["more"]
    assert decision_text("a").encode() in first.raw
    for each in first.json["decisions"]:
        load_decision(each)
    with web_process(tmp_path_factory.mktemp("another"), redis_url) as another:
        rest = another.get(f"/v1/decisions?after={first.json['next']}")
    assert [each["signature_id"] for each in rest.json["decisions"]] == ["c"]
    assert not rest.json["more"]
    assert web.get(f"/v1/decisions?after={rest.json['next']}").json["decisions"] == []


def test_a_cursor_that_is_none_and_one_that_is_too_old_are_different_problems(
    web: Web, ledger: Ledger, redis: Redis
) -> None:
    old = web.get("/v1/decisions").json["next"]
    assert web.get("/v1/decisions?after=nonsense").json["errors"] == [
        {"parameter": "after", "detail": "is not a cursor"}
    ]
    redis.set(f"{PH}feed:gone", 17)
    answer = web.get(f"/v1/decisions?after={old}")
    assert (answer.status, answer.json["type"]) == (410, "urn:ekyc:problem:cursor-expired")


# Reconciliation


def test_each_id_is_exactly_one_of_four_and_the_figures_balance(
    web: Web, ledger: Ledger, redis: Redis
) -> None:
    decide(ledger, "done")
    quarantine(ledger, "odd")
    quarantine(ledger, "given-up")
    Quarantine(redis, who="maria").drop("ph", ["given-up"], why="test")
    ledger.enqueue(
        [EnqueueRequest("waits", "ph"), EnqueueRequest("held", "ph"), EnqueueRequest("elsewhere", "sg")]
    )
    ledger.claim("ph", limit=1)
    ids = ["done", "odd", "given-up", "waits", "held", "elsewhere", "never", "done"]
    answer = web.post("/v1/reconciliations", {"region": "ph", "signature_ids": ids}, name=READER)
    assert answer.status == 200
    found = answer.json
    balance = found.pop("balance")
    assert found == {
        "region": "ph",
        "done": ["done", "given-up"],
        "under_way": ["waits", "held"],
        "quarantined": ["odd"],
        "unknown": ["elsewhere", "never"],
        "dropped": ["given-up"],
        "damaged": [],
    }
    assert balance == {"accepted": 5, "decided": 1, "quarantined": 1, "waiting": 2, "dropped": 1}


def test_ten_thousand_ids_are_looked_up_and_one_more_is_refused(web: Web, ledger: Ledger) -> None:
    ids = [f"v{number:05}{'x' * 58}" for number in range(10_001)]
    ledger.enqueue([EnqueueRequest(name, "ph") for name in ids[:100]])
    answer = web.post("/v1/reconciliations", {"region": "ph", "signature_ids": ids})
    assert (answer.status, errors(answer)) == (422, [("/signature_ids", "must have 0 to 10000 entries")])
    answer = web.post("/v1/reconciliations", {"region": "ph", "signature_ids": ids[:10_000]})
    assert answer.status == 200
    assert (len(answer.json["under_way"]), len(answer.json["unknown"])) == (100, 9900)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"region": "ph"}, "/signature_ids"),
        ({"region": "ph", "signature_ids": "a"}, "/signature_ids"),
        ({"region": "ph", "signature_ids": ["a", "b c"]}, "/signature_ids/1"),
        ({"region": "xx", "signature_ids": []}, "/region"),
        ({"region": "ph", "signature_ids": [], "more": 1}, "/more"),
    ],
)
def test_a_reconciliation_with_a_fault_says_where_it_is(web: Web, body: Any, pointer: str) -> None:
    answer = web.post("/v1/reconciliations", body)
    assert answer.status == 422
    assert [where for where, _ in errors(answer)] == [pointer]
