"""`ekyc redeliver`: what a pipeline has lost comes once more, as it was, and nothing else does."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from schemas.decision import decision_id
from schemas.enqueue import EnqueueRequest
from tests.support.cli_process import Ekyc, Terminal
from tests.support.waiting import until
from worker.ledger import Quarantine
from worker.ledger.fields import Field
from worker.policy.outcome_seal import Sealer
from worker.settings import Settings

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def first(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """What the pipeline was told at first, by id; it has read all of it. One more waits to be polled."""
    worker = fleet.worker()
    requests = [EnqueueRequest(f"pass-{number}", "ph", '{"n":"José"}') for number in range(3)]
    requests += [EnqueueRequest("CARD_NOT_FOUND-1", "ph"), EnqueueRequest("pass-9", "sg")]
    fleet.ledger().enqueue(requests)
    fleet.await_done(4)
    fleet.await_done(1, "sg")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0
    fleet.ledger().enqueue([EnqueueRequest("waits", "ph")])
    delivered = {message["id"]: message for message in fleet.delivered()}
    assert len(delivered) == 5
    return delivered


def redeliver(fleet: Fleet, *arguments: str, **environment: str) -> CompletedProcess[str]:
    done = fleet.run("worker.cli", "redeliver", *arguments, **environment)
    assert "Traceback" not in done.stderr
    return done


def received(fleet: Fleet) -> dict[str, dict[str, Any]]:
    return {message["id"]: message for message in fleet.delivered()}


def acts(fleet: Fleet, region: str = "ph") -> list[tuple[str, str, str]]:
    with fleet.redis() as redis:
        return [(act.name, act.worker, act.detail) for act in Quarantine(redis, who="").acts(region)]


def of(first: dict[str, dict[str, Any]], *names: str, region: str = "ph") -> dict[str, dict[str, Any]]:
    return {decision_id(region, name): first[decision_id(region, name)] for name in names}


def test_the_same_decision_comes_under_the_same_id(fleet: Fleet, first: dict[str, dict[str, Any]]) -> None:
    done = redeliver(
        fleet, "pass-0", "pass-2", "pass-0", "--region", "ph", "--yes", "--who", "maria", "--json"
    )
    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        {"redelivered": 2, "not_delivered": 0, "forged": 0, "unknown": 0},
    )
    assert received(fleet) == of(first, "pass-0", "pass-2")
    assert acts(fleet) == [("redeliver", "maria", "2 decisions given by id, of ph")]
    shown = json.loads(fleet.run("worker.cli", "status", "pass-0", "--region", "ph", "--json").stdout)
    last = shown["timeline"][-1]
    assert (last["event"], last["worker"]) == ("redelivered", "maria")
    assert fleet.stats().counts("ph").decisions == {"approve": 3, "recapture": 1}
    with fleet.redis() as redis:
        assert 0 < redis.pttl("ekyc:{ph}:t:pass-0") <= 7 * 86_400_000


def test_what_cannot_be_redelivered_is_counted_and_the_rest_is(
    fleet: Fleet, first: dict[str, dict[str, Any]]
) -> None:
    with fleet.redis() as redis:
        # As after EKYC_RETENTION.
        redis.delete("ekyc:{ph}:v:pass-1", "ekyc:{ph}:t:pass-1")
    done = redeliver(fleet, "pass-0", "pass-1", "waits", "nobody", "--region", "ph", "--yes", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"redelivered": 1, "not_delivered": 1, "forged": 0, "unknown": 2}
    assert received(fleet) == of(first, "pass-0")
    with fleet.redis() as redis:
        assert not redis.exists("ekyc:{ph}:t:pass-1", "ekyc:{ph}:t:nobody")


def test_all_of_a_time_are_found_by_region_and_decision(
    fleet: Fleet, first: dict[str, dict[str, Any]]
) -> None:
    assert redeliver(fleet, "--since", "1h", "--yes").returncode == 0
    assert received(fleet) == first
    assert redeliver(fleet, "--since", "1h", "--region", "sg", "--yes").returncode == 0
    assert received(fleet) == of(first, "pass-9", region="sg")
    done = redeliver(fleet, "--since", "1h", "--decision", "recapture", "--yes")
    assert done.stdout == "redelivered 1, not delivered yet 0, unknown 0\n"
    assert received(fleet) == of(first, "CARD_NOT_FOUND-1")
    with fleet.redis() as redis:
        # Delivered two hours ago, all but one.
        for name in ("pass-0", "pass-1", "CARD_NOT_FOUND-1"):
            lines: Any = redis.lrange(f"ekyc:{{ph}}:t:{name}", 0, -1)
            for at, line in enumerate(lines):
                moment, _, rest = line.partition(b"|")
                redis.lset(f"ekyc:{{ph}}:t:{name}", at, f"{int(moment) - 7_200_000}|{rest.decode()}")
    assert redeliver(fleet, "--since", "1h", "--region", "ph", "--yes").returncode == 0
    assert received(fleet) == of(first, "pass-2")
    none = redeliver(fleet, "--since", "1h", "--decision", "abandoned")
    assert (none.returncode, none.stdout) == (
        0,
        "0 abandoned decisions delivered in the last 1 h 0 min (none)\n",
    )


def test_without_region_each_is_of_the_region_that_knows_it(
    fleet: Fleet, first: dict[str, dict[str, Any]]
) -> None:
    done = redeliver(fleet, "pass-0", "pass-9", "--yes", ADVANCE_REGIONS="ph,sg")
    assert (done.returncode, done.stdout) == (0, "redelivered 2, not delivered yet 0, unknown 0\n")
    assert received(fleet) == of(first, "pass-0") | of(first, "pass-9", region="sg")
    assert acts(fleet, "sg")[0][2] == "2 decisions given by id, of ph and sg"
    alone = redeliver(fleet, "pass-9", ADVANCE_REGIONS="ph,sg")
    assert "1 decision given by id, of sg; stdin is not a terminal" in alone.stderr


def test_it_asks_first_and_no_one_is_no(fleet: Fleet, first: dict[str, dict[str, Any]]) -> None:
    done = redeliver(fleet, "--since", "1h")
    assert done.returncode == 2
    assert (
        "5 decisions delivered in the last 1 h 0 min (ph 4, sg 1); stdin is not a terminal: pass --yes"
        in done.stderr
    )
    ekyc = Ekyc(fleet.environment)
    for answer, code in (("n\n", 1), ("\x03", 130), ("y\n", 0)):
        assert received(fleet) == {}
        assert acts(fleet) == []
        with Terminal() as terminal:
            process = ekyc.start("redeliver", "--since", "1h", stdin=terminal.end, stderr=terminal.end)
            terminal.wait_for("redeliver them?")
            assert "5 decisions" in terminal.seen
            process.interrupt(signal.SIGINT) if answer == "\x03" else terminal.type(answer)
            process.communicate(timeout=60)
            assert process.returncode == code
    assert received(fleet) == first


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("pass-0", "--since", "1h"),
        ("pass-0", "--decision", "approve", "--region", "ph"),
        ("pass 0", "--region", "ph", "--yes"),
        ("--since", "yesterday"),
        ("--since", "1h", "--decision", "a b"),
    ],
)
def test_what_was_given_wrong_is_refused(fleet: Fleet, arguments: tuple[str, ...]) -> None:
    assert redeliver(fleet, *arguments).returncode == 2


def test_a_broker_that_is_away_is_one_line_and_no_act(
    fleet: Fleet, first: dict[str, dict[str, Any]], unused_port: int
) -> None:
    assert first
    for scheme in ("redis", "amqp"):
        away = f"{scheme}://127.0.0.1:{unused_port}"
        done = redeliver(fleet, "--since", "1h", "--yes", CELERY_BROKER_URL=away)
        assert done.returncode == 1
        assert "the broker does not answer" in done.stderr
        assert acts(fleet) == []


def test_interrupted_it_says_how_far_it_came(fleet: Fleet, first: dict[str, dict[str, Any]]) -> None:
    """Many, so that there is something to interrupt; each has the bytes of one that was delivered, and its own MAC."""
    assert first
    sealer = Sealer.from_settings(Settings(secret_key=fleet.environment["ADVANCE_SECRET_KEY"]))
    with fleet.redis() as redis:
        fields: Any = redis.hgetall("ekyc:{ph}:v:pass-0")
        name, text = (fields[each.key].decode() for each in (Field.DECISION_NAME, Field.DECISION))
        lines = redis.lrange("ekyc:{ph}:t:pass-0", 0, -1)
        with redis.pipeline(transaction=False) as pipe:
            for number in range(20_000):
                seal = sealer.decision("ph", f"many-{number}", name, text)
                sealed: dict[Any, Any] = fields | {Field.DECISION_SEAL.key: seal.encode()}
                pipe.hset(f"ekyc:{{ph}}:v:many-{number}", mapping=sealed)
                pipe.rpush(f"ekyc:{{ph}}:t:many-{number}", *lines)
            pipe.execute()
        process = fleet.start(
            "worker.cli", "redeliver", "--since", "1h", "--region", "ph", "--yes", name="many"
        )
        until(lambda: redis.llen("onboarding") > 100, "it delivers")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        there = redis.llen("onboarding")
    assert 100 < there < 20_000
    line = fleet.log("many")
    assert "Traceback" not in line
    said = int(line.split("redelivered ")[-1].split(",")[0])
    assert said <= there <= said + 64
    assert [name for name, _, _ in acts(fleet)] == ["redeliver"]
