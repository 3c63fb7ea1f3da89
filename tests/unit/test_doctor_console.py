"""What `ekyc doctor` says of the console."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from worker.cli.checks.console import check_console
from worker.cli.checks.finding import Level
from worker.errors import ConfigError, InvalidInput
from worker.policy.console_users import Role, User, entry
from worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

HASH: Final = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "users.toml"
    path.write_text(
        "\n".join(
            entry(user)
            for user in (
                User("ann", frozenset({Role.OPERATOR}), HASH),
                User("bob", frozenset({Role.REVIEWER, Role.AUDITOR}), HASH),
            )
        )
    )
    path.chmod(0o640)
    return Settings(console_users_file=path)


def test_users_are_counted_by_role(settings: Settings) -> None:
    (finding,) = check_console(settings)
    assert finding.level is Level.OK
    assert finding.said == "users by role: 2 viewer, 1 operator, 1 reviewer, 1 auditor"


def test_no_file_is_no_console() -> None:
    (finding,) = check_console(Settings())
    assert (finding.level, finding.said) == (
        Level.OK,
        "EKYC_CONSOLE_USERS_FILE is not set: there is no console",
    )


@pytest.mark.parametrize(
    ("mode", "level", "said"),
    [
        (0o644, Level.WARNING, "try passwords on its hashes"),
        (0o660, Level.ERROR, "make themselves users"),
        (0o602, Level.ERROR, "make themselves users"),
    ],
)
def test_who_else_can_read_or_write_it(settings: Settings, mode: int, level: Level, said: str) -> None:
    path = settings.console_users_file
    assert path is not None
    path.chmod(mode)
    (finding,) = check_console(settings)
    assert finding.level is level
    assert said in finding.said
    assert "chmod" in finding.todo


def test_a_file_that_web_would_not_read(settings: Settings) -> None:
    path = settings.console_users_file
    assert path is not None
    path.write_text("[[user]]")
    with pytest.raises(ConfigError, match="user 1: name is missing"):
        list(check_console(settings))
    path.write_text("")
    (finding,) = check_console(settings)
    assert (finding.level, finding.todo) == (Level.WARNING, "add one: `ekyc console user add`")
    path.unlink()
    (finding,) = check_console(settings)
    assert finding.level is Level.ERROR
    assert "`web` does not start" in finding.said
    path.mkdir()
    with pytest.raises(InvalidInput, match="cannot be read"):
        list(check_console(settings))


def test_users_without_a_password_need_a_proxy_and_not_every_address(settings: Settings) -> None:
    path = settings.console_users_file
    assert path is not None
    path.write_text(entry(User("ann", frozenset({Role.VIEWER}))))
    assert "users without a password: 1;" in [finding.said for finding in check_console(settings)][-1]
    behind = replace(settings, console_proxies=("10.0.0.1", "unix"))
    assert [finding.level for finding in check_console(behind)] == [Level.OK]
    for everything in ("0.0.0.0/0", "::/0"):
        finding = list(check_console(replace(settings, console_proxies=(everything,))))[-1]
        assert (finding.level, "trusts every address" in finding.said) == (Level.ERROR, True)


def test_the_viewer_needs_evidence_keys_and_a_reviewer(settings: Settings) -> None:
    shown = replace(settings, console_evidence="on")
    assert "EKYC_EVIDENCE_URL is not set here" in list(check_console(shown))[-1].said
    shown = replace(shown, evidence_url="file:///var/lib/ekyc")
    assert "EKYC_EVIDENCE_KEYS is not set here" in list(check_console(shown))[-1].said
    shown = replace(shown, evidence_keys="2026:AAAA")
    assert [finding.level for finding in check_console(shown)] == [Level.OK]
    path = settings.console_users_file
    assert path is not None
    path.write_text(entry(User("ann", frozenset({Role.VIEWER}), HASH)))
    assert "no user has the role reviewer" in list(check_console(shown))[-1].said
