"""A new file that appears whole or not at all, never replaces another, and only its owner can read."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from worker.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_MODE: Final = 0o600

#: The flag that opens a file without a name, which a kill leaves no trace of; 0: not supported here.
_NAMELESS: Final[int] = getattr(os, "O_TMPFILE", 0) if Path("/proc/self/fd").is_dir() else 0

#: The errors of a file system without nameless files, such as NFS.
_KNOWS_NONE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})

#: The errors of a file system without hard links.
_KNOWS_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write. At the end of the block it is durable and gets its name; if the block raises, it is gone.

    Raises ``InvalidInput`` if the name is taken, and ``OSError``.
    """
    refuse_taken(path)
    descriptor, temporary = _opened(path)
    try:
        with os.fdopen(descriptor, "wb") as file, _folder(path.parent) as folder:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _name(file.fileno(), temporary, path, folder)
            os.fsync(folder)
    except OSError as error:
        # An error of a write has no name: a disk that is full must be said with its place.
        error.filename = error.filename or str(path)
        raise
    finally:
        if temporary is not None:
            with suppress(FileNotFoundError):
                temporary.unlink()


def refuse_taken(path: Path) -> None:
    """Raise ``InvalidInput`` if there is anything under this name."""
    if os.path.lexists(path):
        raise InvalidInput(f"{path} exists, and is not replaced: give another name")


def _opened(path: Path) -> tuple[int, Path | None]:
    """Open a file without a name or with a temporary one. Returns the latter, or None."""
    if _NAMELESS:
        try:
            return os.open(path.parent, _NAMELESS | os.O_WRONLY, FILE_MODE), None
        except OSError as error:
            if error.errno not in _KNOWS_NONE:
                raise
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")
    return os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE), temporary


def _name(descriptor: int, temporary: Path | None, path: Path, folder: int) -> None:
    try:
        # With a descriptor of the folder, Python follows the link in /proc.
        os.link(temporary or f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder)
    except FileExistsError:
        refuse_taken(path)
        raise
    except OSError as error:
        if temporary is None or error.errno not in _KNOWS_NO_LINKS:
            raise
        # Reserve the name first: a rename alone would replace a file of somebody else.
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
        except FileExistsError:
            refuse_taken(path)
            raise
        temporary.rename(path)


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
