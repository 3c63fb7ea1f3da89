"""`ekyc audit`, and what the commands and the HTTP API add to the audit log."""

from __future__ import annotations

import csv
import io
import json
import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.web_process import web_process
from worker.ledger import Ledger, transitions
from worker.ledger.audit import AuditLog, Via
from worker.ledger.webhooks import NewDelivery, Webhooks, delivery_id

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc


def test_the_commands_record_what_they_do(ekyc: Ekyc, redis: Redis, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest(name, "ph") for name in ("a", "b")])
    (batch,) = ledger.claim("ph", limit=64).batches
    ledger.record(batch, [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)])
    delivery = NewDelivery(delivery_id("shop", "one"), "shop", "region.held", "{}")
    Webhooks(redis).add("ph", "one", [delivery])
    for line in (
        "quarantine retry a --who maria",
        "quarantine drop b --why ticket-7 --yes --who maria",
        "hold ph --for 60 --why vendor-asked --who maria",
        "resume ph --who maria",
        "deliveries pause shop --why moves --who juan",
        "deliveries resume shop --who juan",
        f"deliveries resend {delivery.id} --yes --who juan",
    ):
        ended = ekyc(*line.split(), *(["--yes"] if line.startswith("quarantine retry") else []))
        assert ended.code == 0, (line, ended.err)
    ended = ekyc("audit", "--json")
    entries = json.loads(ended.out)["entries"][::-1]
    # Entries of two regions have no order within a millisecond.
    by_region = {
        region: [(one["act"], one["who"], one["subject"]) for one in entries if one["region"] == region]
        for region in ("ph", "sg")
    }
    assert by_region == {
        "ph": [
            ("quarantine_retry", "maria", "a"),
            ("quarantine_drop", "maria", "b"),
            ("region_hold", "maria", ""),
            ("region_resume", "maria", ""),
            ("endpoint_pause", "juan", "shop"),
            ("endpoint_resume", "juan", "shop"),
            ("delivery_resend", "juan", "one"),
        ],
        "sg": [("endpoint_pause", "juan", "shop"), ("endpoint_resume", "juan", "shop")],
    }
    assert len(entries) == sum(map(len, by_region.values()))
    assert {one["via"] for one in entries} == {"cli"}


def test_it_shows_filters_and_exports(ekyc: Ekyc, redis: Redis) -> None:
    log = AuditLog(redis)
    log.record("nudge", who="maria", via=Via.CONSOLE, region="ph", subject="-1", detail="=2\u202e")
    # Entries of two streams have no order within a millisecond.
    time.sleep(0.002)
    log.record("log_in", who="juan", via=Via.CONSOLE)
    shown = ekyc("audit").out.splitlines()
    assert [line.split(" ", 1)[1] for line in shown] == [
        "log_in by juan (console)",
        "nudge ph/-1 by maria (console): =2\ufffd",
    ]
    assert ekyc("audit", "--who", "nobody").out == "no act matches\n"
    assert len(ekyc("audit", "--limit", "1").out.splitlines()) == 1
    (row,) = csv.DictReader(io.StringIO(ekyc("audit", "--csv", "--region", "ph", "--since", "1h").out))
    assert (row["subject"], row["detail"]) == ("'-1", "'=2\ufffd")
    assert json.loads(ekyc("audit", "--json", "--since", "2999-01-01").out) == {"entries": []}


def test_several_acts_are_shown_together(ekyc: Ekyc, redis: Redis) -> None:
    log = AuditLog(redis)
    for act in ("evidence_view", "nudge", "evidence_show", "evidence_export"):
        log.record(act, who="maria", via=Via.CONSOLE, region="ph", subject="a")
    looks = [text for act in ("evidence_view", "evidence_show", "evidence_export") for text in ("--act", act)]
    for extra, acts in (
        ([], ["evidence_export", "evidence_show", "evidence_view"]),
        (["--limit", "1"], ["evidence_export"]),
    ):
        entries = json.loads(ekyc("audit", *looks, "--since", "7d", *extra, "--json").out)["entries"]
        assert [one["act"] for one in entries] == acts
    (line,) = ekyc("audit", "--act", "nudge").out.splitlines()
    assert "nudge ph/a by maria" in line


@pytest.mark.parametrize(
    "options",
    [["--csv", "--json"], ["--act", "burn"], ["--via", "fax"], ["--since", "soon"], ["--who", "\x1b"]],
)
def test_it_refuses_options_that_are_none(ekyc: Ekyc, options: list[str]) -> None:
    ended = ekyc("audit", *options)
    assert ended.code == 2
    assert len(ended.err_lines) == 1


def test_the_http_api_records_the_token(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    delivery = NewDelivery(delivery_id("shop", "one"), "shop", "region.held", "{}")
    Webhooks(redis).add("ph", "one", [delivery])
    with web_process(tmp_path, redis_url, ADVANCE_REGIONS="ph") as web:
        assert web.send("POST", f"/v1/deliveries/{delivery.id}/resend").status == 202
        assert web.send("POST", "/v1/endpoints/shop/pause", json.dumps({"why": "moves"})).status == 200
        assert web.send("POST", "/v1/endpoints/shop/resume").status == 200
        assert len(web.lines("operator_act")) == 3
    assert [(one.act, one.who, one.via, one.subject) for one in AuditLog(redis).entries()][::-1] == [
        ("delivery_resend", "token all", "api", "one"),
        ("endpoint_pause", "token all", "api", "shop"),
        ("endpoint_resume", "token all", "api", "shop"),
    ]
