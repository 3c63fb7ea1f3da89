"""The input of an option: a file, standard input, or a copy that can be read twice."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from worker.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def opened(name: str, *, option: str = "--from") -> Iterator[BinaryIO]:
    """Open the file `name`, or standard input for `-`. Raises ``InvalidInput``."""
    if name == "-":
        if sys.stdin is None:
            raise InvalidInput(f"{option} -: standard input is closed")
        yield cast("BinaryIO", sys.stdin.buffer)
        return
    try:
        stream = open(name, "rb")  # noqa: PTH123, SIM115 - a name such as /dev/fd/63 must stay as it is
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "this is not a file name"
        raise InvalidInput(f"{option} {name}: {problem}") from None
    with stream:
        yield stream


@contextmanager
def rewindable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a file that can be read twice: `stream` itself, or a temporary copy of a pipe."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        yield cast("BinaryIO", copy)


def size_bytes(stream: BinaryIO) -> int | None:
    """Return the size of a file; None for anything else, such as a pipe."""
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
