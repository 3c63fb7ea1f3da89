"""Checks of the ledger's Redis: whether it is available, takes writes, and keeps its data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError

from worker.cli.checks.finding import Finding, Level
from worker.cli.checks.keeping import BY_HAND, LEDGER, check_keeping, info
from worker.errors import LedgerUnavailable
from worker.ledger import damage, rights
from worker.ledger.connection import connect, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

    from worker.settings import Settings

#: The first version that accepts a fraction of a second as the timeout of BLPOP, on which dispatchers sleep.
OLDEST_VERSION: Final = (6, 0)

#: Only Redis's clock counts in the ledger. Above this, times in logs do not match those in a timeline.
SKEW_WARNING_S: Final = 5.0

#: A write from a script, as the ledger makes it; the key expires.
PROBE: Final = "return redis.call('SET', KEYS[1], '1', 'PX', 1000)"

_PRIMARY: Final = "give the address of a primary in REDIS_URL (docs/redis.md)"

#: What to do when the probe is refused, by redis-py's error class.
_REFUSED: Final[Mapping[type[ResponseError], str]] = {
    ReadOnlyError: "it is a replica: give the primary in REDIS_URL",
    OutOfMemoryError: "its memory is full: give it more, or raise maxmemory",
    NoPermissionError: "the account may not write: see the line `redis account`",
}


def check_ledger(settings: Settings) -> Iterator[Finding]:
    """Check Redis. Raises ``ConfigError``, and ``LedgerUnavailable`` if Redis becomes unavailable meanwhile."""
    where = urlsplit(settings.redis_url)
    place = f"{where.hostname}:{where.port or 6379}" if where.hostname else where.path
    with connect(settings.redis_url) as redis, translated():
        try:
            with translated():
                redis.ping()
        except LedgerUnavailable as error:
            ended = "if Redis has ended, its log says why: with `appendfsync always` a full disk ends it"
            todo = ended if "connection refused" in str(error) else ""
            yield Finding("redis", Level.ERROR, f"{place}: {error}", todo)
            return
        said = info(redis)
        yield _version(said, place)
        yield account("redis account", redis, rights.of_ledger(settings.regions))
        yield _written(redis)
        yield _role(said)
        yield from check_keeping(redis, said, LEDGER)
        yield from _clock(redis)
        if line := damage.found(redis, settings.regions, with_ids=True):
            yield Finding("redis keys", Level.ERROR, line)


def _version(said: Mapping[str, Any], place: str) -> Finding:
    text = str(said.get("redis_version", ""))
    oldest = ".".join(map(str, OLDEST_VERSION))
    if not text:
        return Finding(
            "redis", Level.WARNING, f"answers at {place}", f"{BY_HAND} its version is {oldest} or newer"
        )
    name = f"Valkey {said['valkey_version']}" if "valkey_version" in said else f"Redis {text}"
    if tuple(int(part) for part in text.split(".")[:2] if part.isdigit()) < OLDEST_VERSION:
        return Finding("redis", Level.ERROR, f"{name} at {place} is too old", f"use {oldest} or newer")
    return Finding("redis", Level.OK, f"{name} at {place}")


def account(name: str, redis: Redis, needs: rights.Needs) -> Finding:
    """Check that the account has all rights that a worker needs."""
    lacking = rights.missing(redis, needs)
    if lacking:
        said = f"the account lacks {len(lacking)} of the rights that a worker needs: {' '.join(lacking)}"
        return Finding(
            name, Level.ERROR, said, f"run `{rights.line(redis, lacking)}` (docs/redis.md#the-account)"
        )
    return Finding(name, Level.OK, "has every right that a worker needs")


def _written(redis: Redis) -> Finding:
    try:
        redis.register_script(PROBE)(keys=["ekyc:doctor"])
    except ResponseError as error:
        todo = next(
            (todo for kind, todo in _REFUSED.items() if isinstance(error, kind)), "see the log of Redis"
        )
        return Finding("redis writes", Level.ERROR, f"Redis refuses to write ({type(error).__name__})", todo)
    return Finding("redis writes", Level.OK, "a script can write")


def _role(said: Mapping[str, Any]) -> Finding:
    # Valkey names the field differently.
    mode = said.get("redis_mode") or said.get("server_mode")
    if mode == "sentinel":
        return Finding("redis role", Level.ERROR, "is a Sentinel", f"{_PRIMARY}; no Sentinel is needed")
    if mode == "cluster":
        return Finding(
            "redis role", Level.ERROR, "is part of a cluster: one call cannot wait for all regions", _PRIMARY
        )
    match said.get("role"):
        case "master":
            return Finding("redis role", Level.OK, _primary(said.get("connected_slaves") or 0))
        case None:
            return Finding("redis role", Level.WARNING, "cannot be read", f"{BY_HAND} it is not a replica")
    return Finding("redis role", Level.ERROR, "is a replica: nothing can be accepted or recorded", _PRIMARY)


def _primary(replicas: int) -> str:
    if not replicas:
        return "primary, without replicas"
    number = "a replica" if replicas == 1 else f"{replicas} replicas"
    return f"primary with {number}: a failover loses what was not copied yet (docs/redis.md)"


def _clock(redis: Redis) -> Iterator[Finding]:
    asked_at = time.time()
    seconds, micros = redis.time()
    skew_s = (asked_at + time.time()) / 2 - (seconds + micros / 1e6)
    if abs(skew_s) > SKEW_WARNING_S:
        side = "ahead of" if skew_s > 0 else "behind"
        said = (
            f"this machine is {abs(skew_s):.1f} s {side} Redis: times in its logs and in timelines do not match. If "
            "the clock of Redis is wrong, polls come that much later when it is corrected"
        )
        yield Finding("redis clock", Level.WARNING, said, "synchronise both with NTP")
    else:
        yield Finding("redis clock", Level.OK, f"agrees with this machine's within {abs(skew_s):.1f} s")
