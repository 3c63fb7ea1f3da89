"""The receivers of `examples/`, each as a process: `ekyc webhook check` finds no fault, and nothing comes twice."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.cli_process import Ekyc
from tests.support.example_receiver import KEY, NAMES, SECRET, Receiver, receiver
from worker import signatures
from worker.signatures import Signer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

CHECKS = [
    *("valid", "rotation", "doubled", "at once"),
    *("stale", "future", "replayed", "re-serialised", "wrong signature", "unsigned", "malformed", "empty"),
    "slow",
]


@pytest.fixture(params=NAMES)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Receiver]:
    with receiver(request.param, tmp_path) as running:
        yield running


def post(receiver: Receiver, headers: dict[str, str], body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=30)
    try:
        connection.request("POST", "/", body, {"Content-Type": "application/json", **headers})
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_example_is_right_in_every_check(running: Receiver) -> None:
    ended = Ekyc({"WEBHOOK_SECRET": SECRET, "EKYC_SIGNING_KEY": KEY})(
        "webhook", "check", running.url, "--json"
    )
    assert ended.err == ""
    verdicts = json.loads(ended.out)["checks"]
    assert [verdict for verdict in verdicts if not verdict["ok"]] == []
    assert ended.code == 0
    assert [verdict["check"] for verdict in verdicts] == CHECKS
    # Those that had to be accepted, each once: one valid, one rotated, one doubled, one doubled at once.
    assert len(running.stored()) == 4
    assert set(Counter(running.stored()).values()) == {1}


def test_an_example_knows_an_id_after_it_was_killed(running: Receiver) -> None:
    """And each scheme alone is enough, where the example knows both."""
    schemes = [Signer(private_keys=signatures.parse_private_keys(KEY))]
    if running.name in {"flask_receiver", "node_receiver"}:
        schemes += [Signer(secrets=signatures.parse_secrets(SECRET))]
    if running.name == "flask_receiver":
        schemes = schemes[1:]
    for number, signer in enumerate(schemes):
        body = json.dumps({"type": "decision", "n": number}).encode()
        headers = signer.headers(f"known-{number}", int(time.time()), body)
        assert post(running, headers, body) == 204
    before = running.stored()
    assert len(before) == len(schemes)
    running.kill()
    running.start()
    assert post(running, headers, body) == 204
    assert running.stored() == before
    headers = signer.headers("later", int(time.time()), body)
    assert post(running, headers, body) == 204
    assert running.stored() == [*before, "later"]


def test_a_body_that_is_too_large_is_not_stored(running: Receiver) -> None:
    signer = Signer(secrets=signatures.parse_secrets(SECRET), private_keys=signatures.parse_private_keys(KEY))
    body = b'"' + b"x" * (3 * 1024 * 1024) + b'"'
    with suppress(OSError):  # it may close the connection instead
        assert post(running, signer.headers("large", int(time.time()), body), body) == 413
    assert running.stored() == []
    small = b"{}"
    assert post(running, signer.headers("small", int(time.time()), small), small) == 204
