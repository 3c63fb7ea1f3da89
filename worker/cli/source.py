"""Where `--from` reads: a file, standard input, or a copy of it that can be read twice."""

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
def opened(name: str) -> Iterator[BinaryIO]:
    """The bytes of the file `name`, of standard input for `-`. Raises ``InvalidInput``."""
    if name == "-":
        if sys.stdin is None:
            raise InvalidInput("--from -: standard input is closed")
        yield cast("BinaryIO", sys.stdin.buffer)
        return
    try:
        stream = open(name, "rb")  # noqa: PTH123, SIM115 - a name such as /dev/fd/63 is no path to be made nicer
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "this is no file name"
        raise InvalidInput(f"--from {name}: {problem}") from None
    with stream:
        yield stream


@contextmanager
def rewindable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The same bytes in a file that can be read twice: `stream` itself, or a nameless copy of what is in a pipe."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        yield cast("BinaryIO", copy)


def size_bytes(stream: BinaryIO) -> int | None:
    """How many bytes there are to be read; None where nobody knows."""
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
