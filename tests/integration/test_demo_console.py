"""The demo's user of the console, at a real `web`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.demo.console import NOW, Console
from tests.support.drive_ledger import decide
from tests.support.web_process import web_process

if TYPE_CHECKING:
    from pathlib import Path

    from worker.ledger import Ledger


def test_its_user_sees_the_figures_and_another_password_nothing(
    redis_url: str, ledger: Ledger, tmp_path: Path
) -> None:
    decide(ledger, "done-1")
    decide(ledger, "done-2")
    users = tmp_path / "users.toml"
    # The address is known once `web` runs, the user before.
    console = Console("")
    users.write_text(console.user_entry())
    with web_process(tmp_path, redis_url, EKYC_CONSOLE_USERS_FILE=str(users)) as web:
        url = f"http://127.0.0.1:{web.port}"
        shown = Console(url, console.password).look()
        assert {"ph", "sg"} <= set(shown.words(NOW).split())
        assert shown.figure("done") == 2
        assert Console(url).look().figure("done") is None
