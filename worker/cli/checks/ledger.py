"""Redis, where the ledger lives: whether it is there, can be written, and keeps what it is given."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from worker.cli.checks.finding import Finding, Level
from worker.errors import LedgerUnavailable
from worker.redis import connect, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from worker.settings import Settings

#: The first that takes a part of a second as the timeout of BLPOP, on which dispatchers sleep.
OLDEST_VERSION: Final = (6, 0)

#: Only Redis's clock counts in the ledger. Above this, times in logs no longer fit those in a timeline.
SKEW_WARNING_S: Final = 5.0

#: A write as the ledger makes it, from a script; the key goes by itself.
PROBE: Final = "return redis.call('SET', KEYS[1], '1', 'PX', 1000)"

_BY_HAND: Final = "INFO does not say; look by hand that"

#: What to do when the probe is refused, by the class that redis-py makes of it.
_REFUSED: Final[Mapping[type[ResponseError], str]] = {
    ReadOnlyError: "it is a replica: give the primary in REDIS_URL",
    OutOfMemoryError: "its memory is full: give it more, or raise maxmemory",
    NoPermissionError: "its user may not do that: grant it +@all on the keys ekyc:*",
}


def check_ledger(settings: Settings) -> Iterator[Finding]:
    """Raises ``ConfigError``, and ``LedgerUnavailable`` for a Redis that goes away meanwhile."""
    where = urlsplit(settings.redis_url)
    place = f"{where.hostname}:{where.port or 6379}" if where.hostname else where.path
    with connect(settings.redis_url) as redis, translated():
        try:
            with translated():
                redis.ping()
        except LedgerUnavailable as error:
            yield Finding("redis", Level.ERROR, f"{place}: {error}")
            return
        info = _info(redis)
        yield _version(info, place)
        yield _written(redis)
        yield _role(info)
        yield _append_only(info)
        yield _eviction(info)
        yield from _clock(redis)


def _info(redis: Redis) -> Mapping[str, Any]:
    """What Redis says of itself; nothing where it is forbidden to: managed ones forbid much, if rarely this."""
    try:
        info: Mapping[str, Any] = redis.info()
    except ResponseError:
        return {}
    return info


def _version(info: Mapping[str, Any], place: str) -> Finding:
    text = str(info.get("redis_version", ""))
    oldest = ".".join(map(str, OLDEST_VERSION))
    if not text:
        return Finding(
            "redis", Level.WARNING, f"answers at {place}", f"{_BY_HAND} its version is {oldest} or newer"
        )
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {text}"
    if tuple(int(part) for part in text.split(".")[:2] if part.isdigit()) < OLDEST_VERSION:
        return Finding("redis", Level.ERROR, f"{name} at {place} is too old", f"use {oldest} or newer")
    return Finding("redis", Level.OK, f"{name} at {place}")


def _written(redis: Redis) -> Finding:
    try:
        redis.eval(PROBE, 1, "ekyc:doctor")
    except ResponseError as error:
        todo = next(
            (todo for kind, todo in _REFUSED.items() if isinstance(error, kind)), "see what its log says"
        )
        # Its first words name the command or the reason, and nothing of ours.
        return Finding("redis writes", Level.ERROR, f"Redis refuses to write ({type(error).__name__})", todo)
    return Finding("redis writes", Level.OK, "a script can write")


def _role(info: Mapping[str, Any]) -> Finding:
    match info.get("role"):
        case "master":
            return Finding("redis role", Level.OK, "primary")
        case None:
            return Finding("redis role", Level.WARNING, "cannot be read", f"{_BY_HAND} it is no replica")
    return Finding("redis role", Level.ERROR, "is a replica", "give the primary in REDIS_URL")


def _append_only(info: Mapping[str, Any]) -> Finding:
    on, written = info.get("aof_enabled"), info.get("aof_last_write_status", "ok")
    if on is None:
        return Finding("append-only file", Level.WARNING, "cannot be read", f"{_BY_HAND} appendonly is yes")
    if not on:
        return Finding(
            "append-only file",
            Level.WARNING,
            "is off: when Redis restarts, whatever was enqueued since its last snapshot is lost",
            "set `appendonly yes` in its configuration",
        )
    if written != "ok":
        return Finding(
            "append-only file", Level.ERROR, "is on but cannot be written", "see Redis's log and its disk"
        )
    return Finding("append-only file", Level.OK, "on")


def _eviction(info: Mapping[str, Any]) -> Finding:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return Finding(
            "eviction", Level.WARNING, "cannot be read", f"{_BY_HAND} maxmemory-policy is noeviction"
        )
    if policy != "noeviction":
        return Finding(
            "eviction",
            Level.ERROR,
            f"maxmemory-policy is {policy}: when memory is short, Redis throws verifications away",
            "set `maxmemory-policy noeviction`",
        )
    return Finding("eviction", Level.OK, "noeviction")


def _clock(redis: Redis) -> Iterator[Finding]:
    asked_at = time.time()
    seconds, micros = redis.time()
    skew_s = (asked_at + time.time()) / 2 - (seconds + micros / 1e6)
    if abs(skew_s) > SKEW_WARNING_S:
        side = "ahead of" if skew_s > 0 else "behind"
        said = f"this machine is {abs(skew_s):.1f} s {side} Redis: its logs and the timelines will not fit"
        yield Finding("redis clock", Level.WARNING, said, "let both follow NTP")
    else:
        yield Finding("redis clock", Level.OK, f"agrees with ours, give or take {abs(skew_s):.1f} s")
