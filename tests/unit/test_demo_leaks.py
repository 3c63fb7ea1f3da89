"""Finding personal data in places where it must not be."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from sandbox.demo import leaks
from sandbox.documents import PERSON
from sandbox.links import LinkSigner

if TYPE_CHECKING:
    from pathlib import Path

LINK = LinkSigner("secret").link("http://127.0.0.1:1", "pass-1", "front")


@pytest.mark.parametrize("text", [PERSON, LINK], ids=["name", "link"])
def test_it_is_found_as_it_is_and_in_json(text: str) -> None:
    assert leaks.holds(text.encode())
    assert leaks.holds(json.dumps({"error": f"could not read {text}!"}).encode())


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("after", range(3))
@pytest.mark.parametrize("text", [PERSON, LINK], ids=["name", "link"])
def test_it_is_found_in_base64_wherever_it_stands(text: str, before: int, after: int) -> None:
    """As in the body of a Celery message on Redis."""
    assert leaks.holds(base64.b64encode(b"x" * before + text.encode() + b"y" * after))


def test_what_is_no_personal_data_is_not_found() -> None:
    innocent = (
        b'{"signature_id": "CARD_NOT_FOUND-n2-0001", "region": "ph", "evidence": "file:///images/front.jpg"}'
    )
    assert not leaks.holds(innocent)
    assert not leaks.holds(base64.b64encode(innocent))


def test_files_are_named_in_which_it_is(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "worker1.log").write_text(f"ok\n{PERSON}\n")
    (tmp_path / "valkey.log").write_text("ok\n")
    assert leaks.in_files(tmp_path) == ["worker1.log"]


def test_a_secret_is_found_as_it_is_and_in_base64(tmp_path: Path) -> None:
    secret = "ekyc_of-this-run"
    (tmp_path / "web.log").write_text(f"POST /v1/notifications/ph?secret={secret}\n")
    (tmp_path / "worker1.log").write_bytes(base64.b64encode(f"x {secret} x".encode()))
    assert leaks.in_files(tmp_path) == []
    assert leaks.in_files(tmp_path, [secret]) == ["web.log", "worker1.log"]
