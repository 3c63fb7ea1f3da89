"""A file of settings that is read again when it changes, such as the tokens of the API and the users of the console."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_Content = TypeVar("_Content")

#: Equal to no signature of a file.
_NONE: Final[tuple[int, ...]] = ()

#: How often the file is looked at.
CHECK_S: Final = 1.0

#: A larger file is refused: it is not a list of tokens or users.
MAX_BYTES: Final = 1024 * 1024


class _Unread(ConfigError):
    """The file could not be read now, as with too many open files. It may be all right."""


class WatchedFile(Generic[_Content]):
    """Safe to share between threads. Raises ``ConfigError`` for a file that cannot be used at the start.

    Later a file that cannot be used is one line in the log, and what was read last stays valid. A file that the
    operating system did not give out is tried again at each look: it may be all right, and name fewer users.

    Parameters:
        setting: the name of the setting that names the file, for messages.
        path: None if the setting is not set.
        parse: returns the content of the text. Raises ``ConfigError``.
        empty: the content where there is no file.
        loaded: logs that a changed file was read.
        unusable: logs why a changed file cannot be used.
    """

    def __init__(  # noqa: PLR0913 - given by name
        self,
        setting: str,
        path: Path | None,
        parse: Callable[[str], _Content],
        *,
        empty: _Content,
        loaded: Callable[[_Content], None],
        unusable: Callable[[str], None],
    ) -> None:
        self._setting = setting
        self._path = path
        self._parse = parse
        self._loaded = loaded
        self._unusable = unusable
        self._lock = threading.Lock()
        self._check_at = time.monotonic() + CHECK_S
        #: The file that was read, and the one of which the log has that it could not be.
        self._seen: tuple[int, ...] | None = None
        self._logged: tuple[int, ...] | None = _NONE
        self._content = empty
        if path is not None:
            self._seen = _signature(path)
            self._content = self._read(path)

    @property
    def is_configured(self) -> bool:
        return self._path is not None

    def content(self) -> _Content:
        """The content of the newest file that could be used."""
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
        return self._content

    def _look(self, path: Path) -> None:
        # Before the file is read: a change in between is seen at the next look.
        signature = _signature(path)
        if signature == self._seen:
            return
        try:
            self._content = self._read(path)
        except _Unread as error:
            self._seen = _NONE
            if signature != self._logged:
                self._logged = signature
                self._unusable(str(error))
            return
        except ConfigError as error:
            self._unusable(str(error).splitlines()[0])
        else:
            self._loaded(self._content)
        self._seen, self._logged = signature, _NONE

    def _read(self, path: Path) -> _Content:
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
            text = raw.decode()
        except OSError as error:
            raise _Unread(
                f"{self._setting}: the file cannot be read ({error.strerror}): check its path and its permissions"
            ) from None
        except ValueError:
            raise ConfigError(
                f"{self._setting}: the file cannot be read as text: check its path and its permissions"
            ) from None
        if len(raw) > MAX_BYTES:
            raise ConfigError(f"{self._setting}: the file is larger than {MAX_BYTES} bytes")
        return self._parse(text)


def _signature(path: Path) -> tuple[int, ...] | None:
    """What is different once the file was written or replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_dev, found.st_ino)
