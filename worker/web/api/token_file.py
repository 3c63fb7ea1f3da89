"""The tokens that are valid now: the file of `EKYC_API_TOKENS_FILE`, read again when it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.policy import api_tokens
from worker.web.watched_file import WatchedFile

if TYPE_CHECKING:
    from pathlib import Path

    from worker.policy.api_tokens import Token

_log = structlog.get_logger(__name__)


class TokenFile:
    """Safe to share between threads. Raises ``ConfigError`` for a file that cannot be used at the start."""

    def __init__(self, path: Path | None) -> None:
        none: tuple[Token, ...] = ()
        self._file = WatchedFile(
            "EKYC_API_TOKENS_FILE", path, api_tokens.parse, empty=none, loaded=_loaded, unusable=_unusable
        )

    @property
    def is_configured(self) -> bool:
        return self._file.is_configured

    def tokens(self) -> tuple[Token, ...]:
        """The tokens of the newest file that could be used."""
        return self._file.content()


def _loaded(content: tuple[Token, ...]) -> None:
    _log.info("api_tokens_loaded", count=len(content))


def _unusable(why: str) -> None:
    _log.error("api_tokens_unusable", why=why)
