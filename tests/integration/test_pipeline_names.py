"""The name of a pipeline reaches the ledger from wherever a verification is enqueued, and is shown wherever one is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from schemas.enqueue import EnqueueRequest
from tests.support.web_process import SHOP, WRITER, Web
from worker.client import enqueue
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from tests.support.cli_process import Ekyc
    from worker.ledger import Ledger

FAULT = "must be 1 to 32 of a-z, digits, - and _"


def pipeline_of(ledger: Ledger, signature_id: str, region: str = "ph") -> str | None:
    status = ledger.status(region, signature_id)
    return status.verification.pipeline if status else None


# Python and Celery.


def test_the_client_and_the_task_take_it_and_each_ends_in_a_decision() -> None:
    """The decision does not carry it."""
    app = Celery("pipeline")
    with LocalFleet(settings={"ADVANCE_REGIONS": "ph"}) as fleet:
        enqueue("pass-1", "ph", pipeline="shop")
        enqueue("pass-n2-2", "ph", {"n": 1}, "mill")
        app.send_task(
            "tasks.enqueue", kwargs={"signature_id": "pass-n1-3", "region": "ph", "pipeline": "backfill"}
        )
        app.send_task("tasks.enqueue", args=("CARD_NOT_FOUND-n3-4", "ph", None, "shop"))
        enqueue("pass-5", "ph")
        delivered = fleet.drain()
        assert len(delivered) == 5
        assert not any("pipeline" in each.decision for each in delivered)
        found = {each.signature_id: each for each in delivered}
        names = {one: fleet.status(one, "ph").verification.pipeline for one in found}
        assert names == {
            "pass-1": "shop",
            "pass-n2-2": "mill",
            "pass-n1-3": "backfill",
            "CARD_NOT_FOUND-n3-4": "shop",
            "pass-5": "default",
        }
        assert fleet.counts("ph").pipelines == {"default": 0}


# The command.


def test_the_command_takes_it_for_ids_and_as_a_column(ekyc: Ekyc, ledger: Ledger) -> None:
    assert ekyc("enqueue", "one", "--region", "ph", "--pipeline", "shop").code == 0
    rows = "signature_id;pipeline;region\ntwo;mill;sg\nthree;;\nfour;Mill;\n"
    ended = ekyc("enqueue", "--from", "-", "--region", "ph", "--pipeline", "backfill", stdin=rows.encode())
    assert ended.err_lines == [f"ekyc: line 4: pipeline: {FAULT}"]
    assert [pipeline_of(ledger, "one"), pipeline_of(ledger, "two", "sg")] == ["shop", "mill"]
    assert [pipeline_of(ledger, "three"), pipeline_of(ledger, "four")] == ["backfill", None]


@pytest.mark.parametrize("command", [("enqueue", "one", "--region", "ph"), ("list",)])
def test_a_name_that_cannot_be_one_is_one_line(ekyc: Ekyc, command: tuple[str, ...]) -> None:
    ended = ekyc(*command, "--pipeline", "My Shop")
    assert (ended.code, len(ended.err_lines)) == (2, 1)
    assert FAULT in ended.err


def test_the_command_shows_it(ekyc: Ekyc, ledger: Ledger) -> None:
    ledger.enqueue(
        [
            EnqueueRequest(f"{name}-{number}", "ph", pipeline=name)
            for name in ("shop", "mill")
            for number in (1, 2)
        ]
    )
    ledger.enqueue([EnqueueRequest("plain", "ph")])
    document = json.loads(ekyc("status", "shop-1", "--json").out)
    assert document["pipeline"] == "shop"
    assert "shop\n" in ekyc("status", "shop-1").out
    assert "pipeline" not in ekyc("status", "plain").out
    listed = json.loads(ekyc("list", "--pipeline", "mill", "--stage", "polling", "--json").out)
    assert [(one["signature_id"], one["pipeline"]) for one in listed["verifications"]] == [
        ("mill-1", "mill"),
        ("mill-2", "mill"),
    ]
    figures = json.loads(ekyc("stats", "--json").out)
    assert figures["waiting_by_pipeline"] == {"default": 1, "shop": 2, "mill": 2}
    assert figures["regions"]["sg"]["waiting_by_pipeline"] == {"default": 0}
    assert "waiting of pipeline" in ekyc("stats").out


# The HTTP API.


def one(signature_id: str, **more: Any) -> dict[str, Any]:
    return {"signature_id": signature_id, "region": "ph", **more}


def test_a_request_names_it_and_lists_filter_by_it(web: Web, ledger: Ledger) -> None:
    body = {"verifications": [one("a", pipeline="mill"), one("b"), one("c", pipeline=None)]}
    assert web.post("/v1/verifications", body, name=WRITER).status == 202
    assert [pipeline_of(ledger, name) for name in "abc"] == ["mill", "default", "default"]
    assert web.get("/v1/verifications/ph/a").json["pipeline"] == "mill"
    for stage in ("", "&stage=polling"):
        page = web.get(f"/v1/verifications?pipeline=mill{stage}").json
        assert [(each["signature_id"], each["pipeline"]) for each in page["verifications"]] == [("a", "mill")]


def test_lists_go_on_from_the_set_of_one_pipeline_to_the_next(web: Web, ledger: Ledger) -> None:
    names = ("default", "a" * 32, "b-_")
    ledger.enqueue(
        [EnqueueRequest(f"{name[:2]}-{number}", "ph", pipeline=name) for name in names for number in range(5)]
    )
    found, cursor = [], ""
    while True:
        page = web.get(f"/v1/verifications?stage=polling&limit=2{cursor}").json
        found += [each["signature_id"] for each in page["verifications"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == [f"{name[:2]}-{number}" for name in names for number in range(5)]


@pytest.mark.parametrize("given", ["Shop", "", "x" * 33, 7, ["shop"], {}, True, "a b", "a\n"])
def test_a_name_that_cannot_be_one_is_a_fault_of_the_body(web: Web, ledger: Ledger, given: Any) -> None:
    answer = web.post(
        "/v1/verifications", {"verifications": [one("a"), one("b", pipeline=given)]}, name=WRITER
    )
    assert (answer.status, answer.json["type"]) == (422, "urn:ekyc:problem:invalid-request")
    assert answer.json["errors"] == [{"pointer": "/verifications/1/pipeline", "detail": FAULT}]
    assert pipeline_of(ledger, "a") is None


def test_a_filter_that_cannot_be_a_name_is_a_fault_of_the_query(web: Web) -> None:
    answer = web.get("/v1/verifications?pipeline=My%20Shop")
    assert (answer.status, answer.json["errors"][0]["parameter"]) == (422, "pipeline")


def test_a_token_with_a_pipeline_sets_it(web: Web, ledger: Ledger) -> None:
    assert web.post("/v1/verifications", one("a"), name=SHOP).status == 202
    body = {"verifications": [one("b"), one("c", pipeline="shop"), one("d", pipeline=None)]}
    assert web.post("/v1/verifications", body, name=SHOP).status == 202
    assert {pipeline_of(ledger, name) for name in "abcd"} == {"shop"}


@pytest.mark.parametrize("other", ["mill", "default"])
def test_it_may_name_no_other_one(web: Web, ledger: Ledger, other: str) -> None:
    detail = "the token enqueues for the pipeline shop only"
    answer = web.post("/v1/verifications", one("a", pipeline=other), name=SHOP)
    assert (answer.status, answer.json["type"]) == (403, "urn:ekyc:problem:forbidden")
    assert answer.json["errors"] == [{"pointer": "/pipeline", "detail": detail}]
    body = {"verifications": [one("a"), one("b", pipeline=other), one("c", pipeline=other)]}
    answer = web.post("/v1/verifications", body, name=SHOP)
    assert answer.status == 403
    assert [each["pointer"] for each in answer.json["errors"]] == [
        "/verifications/1/pipeline",
        "/verifications/2/pipeline",
    ]
    assert [pipeline_of(ledger, name) for name in "abc"] == [None] * 3


def test_the_metric_has_a_series_for_each_pipeline_with_something_waiting(web: Web, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph", pipeline="shop") for number in range(3)])
    text = web.get("/metrics", name=None).raw.decode()
    assert 'ekyc_verifications_waiting_by_pipeline{pipeline="shop",region="ph"} 3.0' in text
    assert 'ekyc_verifications_waiting_by_pipeline{pipeline="default",region="ph"} 0.0' in text
    assert 'ekyc_verifications_waiting_by_pipeline{pipeline="shop",region="sg"}' not in text
