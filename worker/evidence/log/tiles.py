"""The layout of c2sp.org/tlog-tiles: names of tiles, bundles of entries, and the rows that fill them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from worker.evidence.log.merkle import HASH_BYTES, Frontier, leaf_hash, node_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Hashes of a full tile, and entries of a full bundle.
WIDTH: Final = 256

#: Levels of the tree in one tile.
HEIGHT: Final = 8

#: The most bytes of an entry: its length is a uint16.
MAX_ENTRY: Final = 0xFFFF


def tile_name(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return the name of a tile below the log's folder. `level`: "entries" for a bundle; `width`: of a partial one."""
    digits = f"{index:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *parents, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
    name = "/".join(("tile", str(level), *(f"x{each}" for each in parents), last))
    return name if width == WIDTH else f"{name}.p/{width}"


def bundle(entries: Sequence[bytes]) -> bytes:
    """Return entries as a bundle."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def entries_of(raw: bytes) -> list[bytes]:
    """Return the entries of a bundle. Raises ``ValueError``."""
    entries, at = [], 0
    while at < len(raw):
        end = at + 2 + int.from_bytes(raw[at : at + 2])
        if end > len(raw):
            raise ValueError("the bundle is cut off")
        entries.append(raw[at + 2 : end])
        at = end
    return entries


def hashes_of(raw: bytes) -> list[bytes]:
    """Return the hashes of a tile. Raises ``ValueError``."""
    if len(raw) % HASH_BYTES:
        raise ValueError("the tile is cut off")
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def top_of(hashes: Sequence[bytes]) -> bytes:
    """Return the hash that a full tile has in the level above."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def partial_tiles(size: int) -> Iterator[tuple[int | str, int, int]]:
    """Yield level, index and width of each partial tile and bundle of a tree: what a growing log must read."""
    for level in range(_levels(size)):
        count = size >> level * HEIGHT
        if count % WIDTH:
            for kind in ("entries", 0) if level == 0 else (level,):
                yield kind, count // WIDTH, count % WIDTH


@dataclass(slots=True)
class Rows:
    """The partial tiles at the right edge of a growing tree."""

    size: int = 0
    #: The entries of the partial bundle.
    entries: list[bytes] = field(default_factory=list)
    #: By level, the hashes of the partial tile; without one, an empty list.
    hashes: list[list[bytes]] = field(default_factory=list)

    @classmethod
    def read(cls, frontier: Frontier, read: Callable[[str], bytes | None]) -> Rows | None:
        """Read the partial tiles of a tree. None: one is missing, or is not that of the tree."""
        rows = cls(frontier.size, [], [[] for _ in range(_levels(frontier.size))])
        for level, index, width in partial_tiles(frontier.size):
            raw = read(tile_name(level, index, width))
            try:
                if raw is None:
                    return None
                if isinstance(level, str):
                    rows.entries = entries_of(raw)
                else:
                    rows.hashes[level] = hashes_of(raw)
            except ValueError:
                return None
        return rows if rows.are_of(frontier) else None

    def are_of(self, frontier: Frontier) -> bool:
        """Whether these rows belong to a tree: the subtrees in them are those of its frontier."""
        found = [each for row in reversed(self.hashes) for each in Frontier().add(row).hashes]
        widths = [len(row) for row in self.hashes]
        wanted = [(frontier.size >> level * HEIGHT) % WIDTH for level in range(_levels(frontier.size))]
        first = self.hashes[0] if self.hashes else []
        return (
            tuple(found) == frontier.hashes
            and widths == wanted
            and [leaf_hash(entry) for entry in self.entries] == first
        )

    def add(self, entries: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
        """Add entries. Yield the name and the bytes of each new tile and bundle, in the end the partial ones."""
        changed = set[int]()
        for entry in entries:
            yield from self._add(entry, changed)
        for level in sorted(changed):
            count, row = self.size >> level * HEIGHT, self.hashes[level]
            if row:
                if level == 0:
                    yield tile_name("entries", count // WIDTH, len(row)), bundle(self.entries)
                yield tile_name(level, count // WIDTH, len(row)), b"".join(row)

    def _add(self, entry: bytes, changed: set[int]) -> Iterator[tuple[str, bytes]]:
        self.size += 1
        self.entries.append(entry)
        above, level = leaf_hash(entry), 0
        while True:
            if level == len(self.hashes):
                self.hashes.append([])
            row = self.hashes[level]
            row.append(above)
            changed.add(level)
            if len(row) < WIDTH:
                return
            index = (self.size >> (level + 1) * HEIGHT) - 1
            if level == 0:
                yield tile_name("entries", index), bundle(self.entries)
                self.entries.clear()
            yield tile_name(level, index), b"".join(row)
            above = top_of(row)
            row.clear()
            level += 1


def _levels(size: int) -> int:
    return -(-size.bit_length() // HEIGHT)
