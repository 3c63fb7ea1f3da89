"""The users that may log in now: the file of `EKYC_CONSOLE_USERS_FILE`, read again when it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.policy import console_users
from worker.web.watched_file import WatchedFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from worker.policy.console_users import User

_log = structlog.get_logger(__name__)


class UserFile:
    """Safe to share between threads. Raises ``ConfigError`` for a file that cannot be used at the start."""

    def __init__(self, path: Path | None) -> None:
        nobody: Mapping[str, User] = {}
        self._file = WatchedFile(
            "EKYC_CONSOLE_USERS_FILE",
            path,
            _by_name,
            empty=nobody,
            loaded=_loaded,
            unusable=_unusable,
        )

    @property
    def is_open(self) -> bool:
        """Whether there is a console: it is closed without users."""
        return self._file.is_configured and bool(self._file.content())

    def find(self, name: str) -> User | None:
        """The user of this name."""
        return self._file.content().get(name)


def _by_name(text: str) -> Mapping[str, User]:
    return {user.name: user for user in console_users.parse(text)}


def _loaded(content: Mapping[str, User]) -> None:
    _log.info("console_users_loaded", count=len(content))


def _unusable(why: str) -> None:
    _log.error("console_users_unusable", why=why)
