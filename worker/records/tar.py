"""Tar archives as a stream of bytes: equal members give equal archives, and no archive is ever held in memory."""

from __future__ import annotations

import tarfile
from hashlib import sha256
from itertools import chain
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The time of every member, 2000-01-01 UTC: times would make two exports of one thing differ.
MTIME: Final = 946_684_800

#: Members are for the account that unpacks them.
MODE: Final = 0o600

#: An archive ends with two empty blocks, and is filled up to a whole record.
_BLOCK: Final = tarfile.BLOCKSIZE
_RECORD: Final = tarfile.RECORDSIZE

_CHUNK: Final = 1 << 16


class TarStream:
    """Turns members into the bytes of an archive.

    Parameters:
        sums: an empty file for reading and writing, which collects the lines of `sha256sum`.
    """

    def __init__(self, sums: IO[bytes]) -> None:
        self._sums = sums
        self._length = 0

    def member(self, name: str, body: bytes) -> Iterator[bytes]:
        """Yield the bytes of one file. No two members may have one name."""
        self._sums.write(f"{sha256(body).hexdigest()}  {name}\n".encode())
        yield from self._counted((_header(name, len(body)), body, bytes(-len(body) % _BLOCK)))

    def sums_member(self, name: str) -> Iterator[bytes]:
        """Yield the file with the SHA-256 of each member before, as `sha256sum --check` reads it."""
        size = self._sums.tell()
        self._sums.seek(0)
        chunks = iter(lambda: self._sums.read(_CHUNK), b"")
        yield from self._counted(chain([_header(name, size)], chunks, [bytes(-size % _BLOCK)]))

    def end(self) -> Iterator[bytes]:
        """Yield the end of the archive."""
        yield from self._counted((bytes(2 * _BLOCK), bytes(-(self._length + 2 * _BLOCK) % _RECORD)))

    def _counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._length += len(piece)
            yield piece


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, MTIME, MODE
    return info.tobuf(tarfile.USTAR_FORMAT)
