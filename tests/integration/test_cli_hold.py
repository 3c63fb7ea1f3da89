"""`ekyc hold` and `ekyc resume`: a region rests because a person says so, and everybody can see who and why."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.ports import free_port
from worker.cli.acts import KEPT
from worker.ledger import Ledger, Stats
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from redis import Redis

    from tests.support.cli_process import Ekyc
    from worker.ledger.models import Hold


@pytest.fixture
def ekyc(ekyc: Ekyc) -> Ekyc:
    return ekyc.with_env(LOGNAME="maria")


def holds(redis: Redis, region: str = "ph") -> tuple[Hold, ...]:
    return Stats(redis).counts(region).holds


def left_s(redis: Redis, region: str = "ph") -> float:
    (hold,) = holds(redis, region)
    seconds, micros = redis.time()
    return hold.until_ms / 1000 - seconds - micros / 1e6


@pytest.mark.parametrize(("text", "for_s"), [("90", 90), ("30s", 30), ("10m", 600), ("2h", 7200)])
def test_a_held_region_is_not_polled_until_the_time_it_says(
    ekyc: Ekyc, redis: Redis, text: str, for_s: float
) -> None:
    ledger = Ledger(redis)
    ledger.enqueue([EnqueueRequest("one", "ph"), EnqueueRequest("one", "sg")])

    ended = ekyc("hold", "PH", "--for", text, "--why", "maintenance")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("ph is on hold until 20")
    assert ended.out.endswith("Z: maintenance\n")
    assert for_s - 20 < left_s(redis) <= for_s
    assert ledger.claim("ph", limit=1).batches == ()
    assert ledger.claim("sg", limit=1).batches != ()


def test_resume_ends_the_rest_whoever_ordered_it(ekyc: Ekyc, redis: Redis) -> None:
    Ledger(redis).hold("ph", for_s=600, reason="VENDOR_BUSY")
    ended = ekyc("resume", "ph")
    assert (ended.code, ended.err) == (0, "")
    assert re.fullmatch(
        r"ph is polled again; it would have been on hold until 20\S+Z: VENDOR_BUSY\n", ended.out
    ), ended.out
    assert holds(redis) == ()


def test_resume_where_there_is_no_rest_says_so_and_is_no_fault(ekyc: Ekyc) -> None:
    ended = ekyc("resume", "ph")
    assert (ended.code, ended.out) == (0, "ph was not on hold: nothing to resume\n")
    assert json.loads(ekyc("stats", "--json").out)["acts"] == []


def test_a_rest_that_ends_later_stays_and_the_answer_says_so(ekyc: Ekyc, redis: Redis) -> None:
    Ledger(redis).hold("ph", for_s=3600, reason="ACCOUNT_DISABLED")
    ended = ekyc("hold", "ph", "--for", "10m", "--why", "maintenance")
    assert ended.code == 0
    assert ended.out.endswith("Z: ACCOUNT_DISABLED, as before: a hold that ends later is kept\n")
    assert left_s(redis) > 3000


def test_a_region_that_nobody_polls_here_is_told(ekyc: Ekyc) -> None:
    ended = ekyc.with_env(ADVANCE_REGIONS="sg")("hold", "ph", "--for", "10m", "--why", "maintenance")
    assert ended.code == 0
    assert ended.err_lines == ["ekyc: ADVANCE_REGIONS does not name ph here: `ekyc stats` will not show it"]


def test_resume_of_a_region_on_trial_is_recorded(ekyc: Ekyc, redis: Redis) -> None:
    """Its rest is over, and one verification alone tries the vendor: to end that is an act, too."""
    redis.hset(f"{prefix('ph')}health", "trips", 1)
    assert ekyc("resume", "ph").out == "ph is polled again\n"
    (act,) = json.loads(ekyc("stats", "--json").out)["acts"]
    assert (act["act"], act["why"], act["who"]) == ("resume", "it was half-open", "maria")


def test_a_region_on_trial_is_shown_as_one(ekyc: Ekyc, redis: Redis) -> None:
    ledger = Ledger(redis)
    ledger.enqueue([EnqueueRequest("one", "ph"), EnqueueRequest("other", "ph")])
    redis.hset(f"{prefix('ph')}health", mapping={"trips": 1, "reason": "VENDOR_DOWN"})
    ledger.claim("ph", limit=1)
    said = "ph is half-open, a single verification probes the vendor: VENDOR_DOWN"
    assert said in ekyc("stats").out
    (hold,) = json.loads(ekyc("stats", "--json").out)["holds"]
    assert (hold["region"], hold["reason"], hold["half_open"]) == ("ph", "VENDOR_DOWN", True)
    assert said.removeprefix("ph ") in ekyc("status", "other", "--region", "ph").out
    assert ekyc("resume", "ph").out == "ph is polled again\n"
    assert json.loads(ekyc("stats", "--json").out)["holds"] == []


def test_every_act_is_recorded_with_name_time_and_reason(ekyc: Ekyc) -> None:
    ekyc("hold", "ph", "--for", "1h", "--why", "the vendor | called")
    ekyc("hold", "sg", "--for", "1h", "--why", "maintenance", "--who", "juan")
    ekyc("resume", "sg", "--who", "ana")

    acts = json.loads(ekyc("stats", "--json").out)["acts"]

    assert [(act["region"], act["act"], act["why"], act["who"]) for act in acts] == [
        ("ph", "hold", "the vendor / called (for 3600 s)", "maria"),
        ("sg", "hold", "maintenance (for 3600 s)", "juan"),
        ("sg", "resume", "maintenance", "ana"),
    ]
    assert [act["at"] for act in acts] == sorted(act["at"] for act in acts)
    of_sg = json.loads(ekyc("stats", "--json", "--region", "sg").out)["acts"]
    assert [act["who"] for act in of_sg] == ["juan", "ana"]


def test_the_newest_twenty_acts_are_read_back(ekyc: Ekyc, redis: Redis) -> None:
    ledger = Ledger(redis)
    for number in range(30):
        ledger.hold(("ph", "sg")[number % 2], for_s=600, reason=f"number {number}", who="maria")
        # Those of one millisecond come in no order.
        time.sleep(0.002)
    acts = json.loads(ekyc("stats", "--json").out)["acts"]
    assert {act["why"] for act in acts} == {f"number {number} (for 600 s)" for number in range(10, 30)}


def test_all_acts_that_are_kept_can_be_read_back(ekyc: Ekyc, redis: Redis) -> None:
    ledger = Ledger(redis)
    for number in range(KEPT + 1):
        ledger.hold("ph", for_s=600, reason=f"number {number}", who="maria")
    acts = json.loads(ekyc("stats", "--json", "--acts", str(KEPT)).out)["acts"]
    assert [act["why"].split()[1] for act in acts] == [str(number) for number in range(1, KEPT + 1)]
    refused = ekyc("stats", "--json", "--acts", "0")
    assert (refused.code, refused.out) == (2, "")


def test_stats_show_a_rest_with_who_ordered_it_even_before_anything_was_enqueued(ekyc: Ekyc) -> None:
    ekyc("hold", "ph", "--for", "1h", "--why", "maintenance")
    ekyc("hold", "sg", "--for", "1h", "--why", "over soon")
    ekyc("resume", "sg")
    lines = ekyc("stats").out.splitlines()
    (rest,) = [number for number, line in enumerate(lines) if " is on hold until " in line]
    assert lines[rest].startswith(" ph is on hold until 20")
    assert lines[rest].endswith("Z: maintenance")
    assert lines[rest + 1].endswith("Z hold by maria: maintenance (for 3600 s)")
    assert lines[rest + 2 :] == [" decisions that the pipeline has not read yet: 0"]


def test_a_reason_in_any_language_is_shown_where_there_is_only_ascii(ekyc: Ekyc) -> None:
    ekyc("hold", "ph", "--for", "1h", "--why", "Wartung: 維護")
    for command in (["stats"], ["watch", "--count", "1"]):
        ended = ekyc.with_env(PYTHONIOENCODING="ascii")(*command)
        assert (ended.code, ended.err) == (0, "")
        assert "Wartung" in ended.out
    assert "Wartung: 維護" in ekyc("stats").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hold", "mars", "--for", "1m", "--why", "x"], "unknown region, use one of sg, ph,"),
        (["resume", "mars"], "unknown region, use one of sg, ph,"),
        (["hold", "ph", "--for", "1m"], "Missing option '--why'"),
        (["hold", "ph", "--why", "x"], "Missing option '--for'"),
        (["hold", "ph", "--for", "soon", "--why", "x"], "must be a time such as 30s, 10m or 2h"),
        (["hold", "ph", "--for", "-1", "--why", "x"], "must be a time such as 30s, 10m or 2h"),
        (["hold", "ph", "--for", "0", "--why", "x"], "must be more than 0 and at most 720h"),
        (["hold", "ph", "--for", "721h", "--why", "x"], "must be more than 0 and at most 720h"),
        (["hold", "ph", "--for", "1m", "--why", " \n"], "must be 1 to 200 characters of plain text"),
        (
            ["hold", "ph", "--for", "1m", "--why", "x", "--who", ""],
            "must be 1 to 200 characters of plain text",
        ),
        (["resume", "ph", "--who", "\x07"], "must be 1 to 200 characters of plain text"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_nothing_is_changed(
    ekyc: Ekyc, redis: Redis, arguments: list[str], said: str
) -> None:
    ended = ekyc(*arguments)
    assert (ended.code, ended.out, len(ended.err_lines)) == (2, "", 1)
    assert said in ended.err
    assert holds(redis) == ()


@pytest.mark.parametrize("arguments", [["hold", "ph", "--for", "1m", "--why", "x"], ["resume", "ph"]])
def test_a_redis_that_is_down_is_one_line_and_status_1(ekyc: Ekyc, arguments: list[str]) -> None:
    ended = ekyc.with_env(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")(*arguments)
    assert (ended.code, ended.out, len(ended.err_lines)) == (1, "", 1)
    assert "Redis does not answer" in ended.err
