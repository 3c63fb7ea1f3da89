"""The pipeline: a process that takes decisions off its queue, and writes a line to a journal for each message.

    python -m tests.chaos.pipeline REDIS_URL JOURNAL

It is never killed, and takes every message once, whatever happens to Valkey: it reads the oldest messages, writes them
to the journal, and then removes them and increases a counter, atomically. After a broken connection the counter shows
whether they were removed; after a restart with older data, how many messages came back that are in the journal already.
So an extra line in the journal is an extra delivery, and never caused by the pipeline itself.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import redis as redis_py

if TYPE_CHECKING:
    from pathlib import Path

QUEUE: Final = "onboarding"
TAKEN: Final = "chaos:pipeline:taken"

#: Messages read at a time.
_MOST: Final = 100
_IDLE_S: Final = 0.01
_RETRY_S: Final = 0.1

#: KEYS: queue, counter. ARGV: how many were taken before, how many to take now.
_TAKE: Final = """
if tonumber(redis.call('GET', KEYS[2]) or 0) == tonumber(ARGV[1]) then
  redis.call('LTRIM', KEYS[1], 0, -1 - ARGV[2])
  redis.call('INCRBY', KEYS[2], ARGV[2])
end
"""


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it arrived: `body` is Celery's message body, byte for byte."""

    at_ms: int
    message_id: str
    task: str
    body: str
    #: The sender according to Celery: `gen<pid>@<host>`.
    origin: str

    @property
    def sender_pid(self) -> int:
        """The process that delivered it."""
        return int(self.origin.partition("@")[0].removeprefix("gen"))

    @property
    def decision(self) -> dict[str, Any]:
        """The `decision` among the task's keyword arguments."""
        _, kwargs, _ = json.loads(self.body)
        decision: dict[str, Any] = kwargs["decision"]
        return decision

    @property
    def content(self) -> tuple[str, str, str]:
        """The parts that must be the same in a second delivery."""
        return self.message_id, self.task, self.body


def read(journal: Path) -> list[Received]:
    """Return all messages in the journal so far."""
    return [Received(**json.loads(line)) for line in journal.read_text().splitlines()]


def main(url: str, journal: str) -> None:
    """Run until SIGTERM."""
    running = [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    redis = redis_py.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    take = redis.register_script(_TAKE)
    written = 0
    while running:
        try:
            taken, messages = _oldest(redis)
            # Messages that came back with older data, or stayed after a broken connection, are in the journal already.
            for message in messages[written - taken :]:
                os.write(descriptor, _line(message))
                written += 1
            if messages:
                take(keys=[QUEUE, TAKEN], args=[taken, len(messages)])
            else:
                time.sleep(_IDLE_S)
        except redis_py.RedisError:
            time.sleep(_RETRY_S)


def _oldest(redis: redis_py.Redis) -> tuple[int, list[bytes]]:
    """Return how many messages were ever taken, and the oldest ones on the queue."""
    with redis.pipeline(transaction=True) as pipe:
        pipe.get(TAKEN)
        pipe.lrange(QUEUE, -_MOST, -1)
        taken, messages = pipe.execute()
    return int(taken or 0), messages[::-1]


def _line(message: bytes) -> bytes:
    content = json.loads(message)
    received = {
        "at_ms": round(time.time() * 1000),
        "message_id": content["headers"]["id"],
        "task": content["headers"]["task"],
        "body": base64.b64decode(content["body"]).decode(),
        "origin": content["headers"]["origin"],
    }
    return json.dumps(received).encode() + b"\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
