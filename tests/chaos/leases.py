"""All times at which verifications were due, claimed and started, from Valkey's own file: sampling misses some."""

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
_KEY: Final = re.compile(
    rb"ekyc:\{([a-z]+)\}:(leased|due:(polling|archiving|routing)(?::[a-z0-9_-]+)?|v:(.+))"
)


class Step(StrEnum):
    """A step of a verification."""

    #: From that moment on it can be claimed.
    DUE = "due"
    #: A batch holds it, and no worker has started that batch: its message is on its way.
    CLAIMED = "claimed"
    #: A worker has started the batch.
    BEGUN = "begun"
    #: The worker that holds it has renewed the lease.
    RENEWED = "renewed"


@dataclass(frozen=True, slots=True)
class Deed:
    """One step of one verification, in ms of Valkey's clock. `stage` is the stage at which it is due."""

    at_ms: int
    step: Step
    stage: str = ""


def deeds(folder: Path, lease_ms: int) -> dict[Key, list[Deed]]:
    """Return every step of each verification, in the order in which they were written.

    The lease of a claim and that of a start differ in the holder that is written before: only after a start it names
    the worker.

    `folder` has Valkey's append-only file, which must be complete from its first start. `lease_ms` is the length of the
    run's leases, because the file has only their ends. Raises ``ValueError`` if the file is not in Redis's protocol.
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
                verification = (region, signature_id.decode())
                if key[3] is not None:
                    found[verification].append(Deed(int(until), Step.DUE, key[3].decode()))
                else:
                    step = holding.pop(verification, Step.RENEWED)
                    found[verification].append(Deed(int(until) - lease_ms, step))
    return dict(found)


def _commands(file: BinaryIO) -> Iterator[list[bytes]]:
    """Yield each command with its arguments, parsed from Redis's protocol."""
    while head := file.readline():
        yield [file.read(_number(file.readline(), b"$") + 2)[:-2] for _ in range(_number(head, b"*"))]


def _number(line: bytes, mark: bytes) -> int:
    if not line.startswith(mark):
        raise ValueError("Valkey's append-only file does not read as Redis's protocol")
    return int(line[1:])
