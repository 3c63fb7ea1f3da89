"""Verifications that match a filter, in pages that each cost Redis a bounded time.

A page may hold fewer than were asked for, or none, although more follow: it ends where it has looked at enough of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoPermissionError

from worker.errors import LedgerUnavailable
from worker.ledger import codec
from worker.ledger.connection import translated
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix, region_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

    from worker.ledger.models import Verification

#: Ids that one call of Redis reads: some 0.2 ms of its time.
SLICE: Final = 200

#: Slices of one page.
MOST_SLICES: Final = 25

#: No set has more. A rank that comes from outside may be larger than Redis takes.
MOST_RANK: Final = 2**32

#: Stages that have a set of their own; what a batch holds is in `leased`, whatever its stage. What is done or dropped
#: is only found among all keys.
_SETS: Final = {
    Stage.POLLING: ("due:polling", "leased"),
    Stage.ARCHIVING: ("due:archiving", "leased"),
    Stage.ROUTING: ("due:routing", "leased"),
    Stage.DELIVERING: ("delivering",),
    Stage.QUARANTINED: ("quarantine",),
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a verification must be like. None: anything. `since_ms` and `until_ms` are about when it was enqueued."""

    stage: Stage | None = None
    decision: str | None = None
    error_code: str | None = None
    reason: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def matches(self, one: Verification) -> bool:
        return (
            (self.stage is None or one.stage is self.stage)
            and (self.decision is None or one.decision_name == self.decision)
            and (self.error_code is None or one.error_code == self.error_code)
            and (self.reason is None or self.reason in {one.reason, one.quarantine_reason})
            and (self.since_ms is None or one.enqueued_at_ms >= self.since_ms)
            and (self.until_ms is None or one.enqueued_at_ms < self.until_ms)
        )


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: which source, the scan's cursor or the rank in it, and how many of that slice to skip."""

    source: int = 0
    at: int = 0
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Those found, and where the next page begins; None: nothing follows."""

    verifications: tuple[Verification, ...]
    following: Position | None


def page(redis: Redis, regions: Sequence[str], wanted: Filter, start: Position, limit: int) -> Page:
    """At most `limit` verifications from `start`. Raises ``LedgerUnavailable``.

    What is moved meanwhile may be missed, or found twice.
    """
    sources = _sources(regions, wanted.stage)
    found: list[Verification] = []
    position: Position | None = start
    for _ in range(MOST_SLICES):
        if position is None or position.source >= len(sources):
            return Page(tuple(found), None)
        ids, after = sources[position.source].read(redis, regions, position)
        for number, one in _verifications(redis, ids[position.skip :]):
            if wanted.matches(one):
                if len(found) == limit:
                    return Page(tuple(found), Position(position.source, position.at, position.skip + number))
                found.append(one)
        position = after
    return Page(tuple(found), position)


@dataclass(frozen=True, slots=True)
class _Set:
    """A sorted set of a region, in its order."""

    region: str
    name: str

    def read(
        self, redis: Redis, regions: Sequence[str], position: Position
    ) -> tuple[list[tuple[str, str]], Position]:
        del regions
        rank = min(position.at, MOST_RANK)
        with translated():
            found: list[Any] = redis.zrange(f"{prefix(self.region)}{self.name}", rank, rank + SLICE - 1)
        ids = [(self.region, member.decode()) for member in found]
        if len(found) < SLICE:
            return ids, Position(position.source + 1)
        return ids, Position(position.source, rank + SLICE)


class _Keys:
    """All keys of Redis, in no order."""

    def read(
        self, redis: Redis, regions: Sequence[str], position: Position
    ) -> tuple[list[tuple[str, str]], Position]:
        with translated():
            try:
                answer: tuple[int, list[Any]] = redis.scan(position.at, match="ekyc:{*}:v:*", count=SLICE)
            except NoPermissionError:
                raise LedgerUnavailable(
                    "the account in REDIS_URL may not walk through all keys, which a list without a stage needs: "
                    "give it the right +scan"
                ) from None
        cursor, keys = answer
        ids = [
            (region, key.decode().partition("}:v:")[2])
            for key in keys
            if (region := region_of(key)) in regions
        ]
        return ids, Position(position.source, cursor) if cursor else Position(position.source + 1)


def _sources(regions: Sequence[str], stage: Stage | None) -> list[_Set] | list[_Keys]:
    if stage not in _SETS:
        return [_Keys()]
    return [_Set(region, name) for region in regions for name in _SETS[stage]]


def _verifications(redis: Redis, ids: Sequence[tuple[str, str]]) -> Iterator[tuple[int, Verification]]:
    """Each with its number in `ids`. One that was forgotten since is left out."""
    if not ids:
        return
    with translated(), redis.pipeline(transaction=False) as pipe:
        for region, signature_id in ids:
            pipe.hgetall(f"{prefix(region)}v:{signature_id}")
        rows = pipe.execute()
    for number, ((region, signature_id), fields) in enumerate(zip(ids, rows, strict=True)):
        if fields:
            yield number, codec.verification(region, signature_id, fields, read_at_ms=0)
