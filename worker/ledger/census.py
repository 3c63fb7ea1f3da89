"""The ledger in figures: what `ekyc stats`, `ekyc watch` and the metrics show."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from worker.ledger.scripts import prefix
from worker.ledger.values import Counts, Hold
from worker.redis import translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis import Redis

_DUE = ("due:polling", "due:archiving", "due:routing")


class Census:
    """Counts a ledger without touching it: its cost does not grow with the number waiting."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def counts(self, region: str) -> Counts:
        """One region. Raises ``LedgerUnavailable``."""
        base = prefix(region)
        with translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.hgetall(f"{base}counts")
            pipe.hgetall(f"{base}hold")
            pipe.zcard(f"{base}leased")
            pipe.zcard(f"{base}quarantine")
            for name in _DUE:
                pipe.zcard(base + name)
            for name in _DUE:
                pipe.zrange(base + name, 0, 0, withscores=True)
            time, counters, hold, leased, quarantined, *rest = pipe.execute()
        now_ms = time[0] * 1000 + time[1] // 1000
        holds = _holds(region, hold, now_ms)
        # What a rest keeps back waits for nobody's hands.
        takeable = rest[4:] if holds else rest[3:]
        oldest_due_ms = min((first[0][1] for first in takeable if first), default=now_ms)
        return Counts(
            waiting=sum(rest[:3]),
            in_flight=leased,
            done=int(counters.get(b"done", 0)),
            quarantined=quarantined,
            dropped=int(counters.get(b"dropped", 0)),
            enqueued=int(counters.get(b"enqueued", 0)),
            polls=int(counters.get(b"polls", 0)),
            oldest_due_s=max(0.0, (now_ms - oldest_due_ms) / 1000),
            decisions=_named(counters, b"decision:"),
            error_codes=_named(counters, b"error_code:"),
            faults=_named(counters, b"fault:"),
            evidence_files=int(counters.get(b"evidence_files", 0)),
            evidence_bytes=int(counters.get(b"evidence_bytes", 0)),
            answers=_named(counters, b"answer:"),
            quarantine=_named(counters, b"quarantine:"),
            holds=holds,
        )

    def by_region(self, regions: Iterable[str]) -> dict[str, Counts]:
        """Each of `regions`. Raises ``LedgerUnavailable``."""
        return {region: self.counts(region) for region in regions}

    def total(self, regions: Iterable[str]) -> Counts:
        """All of `regions` together. Raises ``LedgerUnavailable``."""
        return added_up(self.by_region(regions).values())


def added_up(parts: Iterable[Counts]) -> Counts:
    """The sum of `parts`; its `oldest_due_s` is the oldest of them."""
    several = list(parts)
    return Counts(
        **{
            field.name: _added(field.name, [getattr(part, field.name) for part in several])
            for field in fields(Counts)
        }
    )


def _named(counters: Mapping[bytes, bytes], start: bytes) -> dict[str, int]:
    names = sorted(name for name in counters if name.startswith(start))
    return {name.removeprefix(start).decode(): int(counters[name]) for name in names if int(counters[name])}


def _holds(region: str, hold: Mapping[bytes, bytes], now_ms: int) -> tuple[Hold, ...]:
    until_ms = int(hold.get(b"until", 0))
    return (Hold(region, until_ms, hold[b"reason"].decode()),) if until_ms > now_ms else ()


def _added(name: str, values: list[Any]) -> Any:
    if name == "oldest_due_s":
        return max(values, default=0.0)
    if values and isinstance(values[0], dict):
        names = sorted({key for value in values for key in value})
        return {key: sum(value.get(key, 0) for value in values) for key in names}
    return sum(values, () if values and isinstance(values[0], tuple) else 0)
