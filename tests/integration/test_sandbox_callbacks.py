"""The sandbox's callbacks, at a receiver with a real socket."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from sandbox.callbacks import CallbackSettings
from sandbox.cli import sandbox as command
from sandbox.server import Sandbox
from tests.integration.test_sandbox_server import Client
from tests.support.http_thread import serving
from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Receiver:
    """What came in: the path, and the id and type of each callback."""

    url: str
    status: int = 200
    got: list[tuple[str, str]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)


@contextmanager
def receiver(status: int = 200) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.paths.add(self.path)
            found.got.append((body["signatureId"], body["type"]))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}/v1/notifications/ph?secret=x", status)
    with serving(server):
        yield found


@contextmanager
def vendor(*urls: str, lost: float = 0.0, doubled: float = 0.0) -> Iterator[tuple[Sandbox, Client]]:
    with Sandbox(callbacks=CallbackSettings(urls, lost, doubled)) as running:
        client = Client(running)
        yield running, client
        client.http.close()


def callbacks(sandbox: Sandbox) -> dict[str, int]:
    found: dict[str, int] = sandbox.stats()["callbacks"]
    return found


def test_a_result_that_is_there_is_called_back_once() -> None:
    with receiver() as ours, vendor(ours.url) as (sandbox, client):
        asked_at = time.monotonic()
        assert client.data("pass-t300ms-1")["overallResult"] is None
        until(lambda: ours.got, "the callback comes")
        assert time.monotonic() - asked_at >= 0.3
        assert client.data("pass-t300ms-1")["overallResult"] == "PASS"
        until(lambda: callbacks(sandbox)["sent"] == 1, "it is counted")
        assert ours.got == [("pass-t300ms-1", "COMPLETED")]
        assert ours.paths == {"/v1/notifications/ph?secret=x"}


def test_a_user_who_is_done_is_called_back_before_the_result() -> None:
    with receiver() as ours, vendor(ours.url) as (_, client):
        assert client.data("user100ms-t500ms-1")["submissionCompleted"] is False
        until(lambda: ours.got, "the user is done")
        assert client.data("user100ms-t500ms-1")["submissionCompleted"] is True
        until(lambda: len(ours.got) == 2, "the result is there")
        assert [kind for _, kind in ours.got] == ["SUBMIT_COMPLETED", "COMPLETED"]


def test_a_result_that_is_there_after_nulls_is_called_back_after_the_last_of_them() -> None:
    with receiver() as ours, vendor(ours.url) as (_, client):
        client.ask("pass-http500-n2-1")
        client.ask("pass-http500-n2-1")
        time.sleep(0.1)
        assert ours.got == []
        client.ask("pass-http500-n2-1")
        until(lambda: ours.got, "the callback comes")
        assert client.data("pass-http500-n2-1")["overallResult"] == "PASS"


def test_incomplete_results_and_those_that_are_there_at_once_have_no_callback() -> None:
    with receiver() as ours, vendor(ours.url) as (_, client):
        for name in ("CARD_NOT_FOUND-t100ms-1", "pass-1", "fail-t200ms-1"):
            client.ask(name)
        until(lambda: ours.got, "the last one comes")
        time.sleep(0.2)
        assert ours.got == [("fail-t200ms-1", "COMPLETED")]


def test_callbacks_are_lost_and_doubled_as_asked() -> None:
    with receiver() as ours, vendor(ours.url, lost=1.0) as (sandbox, client):
        client.ask("pass-t10ms-1")
        until(lambda: callbacks(sandbox)["lost"] == 1, "it is lost")
        assert ours.got == []
    with receiver() as ours, vendor(ours.url, doubled=1.0) as (sandbox, client):
        client.ask("pass-t10ms-1")
        until(lambda: callbacks(sandbox)["sent"] == 2, "it comes twice")
        assert ours.got == [("pass-t10ms-1", "COMPLETED")] * 2


def test_the_shares_are_kept_and_the_same_ids_fail_each_time() -> None:
    settings = CallbackSettings(lost=0.2, doubled=0.1, seed=7)
    copies = [settings.copies(f"pass-{number}", "COMPLETED") for number in range(5000)]
    assert copies == [settings.copies(f"pass-{number}", "COMPLETED") for number in range(5000)]
    counted = Counter(copies)
    assert 0.17 < counted[0] / 5000 < 0.23
    assert 0.08 < counted[2] / 5000 < 0.12
    assert counted.keys() == {0, 1, 2}


def test_a_receiver_that_fails_or_is_not_there_harms_nothing() -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/"
    with receiver(status=500) as ours, vendor(ours.url, nowhere) as (sandbox, client):
        client.ask("pass-t10ms-1")
        until(lambda: callbacks(sandbox)["failed"] == 2, "both are counted")
        assert callbacks(sandbox) == {"sent": 0, "failed": 2, "lost": 0, "doubled": 0}
        assert client.data("pass-t10ms-1")["overallResult"] == "PASS"


def test_callbacks_that_wait_do_not_hold_up_the_end() -> None:
    with receiver() as ours:
        with vendor(ours.url) as (_, client):
            client.ask("pass-t1h-1")
            began = time.monotonic()
        assert time.monotonic() - began < 10
        assert ours.got == []


@pytest.mark.parametrize("url", ["nonsense", "ftp://host/", "http:///path"])
def test_a_url_that_is_not_one_is_one_line(url: str) -> None:
    ended = CliRunner().invoke(command, ["--port", "0", "--callback-url", url])
    assert ended.exit_code == 2
    assert "--callback-url: a callback URL must be http://… or https://…" in ended.output
