"""The file of users: read, and replaced as a whole, while no other command changes it."""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from worker.cli.console.editing import UsersText
from worker.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from worker.settings import Settings

#: The rights of a file. Of one that is replaced, its group keeps the right to read.
_MODE: Final = 0o600
_GROUP_READS: Final = 0o040


def path_of(settings: Settings) -> Path:
    """Return the path of the file. Raises ``ConfigError`` if none is set."""
    if settings.console_users_file is None:
        raise ConfigError(
            "EKYC_CONSOLE_USERS_FILE is not set: set it to the path of the file of users, as for `web`"
        )
    return settings.console_users_file


def read(path: Path) -> UsersText:
    """Return the file; without a file, one without users. Raises ``InvalidInput`` and ``ConfigError``."""
    try:
        return UsersText.of(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return UsersText.of("")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeError:
        raise InvalidInput(f"{path}: is not text of UTF-8: name the file of users") from None


def edit(
    path: Path, change: Callable[[UsersText], UsersText], *, record: Callable[[], object] = lambda: None
) -> UsersText:
    """Replace the file by what `change` makes of it. It is whole at any moment. Raises ``InvalidInput``.

    `record` is called right before the file changes, once the new one is on the disk. What it raises leaves the file as
    it was.
    """
    target = path.resolve()
    try:
        with _locked(target.parent) as folder:
            after = change(read(target))
            _replace(target, after.text, record)
            os.fsync(folder)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from None
    return after


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Keep other commands from changing a file of a folder. The lock needs no file and ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _replace(target: Path, text: str, record: Callable[[], object]) -> None:
    draft = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
            _as_before(descriptor, target)
            opened.flush()
            os.fsync(descriptor)
        record()
        draft.replace(target)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def _as_before(descriptor: int, target: Path) -> None:
    """Give the new file the owner, the group and the right of the group to read of the one that it replaces.

    The command may run as root, and `web` under another account, which has to read it.
    """
    try:
        before = target.stat()
    except FileNotFoundError:
        return
    now = os.fstat(descriptor)
    if (before.st_uid, before.st_gid) != (now.st_uid, now.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, _MODE | stat.S_IMODE(before.st_mode) & _GROUP_READS)
