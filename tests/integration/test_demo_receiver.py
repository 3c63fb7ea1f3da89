"""The demo's receiver of webhooks, as a process."""

from __future__ import annotations

import http.client
import os
import signal
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from sandbox.demo.endpoint import RECEIVER, Endpoint, received
from sandbox.demo.folder import Folder
from sandbox.demo.listener import Listener
from sandbox.demo.processes import Processes
from worker.signatures import Signer, new_secret, parse_secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = '{"decision":"reject","name":"Žofie"}'.encode()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.make(tmp_path / "demo")


@pytest.fixture
def running(folder: Folder) -> Iterator[tuple[Endpoint, str, Processes]]:
    """The endpoint, the address of its receiver, and the processes."""
    with Listener() as listener, Processes(folder) as processes:
        endpoint = Endpoint(listener, folder)
        endpoint.write_files()
        endpoint.start(processes)
        yield endpoint, urlsplit(listener.url).netloc, processes


def post(address: str, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request("POST", "/ekyc", body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def test_what_is_signed_is_written_down_and_acknowledged(
    running: tuple[Endpoint, str, Processes], folder: Folder
) -> None:
    endpoint, address, processes = running
    now = int(time.time())
    headers = Signer(secrets=[parse_secret(endpoint.secret)]).headers("delivery-1", now, BODY)
    assert post(address, BODY, headers) == 204
    assert post(address, BODY, headers) == 204
    assert post(address, BODY + b" ", headers) == 401
    assert post(address, BODY, Signer(secrets=[new_secret()]).headers("delivery-2", now, BODY)) == 401
    assert post(address, b"", {}) == 401
    assert post(address, b"", {"Content-Length": "1048577"}) == 400
    assert [(each.id, each.body, each.refused) for each in received(folder.webhooks)] == [
        ("delivery-1", BODY.decode(), ""),
        ("delivery-1", BODY.decode(), ""),
        ("delivery-1", BODY.decode() + " ", "WRONG_SIGNATURE"),
        ("delivery-2", BODY.decode(), "WRONG_SIGNATURE"),
        ("", "", "MISSING_HEADER"),
    ]
    assert processes.end(RECEIVER, within_s=30) == {RECEIVER: 0}
    assert folder.log(RECEIVER).read_text() == ""


def test_once_it_has_ended_connections_are_refused(running: tuple[Endpoint, str, Processes]) -> None:
    _, address, processes = running
    os.kill(processes.named(RECEIVER).pid, signal.SIGKILL)
    processes.named(RECEIVER).popen.wait()
    with pytest.raises(ConnectionRefusedError):
        post(address, b"", {})
