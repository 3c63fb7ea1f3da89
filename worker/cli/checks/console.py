"""The console of `web`: its users, who can read or change their file, its proxies, and the evidence viewer."""

from __future__ import annotations

import stat
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from worker.cli.checks.finding import Finding, Level
from worker.cli.console.users_file import path_of, read
from worker.policy.console_users import Role
from worker.settings import UNIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.policy.console_users import User
    from worker.settings import Settings

_NAME: Final = "console"


def check_console(settings: Settings) -> Iterator[Finding]:
    """Who may use the console. Raises ``InvalidInput`` and ``ConfigError`` for a file that `web` would not read."""
    if settings.console_users_file is None:
        yield Finding(_NAME, Level.OK, "EKYC_CONSOLE_USERS_FILE is not set: there is no console")
        return
    users = read(path_of(settings)).users
    yield from _of_file(settings, users)
    yield from _of_proxies(settings, users)
    yield from _of_evidence(settings, users)


def _of_file(settings: Settings, users: tuple[User, ...]) -> Iterator[Finding]:
    path = path_of(settings)
    if not path.exists():
        said = f"{path} does not exist, so `web` does not start"
        yield Finding(_NAME, Level.ERROR, said, "add a user: `ekyc console user add`")
        return
    mode = path.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        said = (
            "other accounts of this machine can write EKYC_CONSOLE_USERS_FILE, and so make themselves users"
        )
        yield Finding(_NAME, Level.ERROR, said, "take the right from them: chmod go-w")
    elif mode & stat.S_IROTH:
        said = (
            "every account of this machine can read EKYC_CONSOLE_USERS_FILE, and try passwords on its hashes"
        )
        yield Finding(_NAME, Level.WARNING, said, "take the right from others: chmod o-rwx")
    elif users:
        yield Finding(_NAME, Level.OK, f"users by role: {_counted(users)}")
    else:
        said = "EKYC_CONSOLE_USERS_FILE has no users, so there is no console"
        yield Finding(_NAME, Level.WARNING, said, "add one: `ekyc console user add`")


def _of_proxies(settings: Settings, users: tuple[User, ...]) -> Iterator[Finding]:
    without = sum(not user.password for user in users)
    if without and not settings.console_proxies:
        said = f"users without a password: {without}; without EKYC_CONSOLE_PROXIES, they cannot log in"
        yield Finding(_NAME, Level.WARNING, said, "`ekyc console user password`, or set EKYC_CONSOLE_PROXIES")
    if any(entry != UNIX and ip_network(entry).prefixlen == 0 for entry in settings.console_proxies):
        said = "EKYC_CONSOLE_PROXIES trusts every address: everyone who reaches `web` can be any user"
        yield Finding(_NAME, Level.ERROR, said, "name the addresses of your proxies alone")


def _of_evidence(settings: Settings, users: tuple[User, ...]) -> Iterator[Finding]:
    if settings.console_evidence != "on":
        return
    if not settings.evidence_url or not settings.evidence_keys:
        missing = "EKYC_EVIDENCE_KEYS" if settings.evidence_url else "EKYC_EVIDENCE_URL"
        said = f"EKYC_CONSOLE_EVIDENCE is on, but {missing} is not set here"
        todo = (
            "`web` needs the store and the keys; without keys, evidence is not encrypted: docs/encryption.md"
        )
        yield Finding(_NAME, Level.WARNING, said, todo)
    if not any(user.may(Role.REVIEWER) for user in users):
        said = "EKYC_CONSOLE_EVIDENCE is on, but no user has the role reviewer"
        yield Finding(_NAME, Level.WARNING, said, "give it to somebody, or turn the viewer off")


def _counted(users: tuple[User, ...]) -> str:
    return ", ".join(f"{sum(user.may(role) for user in users)} {role}" for role in Role)
