"""Looking for what belongs into the evidence and nowhere else."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from sandbox.documents import PERSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from redis import Redis

#: Every name that the sandbox makes up holds the first; every link to an image of its holds the second.
_MARKS: Final = (PERSON.encode(), b".jpg?expires=")


def _forms(mark: bytes) -> Iterator[bytes]:
    """A mark as it is, and as it looks in base64, in which Celery wraps its messages, at each of three alignments."""
    yield mark
    for shift in range(3):
        # Only whole groups of three bytes look the same whatever stands around them.
        start = -shift % 3
        whole = mark[start : len(mark) - (len(mark) - start) % 3]
        yield b64encode(whole)


MARKS: Final = tuple(form for mark in _MARKS for form in _forms(mark))


def holds(content: bytes) -> bool:
    """Whether personal data is in it."""
    return any(mark in content for mark in MARKS)


def in_files(folder: Path) -> list[str]:
    """The names of the files below `folder` with personal data in them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in files if holds(path.read_bytes())]


def in_redis(redis: Redis) -> list[str]:
    """The keys that have personal data in their name or their value."""
    return [
        key.decode(errors="replace") for key in redis.scan_iter(count=1000) if holds(key + _value(redis, key))
    ]


def _value(redis: Any, key: bytes) -> bytes:
    """All that a key holds, in a row."""
    parts: Iterable[bytes] = ()
    # Anything else would have gone since it was found: no other types are used here.
    match redis.type(key):
        case b"string":
            parts = [redis.get(key) or b""]
        case b"hash":
            parts = [part for pair in redis.hgetall(key).items() for part in pair]
        case b"list":
            parts = redis.lrange(key, 0, -1)
        case b"set":
            parts = redis.smembers(key)
        case b"zset":
            parts = redis.zrange(key, 0, -1)
    return b"\n".join(parts)
