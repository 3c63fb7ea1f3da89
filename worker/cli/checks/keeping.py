"""Checks that Redis keeps its data through a restart, a power cut and a shortage of memory.

`docs/redis.md` explains each setting. A managed Redis hides some of them: a person must then look them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

from worker.cli.checks.finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis

BY_HAND: Final = "INFO does not show it; check by hand that"

#: Above this share of memory a person should act: rewriting the append-only file takes memory, too.
FULL: Final = 0.8

_PAGE: Final = "(docs/redis.md)"

#: Acknowledged data that Redis can lose, by its `appendfsync`. With `everysec` a kill is enough: while an fsync is
#: running, Redis keeps new data in its own memory, for up to two seconds.
_LOST: Final = {
    "everysec": "synced every second: a power cut, or a kill on a busy machine, loses the last second or two of",
    "no": "synced when the system decides: a power cut loses up to half a minute of",
}


@dataclass(frozen=True, slots=True)
class Stake:
    """The data in a Redis, and the consequence of losing it."""

    #: Put before the names of the checks.
    prefix: str
    what: str
    promise: str
    #: What happens when Redis refuses writes.
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
    what="decisions that the pipeline has not read yet",
    promise="every decision arrives",
    when_full="decisions wait in the ledger, and no task starts",
)


def info(redis: Redis) -> Mapping[str, Any]:
    """Return Redis's INFO, or nothing if the command is forbidden, as on some managed servers."""
    try:
        found: Mapping[str, Any] = redis.info()
    except ResponseError:
        return {}
    return found


def check_keeping(redis: Redis, said: Mapping[str, Any], stake: Stake) -> Iterator[Finding]:
    """Yield all findings. `said`: the result of `info`."""
    yield append_only(said, _setting(redis, "appendfsync"), stake)
    yield eviction(said, stake)
    yield memory(said, stake)


def append_only(said: Mapping[str, Any], fsync: str | None, stake: Stake) -> Finding:
    """Check the append-only file. `fsync`: the setting, None if it is hidden."""
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
            name, Level.OK, "on, synced at every write: a power cut loses nothing, and a full disk ends Redis"
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
            f"maxmemory-policy is {policy}: when memory is short, Redis deletes {stake.what}. {stake.broken}",
            f"set `maxmemory-policy noeviction` {_PAGE}",
        )
    return Finding(name, Level.OK, "noeviction")


def memory(said: Mapping[str, Any], stake: Stake) -> Finding:
    """Check how much of `maxmemory`, or of the machine's memory, is in use."""
    name, used = f"{stake.prefix}memory", said.get("used_memory")
    if used is None:
        return Finding(
            name, Level.WARNING, "cannot be read", f"check by hand that it is far from full {_PAGE}"
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
            f"give Redis more memory, or raise maxmemory {_PAGE}",
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
