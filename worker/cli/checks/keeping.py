"""Whether a Redis keeps what it is given: over a restart, a power cut and a shortage of memory.

What each setting is for stands in `docs/redis.md`. A managed Redis hides some of them: then it is looked up by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

from worker.cli.checks.finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

BY_HAND: Final = "INFO does not say; look by hand that"

#: From here on a person should act: copying for a new append-only file takes memory, too.
FULL: Final = 0.8

_PAGE: Final = "(docs/redis.md)"

#: What is lost of what Redis has acknowledged, by the `appendfsync` that lets it. With `everysec` a kill is enough:
#: while one fsync is under way Redis keeps what comes in its own memory, for up to two seconds.
_LOST: Final = {
    "everysec": "synced every second: a power cut, or a kill on a busy machine, takes the last second or two of",
    "no": "synced when the system likes: a power cut takes up to half a minute of",
}


@dataclass(frozen=True, slots=True)
class Stake:
    """What lives in a Redis, and what losing it would mean."""

    #: Before the names of its checks.
    prefix: str
    what: str
    promise: str
    #: What happens when nothing more can be written.
    when_full: str

    @property
    def broken(self) -> str:
        return f"The promise that {self.promise} does not hold then"


LEDGER: Final = Stake(
    prefix="",
    what="verifications",
    promise="nothing accepted is lost",
    when_full="nothing more is accepted, and nothing is recorded",
)

BROKER: Final = Stake(
    prefix="broker ",
    what="decisions that the pipeline has not taken yet",
    promise="every decision arrives",
    when_full="decisions wait in the ledger, and no task starts",
)


def info(redis: Redis) -> Mapping[str, Any]:
    """What Redis says of itself; nothing where it is forbidden to: managed ones forbid much, if rarely this."""
    try:
        found: Mapping[str, Any] = redis.info()
    except ResponseError:
        return {}
    return found


def check_keeping(redis: Redis, said: Mapping[str, Any], stake: Stake) -> Iterator[Finding]:
    """All of it. `said`: what `info` found."""
    yield append_only(said, _setting(redis, "appendfsync"), stake)
    yield eviction(said, stake)
    yield memory(said, stake)


def append_only(said: Mapping[str, Any], fsync: str | None, stake: Stake) -> Finding:
    """`fsync`: the setting; None: it is hidden."""
    name = f"{stake.prefix}file" if stake.prefix else "append-only file"
    on, written = said.get("aof_enabled"), said.get("aof_last_write_status", "ok")
    if on is None:
        return Finding(name, Level.WARNING, "cannot be read", f"{BY_HAND} appendonly is yes {_PAGE}")
    if not on:
        return Finding(
            name,
            Level.WARNING,
            f"is off: when Redis restarts, the {stake.what} since its last snapshot are lost. {stake.broken}",
            f"set `appendonly yes` in its configuration {_PAGE}",
        )
    if written != "ok":
        return Finding(
            name,
            Level.ERROR,
            f"is on but cannot be written. {stake.broken}",
            "see Redis's log and its disk",
        )
    if fsync in _LOST:
        return Finding(
            name,
            Level.WARNING,
            f"on, but {_LOST[fsync]} {stake.what}, though they were acknowledged. {stake.broken}",
            f"set `appendfsync always` {_PAGE}",
        )
    if fsync == "always":
        return Finding(
            name, Level.OK, "on, synced at every write: a power cut takes nothing, and a full disk ends it"
        )
    return Finding(name, Level.OK, "on; how often it is synced cannot be read")


def eviction(said: Mapping[str, Any], stake: Stake) -> Finding:
    name, policy = f"{stake.prefix}eviction", said.get("maxmemory_policy")
    if policy is None:
        return Finding(
            name, Level.WARNING, "cannot be read", f"{BY_HAND} maxmemory-policy is noeviction {_PAGE}"
        )
    if policy != "noeviction":
        return Finding(
            name,
            Level.ERROR,
            f"maxmemory-policy is {policy}: when memory is short, Redis throws {stake.what} away. {stake.broken}",
            f"set `maxmemory-policy noeviction` {_PAGE}",
        )
    return Finding(name, Level.OK, "noeviction")


def memory(said: Mapping[str, Any], stake: Stake) -> Finding:
    """How much of what it may take, or of what its machine has, is in use."""
    name, used = f"{stake.prefix}memory", said.get("used_memory")
    if used is None:
        return Finding(
            name, Level.WARNING, "cannot be read", f"look by hand that it is far from full {_PAGE}"
        )
    limit = said.get("maxmemory") or said.get("total_system_memory")
    if not limit:
        return Finding(name, Level.OK, f"{_megabytes(used)} in use, no limit is set")
    amount = f"{_megabytes(used)} of {_megabytes(limit)} in use"
    if used > FULL * limit:
        return Finding(
            name,
            Level.WARNING,
            f"{amount}: when it is full, {stake.when_full}",
            f"give it more, or raise maxmemory {_PAGE}",
        )
    return Finding(name, Level.OK, amount)


def _setting(redis: Redis, name: str) -> str | None:
    try:
        found: str | None = redis.config_get(name).get(name)
    except ResponseError:
        return None
    return found


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
