"""What others add to keys of the ledger without an end delays no script for longer than what scripts add themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger, Quarantine, damage, transitions
from worker.ledger.keys import pipelines
from worker.ledger.models import Stage
from worker.ledger.stats import Stats
from worker.ledger.webhooks import Webhooks
from worker.ledger.worker_registry import KEY, MOST, Worker, WorkerRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

PH: Final = "ekyc:{ph}:"


def script_us(redis: Redis, run: Callable[[], object]) -> int:
    """How long Redis worked on the scripts of `run`, in microseconds."""
    commands: Any = redis
    commands.config_resetstat()
    run()
    stats: Any = commands.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"usec": 0})["usec"] for name in ("evalsha", "eval"))


def deliver(ledger: Ledger, first: int, number: int) -> None:
    """Deliver decisions, each with an error code of its own."""
    ledger.enqueue([EnqueueRequest(f"v{at}", "ph") for at in range(first, first + number)])
    (batch,) = ledger.claim("ph", limit=number).batches
    loaded = ledger.load(batch)
    writes = [
        transitions.delivered(replace(one, error_code=f"CODE_{one.signature_id}"), name="review")
        for one in loaded
    ]
    assert all(each.written for each in ledger.record(batch, writes))


def test_error_codes_without_an_end_take_bounded_memory_and_are_counted(redis: Redis, ledger: Ledger) -> None:
    deliver(ledger, 0, 400)
    assert len(Stats(redis).counts("ph").error_codes) == 400
    deliver(ledger, 400, 400)
    deliver(ledger, 800, 800)
    codes = Stats(redis).counts("ph").error_codes
    assert (len(codes), sum(codes.values()), codes["OTHER"]) == (501, 1600, 1100)
    # One that has its counter keeps it.
    known = next(name for name in codes if name.startswith("CODE_"))
    ledger.enqueue([EnqueueRequest("again", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.delivered(replace(one, error_code=known), name="review")])
    assert Stats(redis).counts("ph").error_codes[known] == 2


@pytest.mark.parametrize("kind", ["t", "f"])
def test_lines_of_a_timeline_without_an_end_delay_no_step_and_no_reader(
    redis: Redis, ledger: Ledger, kind: str
) -> None:
    def took_us(lines: int) -> int:
        redis.delete(f"{PH}{kind}:good")
        for _ in range(lines // 1000):
            redis.rpush(f"{PH}{kind}:good", *(f"{at}|fault|WHY|w" for at in range(1000)))
        ledger.enqueue([EnqueueRequest("good", "ph")])
        (batch,) = ledger.claim("ph", limit=1).batches
        (one,) = ledger.load(batch)

        def step() -> None:
            assert ledger.record(batch, [transitions.ask_again(one, in_s=0, cause="WHY")])[0].written

        return script_us(redis, step) + script_us(redis, lambda: ledger.status("ph", "good"))

    took_us(1000)
    few = took_us(1000)
    assert took_us(80_000) < 20 * max(few, 500)
    status = ledger.status("ph", "good")
    assert status
    assert len(status.timeline) < 400


@pytest.mark.parametrize("planted", ["default ", "shop "])
def test_turns_without_an_end_are_cut_by_the_next_claim(redis: Redis, ledger: Ledger, planted: str) -> None:
    ledger.enqueue([EnqueueRequest("later", "ph", pipeline="shop")])
    redis.zadd(f"{PH}due:polling:shop", {"later": 9e12})

    def took_us(times: int) -> int:
        redis.hset(f"{PH}clock", "polling", " default shop " + planted * times)
        ledger.enqueue([EnqueueRequest(f"{planted.strip()}-{times}", "ph")])
        return script_us(redis, lambda: ledger.claim("ph", limit=9))

    took_us(1000)
    few = took_us(1000)
    assert took_us(80_000) < 20 * max(few, 500)
    assert pipelines(redis, "ph", Stage.POLLING) == ("shop",)
    turns: Any = redis.hget(f"{PH}clock", "polling")
    assert len(turns) < 30


def test_endpoints_without_an_end_delay_no_page(redis: Redis) -> None:
    def took_us(number: int) -> int:
        redis.sadd(f"{PH}endpoints", *(f"planted-{at}" for at in range(number)))
        return script_us(redis, lambda: Webhooks(redis).endpoints("ph", ["shop"]))

    took_us(500)
    few = took_us(500)
    assert took_us(40_000) < 20 * max(few, 500)
    names = [each.name for each in Webhooks(redis).endpoints("ph", ["shop"])]
    assert (names[0], len(names)) == ("shop", 101)


@pytest.mark.parametrize("name", ["endpoints", "failing"])
def test_names_without_an_end_are_not_all_looked_at(redis: Redis, name: str) -> None:
    def commands(number: int) -> int:
        redis.sadd(f"{PH}{name}", *(f"planted-{at}" for at in range(number)))
        before: Any = redis.info("stats")
        damage.found(redis, ["ph"])
        after: Any = redis.info("stats")
        return int(after["total_commands_processed"] - before["total_commands_processed"])

    few = commands(500)
    assert commands(20_000) == few


def test_lines_of_an_hour_and_acts_without_an_end_are_not_all_read(redis: Redis) -> None:
    redis.rpush(f"{PH}minutes", *["1|1|1|1|1|"] * 20_000)
    redis.rpush(f"{PH}acts", *["1|hold|why|who"] * 20_000)
    stats = Stats(redis)
    counts = stats.counts("ph")
    before: Any = redis.info("stats")
    stats.hour("ph", counts)
    assert len(Quarantine(redis, who="").acts("ph")) == 1000
    after: Any = redis.info("stats")
    assert after["total_net_output_bytes"] - before["total_net_output_bytes"] < 50_000


def test_entries_beside_workers_without_an_end_are_not_all_read(redis: Redis) -> None:
    registry = WorkerRegistry(redis)
    seconds: Any = redis.time()[0]
    planted = {f'["planted-{at}","t","1","p"]': seconds * 1000 - 5000 for at in range(20_000)}
    redis.zadd(KEY, planted)
    registry.sign_in(Worker("ours", "default-0000", "1"))
    found = registry.seen()
    assert len(found) == MOST
    assert "ours" in {each.worker.name for each in found}


def test_events_of_a_verification_without_an_end_are_not_all_read(redis: Redis) -> None:
    redis.sadd(f"{PH}e:one", *(f"{at} shop" for at in range(20_000)))
    before: Any = redis.info("stats")
    assert Webhooks(redis).of_events("ph", "one") == []
    after: Any = redis.info("stats")
    assert after["total_commands_processed"] - before["total_commands_processed"] < 5000
