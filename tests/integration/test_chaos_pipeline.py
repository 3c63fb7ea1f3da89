"""The pipeline of the chaos suite writes every message down once, whatever happens to its Valkey."""

from __future__ import annotations

import base64
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.crew import spawn
from tests.chaos.pipeline import QUEUE, TAKEN, read
from tests.support.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    import redis as redis_py


@pytest.fixture
def pipeline(redis_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    journal = tmp_path / "journal"
    journal.touch()
    process = spawn(("tests.chaos.pipeline", redis_url, str(journal)), tmp_path / "log", {})
    yield process
    process.kill()
    process.wait()


def message(number: int) -> bytes:
    """As kombu puts it on a list."""
    body = json.dumps([[], {"decision": {"n": number}}, {}])
    content = {
        "headers": {"id": f"id-{number}", "task": "onboarding.approve", "origin": "gen1@host"},
        "body": base64.b64encode(body.encode()).decode(),
    }
    return json.dumps(content).encode()


def written(tmp_path: Path) -> list[str]:
    return [received.message_id for received in read(tmp_path / "journal")]


def test_messages_are_written_down_in_order_and_taken_off(
    redis: redis_py.Redis, pipeline: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    redis.lpush(QUEUE, *(message(number) for number in range(250)))
    until(lambda: not redis.llen(QUEUE), "the queue is empty")
    assert written(tmp_path) == [f"id-{number}" for number in range(250)]
    assert read(tmp_path / "journal")[7].decision == {"n": 7}


def test_a_message_that_was_sent_twice_is_written_down_twice(
    redis: redis_py.Redis, pipeline: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    redis.lpush(QUEUE, message(1), message(1))
    until(lambda: len(written(tmp_path)) == 2, "both are written down")


def test_what_an_older_state_of_valkey_brings_back_is_not_written_down_again(
    redis: redis_py.Redis, pipeline: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    redis.lpush(QUEUE, *(message(number) for number in range(3)))
    until(lambda: len(written(tmp_path)) == 3, "three are written down")
    with redis.pipeline(transaction=True) as pipe:
        # As it was when one of them had been taken.
        pipe.set(TAKEN, 1)
        pipe.lpush(QUEUE, message(1), message(2), message(3))
        pipe.execute()
    until(lambda: redis.get(TAKEN) == b"4", "all are taken")
    assert written(tmp_path) == ["id-0", "id-1", "id-2", "id-3"]


def test_a_broken_connection_costs_no_message_and_doubles_none(
    redis: redis_py.Redis, pipeline: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    for number in range(100):
        redis.lpush(QUEUE, message(number))
        if number % 10 == 0:
            redis.client_kill_filter(_type="normal", skipme=True)
    until(lambda: not redis.llen(QUEUE), "the queue is empty")
    assert written(tmp_path) == [f"id-{number}" for number in range(100)]


def test_sigterm_ends_it(pipeline: subprocess.Popen[bytes], redis: redis_py.Redis, tmp_path: Path) -> None:
    redis.lpush(QUEUE, message(1))
    until(lambda: written(tmp_path), "it is at work")
    os.kill(pipeline.pid, signal.SIGTERM)
    assert pipeline.wait(20) == 0
