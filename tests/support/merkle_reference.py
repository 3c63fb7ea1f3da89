"""The definitions of RFC 6962, section 2.1, word for word: slow, and the oracle of our trees."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


def mth(entries: Sequence[bytes]) -> bytes:
    """MTH(D[n])."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = largest_power(len(entries))
    return hashlib.sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(entries) == 1:
        return []
    k = largest_power(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def proof(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n])."""
    return _subproof(m, entries, b=True)


def _subproof(m: int, entries: Sequence[bytes], *, b: bool) -> list[bytes]:
    if m == len(entries):
        return [] if b else [mth(entries)]
    k = largest_power(len(entries))
    if m <= k:
        return [*_subproof(m, entries[:k], b=b), mth(entries[k:])]
    return [*_subproof(m - k, entries[k:], b=False), mth(entries[:k])]


def largest_power(n: int) -> int:
    """The largest power of two below n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def nodes_of(entries: Sequence[bytes]) -> Callable[[int, int], bytes]:
    """Return a function that returns the hash of a complete node by level and index."""
    levels = [[hashlib.sha256(b"\x00" + entry).digest() for entry in entries]]
    while len(levels[-1]) > 1:
        row = levels[-1]
        pairs = zip(row[::2], row[1::2], strict=False)
        levels.append([hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs])
    return lambda level, index: levels[level][index]


def tiles_of(size: int) -> Iterator[tuple[int | str, int, int]]:
    """Yield level, index and width of each tile and each bundle of a tree, from the left: c2sp.org/tlog-tiles."""
    level, count = 0, size
    while count:
        for kind in ("entries", 0) if level == 0 else (level,):
            yield from ((kind, index, 256) for index in range(count // 256))
            if count % 256:
                yield kind, count // 256, count % 256
        level, count = level + 1, count // 256
