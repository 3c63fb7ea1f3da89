"""At its limit of open files `web` stays, and accepts connections again later."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.waiting import until
from tests.support.web_process import Web, web_process

pytestmark = pytest.mark.timeout(120)

#: More than the limit leaves room for.
CLIENTS = 60


def child(web: Web) -> int:
    pid = web.process.pid
    (found,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found)


def test_at_its_limit_of_open_files_web_stays_and_goes_on_later(tmp_path: Path) -> None:
    with web_process(tmp_path, f"redis://127.0.0.1:{free_port()}/0") as web:
        worker = child(web)
        limit = len(list(Path(f"/proc/{worker}/fd").iterdir())) + CLIENTS // 2
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (limit, limit))
        with ExitStack() as stack:
            for _ in range(CLIENTS):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", web.port), timeout=20))
                client.sendall(b"GET")
            until(lambda: web.lines("connections_refused") or child(web) != worker, "the limit is reached")
            # The clients that are accepted do not stay for ever.
            assert web.get("/healthz", name=None).status == 200
        assert web.get("/healthz", name=None).status == 200
        assert child(web) == worker
        assert [line["why"] for line in web.lines("connections_refused")] == ["EMFILE"]
