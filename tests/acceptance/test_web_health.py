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


def test_health_is_answered_while_redis_hangs_and_many_requests_wait_for_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as silent:
        redis_url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with web_process(tmp_path, redis_url) as web, ThreadPoolExecutor(REQUESTS) as threads:
            waiting = [threads.submit(web.get, "/v1/decisions") for _ in range(REQUESTS)]

            def assert_healthy() -> None:
                assert web.get("/healthz", name=None).status == 200
                # By order, not by a clock: behind the others it would be answered when most of them are.
                assert sum(each.done() for each in waiting) < REQUESTS / 2, "it has waited for the threads"

            while not any(each.done() for each in waiting):
                assert_healthy()
                time.sleep(0.1)
            assert_healthy()
