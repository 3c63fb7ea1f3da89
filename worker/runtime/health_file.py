"""The health file of a worker, and the lock that prevents two workers from sharing one."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

#: The suffix of the lock file. It is never removed, because that would be a race.
LOCK: Final = ".lock"


class HealthFile:
    """A file whose mtime is the moment at which a worker's dispatcher loop last ran.

    Raises ``ConfigError`` if it cannot be written, or if another process uses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise ConfigError(
                f"EKYC_HEALTH_FILE: the folder {path.parent} does not exist, or is not writable"
            )
        self._lock = _locked(path)

    def touch(self, s_ago: float) -> None:
        """Set the mtime to `s_ago` seconds ago. Raises ``OSError``."""
        if not self.path.exists():
            self.path.touch()
        turned_at = time.time() - s_ago
        os.utime(self.path, (turned_at, turned_at))

    def remove(self) -> None:
        """Remove the file, when the worker ends."""
        with suppress(OSError):
            self.path.unlink()


def _locked(path: Path) -> int:
    """Return a descriptor that holds the lock until the process ends."""
    lock = path.with_name(path.name + LOCK)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"EKYC_HEALTH_FILE: {lock} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ConfigError(
            f"EKYC_HEALTH_FILE: another running worker uses {path}: "
            "put %n into its name, which stands for the worker's name"
        ) from None
    return descriptor
