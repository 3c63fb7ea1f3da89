"""Events of one moment in the loop of `web`: one of them may end a connection that another is about."""

from __future__ import annotations

import os
import selectors
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import TConn

from worker.web.slow_heads import SlowHeadsWorker

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def worker() -> Iterator[SlowHeadsWorker]:
    worker = SlowHeadsWorker(1, os.getpid(), [], None, 30, Config(), None)
    worker.poller = selectors.DefaultSelector()
    yield worker
    worker.poller.close()
    worker.probes.shutdown()
    worker.tmp.close()


def test_an_event_of_a_connection_that_was_just_ended_is_dropped(worker: SlowHeadsWorker) -> None:
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(sock) for sock in socket.socketpair())
        other, sends = (stack.enter_context(sock) for sock in socket.socketpair())
        conn = TConn(worker.cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 2))
        worker.nr_conns = 1
        worker._linger(conn)
        worker.poller.register(other, selectors.EVENT_READ, lambda _: worker._drop(conn))
        # In this order, so that the connection is ended before its own event is handled.
        sends.send(b"a")
        theirs.send(b"a")
        worker.wait_for_and_dispatch_events(5)
    assert worker.nr_conns == 0
    assert not worker.lingering
    assert not worker.pending_conns
