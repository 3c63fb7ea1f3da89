"""Every lease that was ever given, from Valkey's own file: who only looks now and then misses some."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.watch import Key

#: The set in which leases stand; see `worker/ledger/lua/common.lua`.
_LEASED: Final = re.compile(rb"ekyc:\{([a-z]+)\}:leased")


def begun(folder: Path, lease_ms: int) -> dict[Key, list[int]]:
    """When each lease of each verification began, or began anew, in ms of Valkey's clock and in order.

    `folder`: where Valkey keeps its append-only file, in one piece from its first start on. `lease_ms`: how long the
    leases of the run are, for what is written down is when they end. Raises ``ValueError`` for a file that is none.
    """
    found: defaultdict[Key, list[int]] = defaultdict(list)
    (path,) = folder.glob("appendonlydir/*.incr.aof")
    with path.open("rb") as file:
        for name, *words in _commands(file):
            if name.upper() == b"ZADD" and (region := _LEASED.fullmatch(words[0])):
                for until, signature_id in zip(words[1::2], words[2::2], strict=True):
                    found[region[1].decode(), signature_id.decode()].append(int(until) - lease_ms)
    return dict(found)


def _commands(file: BinaryIO) -> Iterator[list[bytes]]:
    """Each command with its arguments, as Redis's protocol has them."""
    while head := file.readline():
        yield [file.read(_number(file.readline(), b"$") + 2)[:-2] for _ in range(_number(head, b"*"))]


def _number(line: bytes, mark: bytes) -> int:
    if not line.startswith(mark):
        raise ValueError("Valkey's append-only file does not read as Redis's protocol")
    return int(line[1:])
