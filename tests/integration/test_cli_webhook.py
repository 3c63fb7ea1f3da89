"""`ekyc webhook`: keys in files, and a check that finds each fault of a receiver."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import stat
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli_process import Ekyc
from tests.support.http_thread import serving
from tests.support.ports import free_port
from worker import signatures
from worker.cli.webhook.receiver import Receiver
from worker.errors import SignatureRefused
from worker.signatures import Signer, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

SECRET = signatures.new_secret()
KEY = signatures.new_private_key()


@contextmanager
def receiving(handle: Callable[[Mapping[str, str], bytes], int]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = handle({name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}/"


def right(headers: Mapping[str, str], body: bytes) -> int:
    try:
        Verifier(secrets=[SECRET], public_keys=[KEY.public_key()]).verify(headers, body)
    except SignatureRefused:
        return 401
    return 204


def signed_by_secret(headers: Mapping[str, str], content: bytes) -> bool:
    made = base64.b64encode(hmac.digest(SECRET, content, hashlib.sha256)).decode()
    return f"v1,{made}" in headers.get("webhook-signature", "").split(" ")


def is_recent(headers: Mapping[str, str]) -> bool:
    return abs(time.time() - int(headers.get("webhook-timestamp", "0"))) <= 300


def content(headers: Mapping[str, str], body: bytes) -> bytes:
    return f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body


def without_clock(headers: Mapping[str, str], body: bytes) -> int:
    return 204 if signed_by_secret(headers, content(headers, body)) else 401


def late_only(headers: Mapping[str, str], body: bytes) -> int:
    late = time.time() - int(headers.get("webhook-timestamp", "0")) > 300
    return 204 if not late and signed_by_secret(headers, content(headers, body)) else 401


def trusting(headers: Mapping[str, str], body: bytes) -> int:
    return 204


def trusting_headers(headers: Mapping[str, str], body: bytes) -> int:
    return 204 if is_recent(headers) and headers.get("webhook-signature") else 401


def parsed_first(headers: Mapping[str, str], body: bytes) -> int:
    """It verifies JSON that it has written again, as the sender happens to write it."""
    again = json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
    return 204 if is_recent(headers) and signed_by_secret(headers, content(headers, again)) else 401


def parsed_by_javascript(headers: Mapping[str, str], body: bytes) -> int:
    again = body.replace(b":1.0", b":1")
    return 204 if is_recent(headers) and signed_by_secret(headers, content(headers, again)) else 401


def crashing(headers: Mapping[str, str], body: bytes) -> int:
    """It fails on headers that are missing or cannot be read."""
    parts = [each.split(",") for each in headers.get("webhook-signature", "").split(" ")]
    return 500 if any(len(part) != 2 for part in parts) else right(headers, body)


def by_prefix(headers: Mapping[str, str], body: bytes) -> int:
    """It compares as many bytes as were sent."""
    if not is_recent(headers):
        return 401
    made = hmac.digest(SECRET, content(headers, body), hashlib.sha256)
    for each in headers.get("webhook-signature", "").split(" "):
        version, _, text = each.partition(",")
        try:
            sent = base64.b64decode(text, validate=True)
        except ValueError:
            continue
        if version == "v1" and made.startswith(sent):
            return 204
    return 401


def first_signature_only(headers: Mapping[str, str], body: bytes) -> int:
    first = headers.get("webhook-signature", "").partition(" ")[0]
    return right({**headers, "webhook-signature": first}, body)


class Remembering:
    """Answers 409 to an id that it knows; or only while the first delivery is in work."""

    def __init__(self, *, only_at_once: bool) -> None:
        self._only_at_once = only_at_once
        self._ids: set[str] = set()
        self._lock = Lock()

    def __call__(self, headers: Mapping[str, str], body: bytes) -> int:
        status = right(headers, body)
        if status != 204:
            return status
        with self._lock:
            if headers["webhook-id"] in self._ids:
                return 409
            self._ids.add(headers["webhook-id"])
        if self._only_at_once:
            time.sleep(0.6)
            with self._lock:
                self._ids.discard(headers["webhook-id"])
        return 204


def with_an_id_of_the_body(headers: Mapping[str, str], body: bytes) -> int:
    """It verifies the id that the body has, and uses the one of the header."""
    return right({**headers, "webhook-id": json.loads(body)["id"]}, body)


#: What a receiver does wrong, and the checks that must find it.
WRONG: list[tuple[Any, set[str]]] = [
    (without_clock, {"stale", "future"}),
    (late_only, {"future"}),
    (
        trusting,
        {"stale", "future", "replayed", "re-serialised", "wrong signature", "unsigned", "malformed", "empty"},
    ),
    (trusting_headers, {"replayed", "re-serialised", "wrong signature", "malformed", "empty"}),
    (parsed_first, {"re-serialised"}),
    (parsed_by_javascript, {"valid"}),
    (crashing, {"unsigned", "malformed"}),
    (by_prefix, {"empty"}),
    (first_signature_only, {"rotation"}),
    (Remembering(only_at_once=False), {"doubled", "at once"}),
    (Remembering(only_at_once=True), {"at once"}),
    (with_an_id_of_the_body, {"replayed"}),
    (lambda headers, body: 410, {"valid"}),
    (lambda headers, body: 307, {"valid"}),
    (lambda headers, body: 401, {"valid"}),
]


def signer() -> Signer:
    return Signer(secrets=[SECRET], private_keys=[KEY])


@pytest.mark.parametrize(("handle", "faults"), WRONG)
def test_each_fault_of_a_receiver_is_found(handle: Any, faults: set[str]) -> None:
    by_secret_alone = {
        without_clock,
        late_only,
        parsed_first,
        parsed_by_javascript,
        by_prefix,
        first_signature_only,
    }
    with receiving(handle) as url:
        chosen = Signer(secrets=[SECRET]) if handle in by_secret_alone else signer()
        verdicts = list(Receiver.at(url, chosen).verdicts())
    assert {verdict.check for verdict in verdicts if not verdict.ok} == faults, verdicts
    assert all(bool(verdict.todo) is not verdict.ok for verdict in verdicts)
    if "valid" in faults:
        # Nothing else means anything then.
        assert len(verdicts) == 1


def test_a_right_receiver_has_no_fault() -> None:
    with receiving(right) as url:
        assert [verdict for verdict in Receiver.at(url, signer()).verdicts() if not verdict.ok] == []


def test_a_slow_receiver_is_found() -> None:
    def slow(headers: Mapping[str, str], body: bytes) -> int:
        time.sleep(0.3)
        return right(headers, body)

    with receiving(slow) as url:
        receiver = Receiver.at(url, signer())
        receiver.slow_s = 0.2
        assert [verdict.check for verdict in receiver.verdicts() if not verdict.ok] == ["slow"]
        receiver.give_up_s = 0.1
        (verdict,) = receiver.verdicts()
        assert (verdict.said, verdict.ok) == ("no answer (TIMEOUT)", False)
        assert verdict.todo.startswith("answer first, and work afterwards")


# --- the commands


def files(tmp_path: Path) -> list[str]:
    for name, text in (
        ("secret", signatures.format_secret(SECRET)),
        ("key", signatures.format_private_key(KEY)),
    ):
        (tmp_path / name).write_text(text + "\n")
    return ["--secret-file", str(tmp_path / "secret"), "--key-file", str(tmp_path / "key")]


def test_people_read_one_line_a_check(tmp_path: Path) -> None:
    options = files(tmp_path)
    with receiving(without_clock) as url:
        ended = Ekyc({})("webhook", "check", url, *options)
        asked = Ekyc({})("webhook", "check", url, *options, "--json")
    assert ended.code == asked.code == 1
    lines = ended.out.splitlines()
    assert lines[0] == "ok     valid            accepted"
    assert lines[4] == (
        "wrong  stale            answered 204 to a delivery signed an hour ago: compare webhook-timestamp with "
        "the clock: at most 5 minutes may lie between them, and answer 400 or 401"
    )
    assert len(lines) == 13
    report = json.loads(asked.out)
    assert report["ok"] is False
    assert report["checks"][4] == {
        "check": "stale",
        "ok": False,
        "said": "answered 204 to a delivery signed an hour ago",
        "todo": lines[4].partition("hour ago: ")[2],
    }


def test_nothing_listens(tmp_path: Path) -> None:
    ended = Ekyc({})("webhook", "check", f"http://127.0.0.1:{free_port()}/", *files(tmp_path))
    assert ended.code == 1
    assert ended.out == (
        "wrong  valid            no answer (REFUSED): check the URL, and that the receiver runs\n"
    )


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["ftp://shop.example.com/"], "give the URL of the receiver"),
        (["shop.example.com"], "give the URL of the receiver"),
        (["https://user:hush@shop.example.com/"], "must have no user and no password"),
        (["https://shop.example.com/#hush"], "give the URL of the receiver"),
        (["https://[::1/hush"], "give the URL of the receiver"),
        (["https://shop.example.com/"], "nothing to sign with: pass --secret-file or --key-file"),
        (
            ["https://shop.example.com/", "--secret-file", "missing"],
            "--secret-file: the file cannot be read as text",
        ),
        (["https://shop.example.com/", "--secret-file", os.devnull], "--secret-file: the file is empty"),
        (["https://shop.example.com/", "--key-file", "hush"], "--key-file: a private key begins with whsk_"),
    ],
)
def test_wrong_input_is_one_line_and_quotes_nothing(arguments: list[str], fault: str, tmp_path: Path) -> None:
    (tmp_path / "hush").write_text("hush")
    given = [str(tmp_path / "hush") if each == "hush" else each for each in arguments]
    ended = Ekyc({})("webhook", "check", *given)
    assert ended.code == 2
    assert fault in ended.err
    assert "hush" not in ended.err.replace(str(tmp_path), "")


def test_a_secret_in_the_environment_that_cannot_be_read() -> None:
    ended = Ekyc({"WEBHOOK_SECRET": "whsec_hush"})("webhook", "check", "https://shop.example.com/")
    assert (ended.code, ended.err) == (
        2,
        "ekyc: WEBHOOK_SECRET: a secret has 24 to 64 bytes, this one has 3\n",
    )


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_key_is_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "signing-key"
    before = os.umask(umask)
    try:
        ended = Ekyc({})("webhook", "key", str(path))
    finally:
        os.umask(before)
    assert ended.code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (key,) = signatures.parse_private_keys(path.read_text())
    assert ended.out == signatures.format_public_key(key.public_key()) + "\n"
    assert ended.err == f"ekyc: the private key {signatures.key_id(key.public_key())} is in {path}\n"
    kept = path.read_bytes()
    again = Ekyc({})("webhook", "key", str(path))
    assert (again.code, again.out) == (2, "")
    assert "the file exists, and is not replaced" in again.err
    assert path.read_bytes() == kept


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    ended = Ekyc({})("webhook", "secret", str(path))
    assert (ended.code, ended.out) == (0, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(signatures.parse_secrets(path.read_text())) == 1
    missing = Ekyc({})("webhook", "secret", str(tmp_path / "nowhere" / "secret"))
    assert missing.code == 2
    assert "cannot be written: No such file or directory" in missing.err
