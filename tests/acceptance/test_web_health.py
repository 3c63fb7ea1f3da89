"""`/healthz` of `web` answers whatever the threads of the API wait for."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.web_process import web_process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

#: Several times the threads of `web`: each waits some seconds for Redis.
REQUESTS = 64

#: Ten times and more what an answer takes on a busy machine.
BOUND_S = 4.0


def test_health_is_answered_while_redis_hangs_and_many_requests_wait_for_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as silent:
        redis_url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with web_process(tmp_path, redis_url) as web, ThreadPoolExecutor(REQUESTS) as threads:
            waiting = [threads.submit(web.get, "/v1/decisions") for _ in range(REQUESTS)]
            while not any(each.done() for each in waiting):
                began = time.monotonic()
                assert web.get("/healthz", name=None).status == 200
                assert time.monotonic() - began < BOUND_S
                time.sleep(0.1)
            began = time.monotonic()
            assert web.get("/healthz", name=None).status == 200
            assert time.monotonic() - began < BOUND_S
            assert not all(each.done() for each in waiting), "the threads have not waited"
