"""All that was ever due, claimed and begun, from Valkey's own file: who only looks now and then misses some."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.watch import Key

#: The keys of a ledger; see `worker/ledger/lua/common.lua`.
_KEY: Final = re.compile(rb"ekyc:\{([a-z]+)\}:(leased|due:([a-z]+)|v:(.+))")


class Step(StrEnum):
    """What may happen to a verification."""

    #: From that moment on anybody may claim it.
    DUE = "due"
    #: A batch holds it, and nobody has begun that batch: its message is on its way.
    CLAIMED = "claimed"
    #: A worker has the batch in its hands.
    BEGUN = "begun"
    #: Whoever has it in hands still lives.
    RENEWED = "renewed"


@dataclass(frozen=True, slots=True)
class Deed:
    """One step of one verification, in ms of Valkey's clock. `stage`: at which it is due."""

    at_ms: int
    step: Step
    stage: str = ""


def deeds(folder: Path, lease_ms: int) -> dict[Key, list[Deed]]:
    """Every step of each verification, in the order in which they were written.

    A lease that a claim gives and one that begins are told apart by the holder that is written before: only who has
    begun says who it is.

    `folder`: where Valkey keeps its append-only file, in one piece from its first start on. `lease_ms`: how long the
    leases of the run are, for what is written down is when they end. Raises ``ValueError`` for a file that is none.
    """
    found: defaultdict[Key, list[Deed]] = defaultdict(list)
    holding: dict[Key, Step] = {}
    (path,) = folder.glob("appendonlydir/*.incr.aof")
    with path.open("rb") as file:
        for name, *words in _commands(file):
            key = _KEY.fullmatch(words[0]) if name.upper() in {b"ZADD", b"HSET"} else None
            if key is None:
                continue
            region, pairs = key[1].decode(), list(zip(words[1::2], words[2::2], strict=True))
            if key[4] is not None:
                if holder := dict(pairs).get(b"b"):
                    holding[region, key[4].decode()] = Step.BEGUN if b"/" in holder else Step.CLAIMED
                continue
            for until, signature_id in pairs:
                who = (region, signature_id.decode())
                if key[3] is not None:
                    found[who].append(Deed(int(until), Step.DUE, key[3].decode()))
                else:
                    found[who].append(Deed(int(until) - lease_ms, holding.pop(who, Step.RENEWED)))
    return dict(found)


def _commands(file: BinaryIO) -> Iterator[list[bytes]]:
    """Each command with its arguments, as Redis's protocol has them."""
    while head := file.readline():
        yield [file.read(_number(file.readline(), b"$") + 2)[:-2] for _ in range(_number(head, b"*"))]


def _number(line: bytes, mark: bytes) -> int:
    if not line.startswith(mark):
        raise ValueError("Valkey's append-only file does not read as Redis's protocol")
    return int(line[1:])
