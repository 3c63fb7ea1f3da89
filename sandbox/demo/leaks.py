"""Searches for personal data outside of the evidence."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

from sandbox.documents import PERSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from redis import Redis

#: The first is in every name that the sandbox makes up; the second in every link to an image.
_MARKS: Final = (PERSON.encode(), b".jpg?expires=")


def _forms(mark: bytes) -> Iterator[bytes]:
    """Yield a mark as it is, and in base64, which Celery uses for messages, at each of the three alignments."""
    yield mark
    for shift in range(3):
        # Only whole groups of three bytes have the same form whatever surrounds them.
        start = -shift % 3
        whole = mark[start : len(mark) - (len(mark) - start) % 3]
        yield b64encode(whole)


MARKS: Final = tuple(form for mark in _MARKS for form in _forms(mark))


def holds(content: bytes, marks: Iterable[bytes] = MARKS) -> bool:
    """Return whether `content` has personal data in it."""
    return any(mark in content for mark in marks)


def in_files(folder: Path, secrets: Iterable[str] = ()) -> list[str]:
    """Return the names of the files below `folder` that have personal data, or one of `secrets`, in them."""
    marks = (*MARKS, *(form for secret in secrets for form in _forms(secret.encode())))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in files if holds(path.read_bytes(), marks)]


def in_redis(redis: Redis) -> list[str]:
    """Return the keys that have personal data in their name or their value."""
    return [
        key.decode(errors="replace") for key in redis.scan_iter(count=1000) if holds(key + _value(redis, key))
    ]


def _value(redis: Any, key: bytes) -> bytes:
    """Return the whole content of a key, joined."""
    parts: Iterable[bytes] = ()
    # No other types are used: for type `none` the key has gone since the scan.
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
