"""A Redis that comes back empty, or another Redis: nothing is claimed from it until a person accepts it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.support.waiting import until
from worker.ledger import Quarantine

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(240)

ACCEPT = ("worker.cli", "ledger", "accept")


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with closing(error):
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def web(fleet: Fleet, port: int, name: str) -> str:
    fleet.start("gunicorn", "-c", "python:worker.web.gunicorn_conf", name=name, PORT=str(port))
    url = f"http://127.0.0.1:{port}"
    until(lambda: get(f"{url}/readyz")[0], "web answers")
    return url


def events(fleet: Fleet, name: str, event: str) -> list[dict[str, Any]]:
    lines = (line for line in fleet.log(name).splitlines() if line.startswith("{"))
    return [line for line in map(json.loads, lines) if line.get("event") == event]


def enqueue(fleet: Fleet, signature_id: str) -> None:
    done = fleet.run("worker.cli", "enqueue", signature_id, "--region", "ph")
    assert done.returncode == 0, done.stderr


def test_running_processes_notice_that_redis_was_emptied(fleet: Fleet, unused_port: int) -> None:
    fleet.worker()
    enqueue(fleet, "pass-1")
    fleet.await_done(1)
    url = web(fleet, unused_port, "web")
    until(lambda: get(f"{url}/readyz") == (200, "ok\n"), "the fleet is ready")
    assert 'ekyc_ledger_replaced{region="ph"} 0.0' in get(f"{url}/metrics")[1]

    with fleet.redis() as redis:
        redis.flushall()
    enqueue(fleet, "pass-2")
    until(lambda: events(fleet, "w1", "ledger_replaced"), "the worker logs it")
    line = next(line for line in events(fleet, "w1", "ledger_replaced") if line["region"] == "ph")
    assert (line["level"], line["new"], len(line["old"])) == ("error", None, 16)
    assert line["since"]
    until(lambda: get(f"{url}/readyz")[0] == 503, "web is not ready")
    assert "ekyc ledger accept" in get(f"{url}/readyz")[1]
    assert events(fleet, "web", "ledger_replaced")
    assert 'ekyc_ledger_replaced{region="ph"} 1.0' in get(f"{url}/metrics")[1]
    assert fleet.stats().counts("ph").waiting == 1

    assert "in place of" in fleet.run("worker.cli", "doctor").stdout
    why = "claim nothing, because Redis was replaced; see `ekyc doctor`"
    assert why in fleet.run("worker.cli", "status", "pass-2").stdout
    assert "claim nothing from ph" in fleet.run("worker.cli", "stats").stdout
    assert "ph" in json.loads(fleet.run("worker.cli", "stats", "--json").stdout)["ledger_replaced"]
    refused = fleet.run(*ACCEPT)
    assert refused.returncode == 2
    assert "1 waiting" in refused.stderr
    accepted = fleet.run(*ACCEPT, "--yes", "--who", "ana")
    assert accepted.returncode == 0, accepted.stderr
    fleet.await_done(1)
    until(lambda: get(f"{url}/readyz") == (200, "ok\n"), "web is ready again")
    assert 'ekyc_ledger_replaced{region="ph"} 0.0' in get(f"{url}/metrics")[1]
    with fleet.redis() as redis:
        (act,) = Quarantine(redis, who="").acts("ph")
    assert (act.name, act.worker) == ("accept", "ana")
    assert "nothing to accept" in fleet.run(*ACCEPT).stdout


def test_processes_that_start_later_know_it_too(fleet: Fleet, unused_port: int) -> None:
    """Nobody has a memory of the old ledger but the evidence store; the new one has an identity of its own, or none."""
    worker = fleet.worker()
    enqueue(fleet, "pass-1")
    fleet.await_done(1)
    worker.terminate()
    worker.wait(30)
    with fleet.redis() as redis:
        redis.flushall()
        redis.hset("ekyc:{sg}:ledger", "id", "0123456789abcdef")
    enqueue(fleet, "pass-2")

    second = fleet.worker("w2")
    url = web(fleet, unused_port, "web")
    until(lambda: len(events(fleet, "w2", "ledger_replaced")) == 2, "the worker logs it")
    found = {line["region"]: line["new"] for line in events(fleet, "w2", "ledger_replaced")}
    assert found == {"ph": None, "sg": "0123456789abcdef"}
    until(lambda: "ledger of ph, sg" in get(f"{url}/readyz")[1], "web is not ready")
    time.sleep(2 * 1.0)
    assert fleet.stats().counts("ph").waiting == 1

    assert fleet.run(*ACCEPT, "--yes").returncode == 0
    fleet.await_done(1)
    second.terminate()
    second.wait(30)
    fleet.worker("w3")
    enqueue(fleet, "pass-3")
    fleet.await_done(2)
    assert not events(fleet, "w3", "ledger_replaced")


def test_a_redis_that_is_restored_is_the_same_ledger(fleet: Fleet) -> None:
    fleet.worker()
    enqueue(fleet, "pass-1")
    fleet.await_done(1)
    with fleet.redis() as redis:
        kept = {key: redis.dump(key) for key in redis.keys("ekyc:*")}
        redis.flushall()
        until(lambda: events(fleet, "w1", "ledger_replaced"), "the worker logs it")
        for key, value in kept.items():
            if value is not None:
                redis.restore(key, 0, value, replace=True)
    enqueue(fleet, "pass-2")
    fleet.await_done(2)
