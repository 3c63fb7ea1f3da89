"""Where leaves are in a region's log, by its tiles, read from the end."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from worker.evidence.log.tiles import WIDTH, hashes_of, tile_name

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from worker.evidence.log.commits import RegionLog

#: Concurrent reads of tiles.
READERS: Final = 8


class LeafIndexes:
    """Where leaves are in a region's log. It reads each tile once, however often it is asked. Not thread-safe.

    Parameters:
        remembers: keep what was read, about 200 bytes for each entry. Without it, ask once only.
    """

    def __init__(self, log: RegionLog, *, remembers: bool = True) -> None:
        self._files = log
        self._remembers = remembers
        self._size = 0
        self._known: dict[bytes, int] = {}
        #: What is older than what is known.
        self._older: Iterator[tuple[int, bytes]] | None = None

    def find(self, size: int, leaves: set[bytes]) -> dict[bytes, int]:
        """Return the index of each of some leaves that the log has, the newest of each."""
        try:
            self._read(size, leaves)
        except BaseException:
            # An iterator that has raised would end as if there were nothing more.
            self._older, self._known = None, {}
            raise
        found = ((leaf, self._known[leaf]) for leaf in leaves & self._known.keys())
        return {leaf: index for leaf, index in found if index < size}

    def _read(self, size: int, leaves: set[bytes]) -> None:
        """Read until all of some leaves are known, or the whole log is."""
        if self._older is None:
            self._older, self._size = from_the_end(self._files, size), size
        elif size > self._size:
            newest: dict[bytes, int] = {}
            for index, leaf in from_the_end(self._files, size, self._size):
                newest.setdefault(leaf, index)
            self._known |= newest
            self._size = size
        wanted = leaves - self._known.keys()
        while wanted and (read := next(self._older, None)) is not None:
            index, leaf = read
            if self._remembers or leaf in wanted:
                self._known.setdefault(leaf, index)
            wanted.discard(leaf)


def from_the_end(log: RegionLog, size: int, start: int = 0) -> Generator[tuple[int, bytes], None, None]:
    """Yield index and hash of each leaf from `start` on, the newest first, by the tiles that are there."""

    def read(index: int) -> list[bytes]:
        width = min(WIDTH, size - index * WIDTH)
        raw = log.read(tile_name(0, index, width)) or log.read(tile_name(0, index)) or b""
        with suppress(ValueError):
            return hashes_of(raw)[:width]
        return []

    first = start // WIDTH
    with ThreadPoolExecutor(READERS) as readers:
        for end in range(-(-size // WIDTH), first, -READERS):
            indexes = range(end - 1, max(end - READERS, first) - 1, -1)
            for index, hashes in zip(indexes, readers.map(read, indexes), strict=True):
                for at in range(len(hashes) - 1, -1, -1):
                    if index * WIDTH + at >= start:
                        yield index * WIDTH + at, hashes[at]
