"""`ekyc deliveries`: what a person sees of deliveries by webhook, and does about them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from schemas.decision import decision_id
from tests.support.drive_ledger import to_routing
from worker.ledger import Ledger, transitions
from worker.ledger.models import Stage
from worker.ledger.webhooks import DECIDED, Down, Kind, NewDelivery, Outcome, Wanted, Webhooks, delivery_id

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc


@pytest.fixture
def webhooks(redis: Redis) -> Webhooks:
    return Webhooks(redis)


@pytest.fixture
def ekyc(ekyc: Ekyc, tmp_path: Path) -> Ekyc:
    path = tmp_path / "endpoints.toml"
    # No secret is read: the command sends nothing.
    path.write_text(
        '[endpoints.shop]\nurl = "https://shop.example/"\nsecrets = [{ file = "/nowhere/secret" }]\n'
    )
    return ekyc.with_env(EKYC_ENDPOINTS_FILE=str(path), LOGNAME="maria")


def decided(ledger: Ledger, signature_id: str, *, endpoint: str = "shop", region: str = "ph") -> str:
    batch, one = to_routing(ledger, signature_id, region)
    new = NewDelivery(
        delivery_id(endpoint, decision_id(region, signature_id)), endpoint, DECIDED, '{"type":"t","id":"1"}'
    )
    ledger.record(batch, [transitions.decide(one, name="approve", decision="{}", deliveries=(new,))])
    ledger.record(batch, [transitions.delivered(one, name="approve")])
    return new.id


def tried(webhooks: Webhooks, region: str = "ph", **given: Any) -> None:
    (batch,) = webhooks.claim(region, [Wanted("shop", 10)]).batches
    webhooks.record(batch, [Outcome(each.id, **given) for each in webhooks.load(batch)])


def exhausted(webhooks: Webhooks) -> None:
    """All that is due fails ten times, while the endpoint takes something else."""
    for number in range(10):
        if number == 9:
            # As if it had acknowledged another delivery just now.
            webhooks._redis.hset("ekyc:{ph}:endpoint:shop", "success", webhooks.now_ms("ph") + 10)
        tried(webhooks, kind=Kind.FAILED, fault="HTTP_500", down=Down(after=100))


def listed(ekyc: Ekyc, *options: str) -> dict[str, Any]:
    ended = ekyc("deliveries", "list", "--json", *options)
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_list_shows_endpoints_and_what_waits(ekyc: Ekyc, ledger: Ledger, webhooks: Webhooks) -> None:
    first = decided(ledger, "one")
    tried(webhooks, kind=Kind.FAILED, fault="HTTP_500", in_s=60.0)
    found = listed(ekyc, "--region", "ph")
    (shop,) = found["endpoints"]
    assert (shop["name"], shop["region"], shop["waiting"], shop["failures"]) == ("shop", "ph", 1, 1)
    assert shop["strain"] == 0.1
    (one,) = found["deliveries"]
    assert (one["id"], one["signature_id"], one["state"], one["tries"], one["fault"]) == (
        first,
        "one",
        "waiting",
        1,
        "HTTP_500",
    )
    text = ekyc("deliveries", "list").out
    assert "failing for" in text
    assert "(10% of the way to its pause)" in text
    assert first in text


def test_list_says_for_how_long_nothing_is_sent(ekyc: Ekyc, ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "one")
    tried(webhooks, kind=Kind.FAILED, fault="HTTP_503", hold_s=600.0)
    held = r"failing for [\d.]+ s \(10% of the way to its pause\); nothing is sent for (?:10 min 0|9 min \d+) s, "
    text = ekyc("deliveries", "list", "--region", "ph").out
    assert re.search(held + r"or until `ekyc deliveries resume shop`$", text, re.MULTILINE), text
    assert listed(ekyc, "--region", "ph")["endpoints"][0]["held_until"]

    assert ekyc("deliveries", "resume", "shop").code == 0
    assert "nothing is sent" not in ekyc("deliveries", "list", "--region", "ph").out
    assert listed(ekyc, "--region", "ph")["endpoints"][0]["held_until"] is None


def test_list_without_an_endpoint_says_so(ekyc: Ekyc, redis: Redis) -> None:
    del redis
    assert "there is no endpoint" in ekyc.with_env(EKYC_ENDPOINTS_FILE="")("deliveries", "list").out


def test_list_shows_what_waits_for_an_endpoint_that_the_file_no_longer_has(
    ekyc: Ekyc, ledger: Ledger
) -> None:
    decided(ledger, "one", endpoint="old")
    names = {each["name"]: each["waiting"] for each in listed(ekyc, "--region", "ph")["endpoints"]}
    assert names == {"shop": 0, "old": 1}


def test_show_tells_all_of_one_delivery(ekyc: Ekyc, ledger: Ledger) -> None:
    one = decided(ledger, "one")
    shown = ekyc("deliveries", "show", one)
    assert shown.code == 0
    assert "shop: verification.decided, waiting" in shown.out
    assert "0 of 10" in shown.out
    assert ekyc("deliveries", "show", one, "--body").out == '{"type":"t","id":"1"}\n'
    assert json.loads(ekyc("deliveries", "show", one, "--json").out)["body"] == {"type": "t", "id": "1"}
    unknown = ekyc("deliveries", "show", "nothing")
    assert unknown.code == 1
    assert "does not know this delivery" in unknown.err


def test_a_failed_delivery_is_listed_and_resent(ekyc: Ekyc, ledger: Ledger, webhooks: Webhooks) -> None:
    one = decided(ledger, "one")
    exhausted(webhooks)
    (failed,) = listed(ekyc, "--state", "failed")["deliveries"]
    assert (failed["id"], failed["tries"]) == (one, 10)
    status = ekyc("status", "one", "--region", "ph").out
    assert "decided, and waits for endpoints to acknowledge its decision" in status
    assert f"given up: run `ekyc deliveries resend {one}`" in status

    asked = ekyc("deliveries", "resend", one)
    assert asked.code == 2
    assert "1 delivery given by id (ph 1); stdin is not a terminal: pass --yes" in asked.err
    resent = ekyc("deliveries", "resend", one, "--yes", "--json")
    assert (resent.code, json.loads(resent.out)) == (0, {"resent": 1, "not_resent": 0})
    tried(webhooks, kind=Kind.ACKNOWLEDGED)
    done = ledger.status("ph", "one")
    assert done
    assert done.verification.stage is Stage.DONE
    assert ("resent", "maria") in [(event.name, event.worker) for event in done.timeline]


def test_recover_counts_first_and_then_resends(ekyc: Ekyc, ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "one")
    exhausted(webhooks)
    decided(ledger, "two")
    tried(webhooks, kind=Kind.ACKNOWLEDGED)
    command = ("deliveries", "recover", "--endpoint", "shop", "--since", "1h")
    assert "1 delivery that shop did not take in the last 1 h 0 min (ph 1)" in ekyc(*command).err
    assert "2 deliveries of shop, acknowledged ones too, in the last" in ekyc(*command, "--acknowledged").err
    assert ekyc(*command, "--yes").out == "resent 1, not resent 0\n"
    assert listed(ekyc, "--state", "failed")["deliveries"] == []
    assert ekyc(*command, "--yes").out.startswith("0 deliveries that shop did not take")
    unknown = ekyc("deliveries", "recover", "--endpoint", "bank", "--since", "1h")
    assert unknown.code == 2
    assert "there is no endpoint bank: known are shop" in unknown.err


def test_what_waits_for_an_endpoint_that_is_gone_is_dropped(
    ekyc: Ekyc, ledger: Ledger, webhooks: Webhooks
) -> None:
    decided(ledger, "one", endpoint="old")
    decided(ledger, "two", endpoint="old", region="sg")
    decided(ledger, "three")
    exhausted(webhooks)  # of the endpoint shop
    kept = decided(ledger, "four")
    ekyc = ekyc.with_env(ADVANCE_REGIONS="ph,sg")
    command = ("deliveries", "drop", "--endpoint", "old", "--why", "the shop has closed")
    asked = ekyc(*command)
    assert asked.code == 2
    assert "2 deliveries that wait for old or have failed (ph 1, sg 1); stdin is not a terminal" in asked.err
    assert webhooks.endpoints("ph", ["old"])[0].waiting == 1

    done = ekyc(*command, "--yes", "--json")
    assert (done.code, json.loads(done.out)) == (0, {"dropped": 2, "not_dropped": 0})
    for region, name in (("ph", "one"), ("sg", "two")):
        status = ledger.status(region, name)
        assert status
        assert status.verification.stage is Stage.DONE
        assert ("delivery_dropped", "old the shop has closed", "maria") in [
            (event.name, event.detail, event.worker) for event in status.timeline
        ]
    acts = json.loads(ekyc("stats", "--json").out)["acts"]
    assert ("drop_deliveries", "old: 1, the shop has closed", "maria") in [
        (act["act"], act["why"], act["who"]) for act in acts
    ]
    assert ekyc(*command, "--yes").out == "0 deliveries that wait for old or have failed\n"
    # Those of the other endpoint are as they were.
    (failed,) = listed(ekyc, "--state", "failed", "--endpoint", "shop")["deliveries"]
    ended = ekyc("deliveries", "drop", failed["id"], "--why", "x", "--yes")
    assert (ended.code, ended.out) == (0, "dropped 1, not dropped 0\n")
    assert [each["id"] for each in listed(ekyc)["deliveries"]] == [kept]
    three = ledger.status("ph", "three")
    assert three
    assert three.verification.stage is Stage.DONE


def test_what_is_in_flight_or_acknowledged_is_not_dropped(
    ekyc: Ekyc, ledger: Ledger, webhooks: Webhooks
) -> None:
    one = decided(ledger, "one")
    tried(webhooks, kind=Kind.ACKNOWLEDGED)
    two = decided(ledger, "two")
    (batch,) = webhooks.claim("ph", [Wanted("shop", 10)]).batches
    ended = ekyc("deliveries", "drop", one, two, "--why", "x", "--yes")
    assert (ended.code, ended.out) == (1, "dropped 0, not dropped 2\n")
    webhooks.record(batch, [Outcome(each.id, Kind.ACKNOWLEDGED) for each in webhooks.load(batch)])
    status = ledger.status("ph", "two")
    assert status
    assert status.verification.stage is Stage.DONE
    assert ekyc("deliveries", "drop", "--why", "x").code == 2
    assert ekyc("deliveries", "drop", one, "--endpoint", "shop", "--why", "x").code == 2


def test_pause_and_resume_are_for_every_region(ekyc: Ekyc, ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "one")
    ekyc = ekyc.with_env(ADVANCE_REGIONS="ph,sg")
    assert ekyc("deliveries", "pause", "shop", "--why", "maintenance").out == "shop is paused\n"
    assert ekyc("deliveries", "pause", "shop", "--why", "again").out == "shop was paused already\n"
    assert all(webhooks.endpoints(region)[0].is_paused for region in ("ph", "sg"))
    text = ekyc("deliveries", "list").out
    assert "paused by maria: maintenance; run `ekyc deliveries resume shop`" in text
    acts = json.loads(ekyc("stats", "--json").out)["acts"]
    assert ("pause_endpoint", "shop: maintenance", "maria") in [
        (act["act"], act["why"], act["who"]) for act in acts
    ]
    assert ekyc("deliveries", "resume", "shop").out == "shop is resumed: 1 deliveries are due\n"
    assert (
        ekyc("deliveries", "resume", "shop").out
        == "shop is resumed (it was not paused): 1 deliveries are due\n"
    )
    assert ekyc("deliveries", "pause", "bank", "--why", "x").code == 2


def test_a_bad_name_of_an_endpoint_is_refused(ekyc: Ekyc) -> None:
    ended = ekyc("deliveries", "pause", "No Name", "--why", "x")
    assert ended.code == 2
    assert "must be 1 to 48 of" in ended.err
