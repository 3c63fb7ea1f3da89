"""The tokens that are valid now: the file of `EKYC_API_TOKENS_FILE`, read again when it changes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import ConfigError
from worker.policy import api_tokens

if TYPE_CHECKING:
    from pathlib import Path

    from worker.policy.api_tokens import Token

#: How often the file is looked at.
CHECK_S: Final = 1.0

#: A larger file is refused: it is not a list of tokens.
MAX_BYTES: Final = 1024 * 1024

_log = structlog.get_logger(__name__)


class TokenFile:
    """Safe to share between threads. Raises ``ConfigError`` for a file that cannot be used at the start.

    Later a file that cannot be used is one line in the log, and the tokens that were read last stay valid.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._check_at = time.monotonic() + CHECK_S
        self._seen: tuple[int, ...] | None = None
        self._tokens: tuple[Token, ...] = ()
        if path is not None:
            self._seen = _signature(path)
            self._tokens = _read(path)

    @property
    def is_configured(self) -> bool:
        return self._path is not None

    def tokens(self) -> tuple[Token, ...]:
        """The tokens of the newest file that could be used."""
        if (
            self._path is not None
            and time.monotonic() >= self._check_at
            and self._lock.acquire(blocking=False)
        ):
            try:
                self._check_at = time.monotonic() + CHECK_S
                self._look(self._path)
            finally:
                self._lock.release()
        return self._tokens

    def _look(self, path: Path) -> None:
        # Before the file is read: a change in between is seen at the next look.
        signature = _signature(path)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._tokens = _read(path)
        except ConfigError as error:
            _log.error("api_tokens_unusable", why=str(error).splitlines()[0])
        else:
            _log.info("api_tokens_loaded", count=len(self._tokens))


def _signature(path: Path) -> tuple[int, ...] | None:
    """What is different once the file was written or replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_dev, found.st_ino)


def _read(path: Path) -> tuple[Token, ...]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode()
    except (OSError, ValueError):
        raise ConfigError(
            "EKYC_API_TOKENS_FILE: the file cannot be read as text: check its path and its permissions"
        ) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"EKYC_API_TOKENS_FILE: the file is larger than {MAX_BYTES} bytes")
    return api_tokens.parse(text)
