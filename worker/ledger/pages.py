"""Verifications that match a filter, in pages that each cost Redis a bounded time.

A page may hold fewer than were asked for, or none, although more follow: it ends where it has looked at enough of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoPermissionError

from worker.errors import LedgerUnavailable
from worker.ledger import codec
from worker.ledger.connection import translated
from worker.ledger.keys import due_set, pipelines
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

#: Seconds after which a page ends with the slice that it reads.
LONGEST_S: Final = 0.25

#: No set has more. A rank that comes from outside may be larger than Redis takes.
MOST_RANK: Final = 2**32

#: Stages that have due sets; what a batch holds is in `leased`, whatever its stage.
_WAITING: Final = frozenset({Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING})

#: Stages that have one set. What is done or dropped is only found among all keys.
_SETS: Final = {Stage.DELIVERING: "delivering", Stage.QUARANTINED: "quarantine"}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a verification must be like. None: anything. `since_ms` and `until_ms` are about when it was enqueued."""

    stage: Stage | None = None
    decision: str | None = None
    error_code: str | None = None
    reason: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    pipeline: str | None = None

    def matches(self, one: Verification) -> bool:
        return (
            (self.stage is None or one.stage is self.stage)
            and (self.decision is None or one.decision_name == self.decision)
            and (self.error_code is None or one.error_code == self.error_code)
            and (self.reason is None or self.reason in {one.reason, one.quarantine_reason})
            and (self.since_ms is None or one.enqueued_at_ms >= self.since_ms)
            and (self.until_ms is None or one.enqueued_at_ms < self.until_ms)
            and (self.pipeline is None or one.pipeline == self.pipeline)
        )


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: which source, the scan's cursor or the rank in it, and how many of that slice to skip.

    `pipeline`: whose due set the source is; empty for another source. If that set is gone, the page begins with the
    source that would follow.
    """

    source: int = 0
    at: int = 0
    skip: int = 0
    pipeline: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Those found, and where the next page begins; None: nothing follows."""

    verifications: tuple[Verification, ...]
    following: Position | None


def has_index(wanted: Filter) -> bool:
    """Return whether a page reads sets that have the stage. Else it is a walk through all keys."""
    return wanted.stage in _WAITING or wanted.stage in _SETS


def page(redis: Redis, regions: Sequence[str], wanted: Filter, start: Position, limit: int) -> Page:
    """At most `limit` verifications from `start`. Raises ``LedgerUnavailable``.

    What is moved meanwhile may be missed, or found twice.
    """
    sources = _sources(redis, regions, wanted)
    found: list[Verification] = []
    position: Position | None = start
    began = time.monotonic()
    for number_of_slice in range(MOST_SLICES):
        if number_of_slice and time.monotonic() - began > LONGEST_S:
            break
        number = len(sources) if position is None else _number(sources, position)
        if position is None or number == len(sources):
            return Page(tuple(found), None)
        if not sources[number].begins(position):
            position = sources[number].start
        ids, at = sources[number].read(redis, regions, position.at)
        for rank, one in _verifications(redis, ids[position.skip :]):
            if wanted.matches(one):
                if len(found) == limit:
                    return Page(tuple(found), replace(position, skip=position.skip + rank))
                found.append(one)
        if at is not None:
            position = replace(position, at=at, skip=0)
        else:
            position = sources[number + 1].start if number + 1 < len(sources) else None
    return Page(tuple(found), position)


@dataclass(frozen=True, slots=True)
class _Set:
    """A sorted set of a region, in its order. `start` is its beginning; sources are in the order of their starts."""

    start: Position
    region: str
    name: str

    def begins(self, position: Position) -> bool:
        """Return whether a page at `position` begins in this source."""
        return _key(self.start) == _key(position)

    def read(self, redis: Redis, regions: Sequence[str], at: int) -> tuple[list[tuple[str, str]], int | None]:
        """Return the ids of a slice, and where the next one begins; None: this is the last one."""
        del regions
        rank = min(at, MOST_RANK)
        with translated():
            found: list[Any] = redis.zrange(f"{prefix(self.region)}{self.name}", rank, rank + SLICE - 1)
        return [(self.region, member.decode()) for member in found], (
            rank + SLICE if len(found) == SLICE else None
        )


class _Keys:
    """All keys of Redis, in no order."""

    start: Final = Position()

    def begins(self, position: Position) -> bool:
        return _key(self.start) == _key(position)

    def read(self, redis: Redis, regions: Sequence[str], at: int) -> tuple[list[tuple[str, str]], int | None]:
        with translated():
            try:
                answer: tuple[int, list[Any]] = redis.scan(at, match="ekyc:{*}:v:*", count=SLICE)
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
        return ids, cursor or None


def _key(position: Position) -> tuple[int, str]:
    return position.source, position.pipeline


def _number(sources: Sequence[_Set | _Keys], position: Position) -> int:
    """Return the number of the source at `position`, or of the first one after it."""
    return sum(_key(source.start) < _key(position) for source in sources)


def _sources(redis: Redis, regions: Sequence[str], wanted: Filter) -> Sequence[_Set | _Keys]:
    if wanted.stage in _SETS:
        return [_Set(Position(number), region, _SETS[wanted.stage]) for number, region in enumerate(regions)]
    if wanted.stage not in _WAITING:
        return [_Keys()]
    sources: list[_Set | _Keys] = []
    for number, region in enumerate(regions):
        # The default set may have what any pipeline waits for.
        sources.append(_Set(Position(2 * number), region, due_set(wanted.stage)))
        sources += [
            _Set(Position(2 * number, pipeline=each), region, due_set(wanted.stage, each))
            for each in pipelines(redis, region, wanted.stage)
            if wanted.pipeline in {None, each}
        ]
        # What a batch holds is in `leased`, whatever its stage.
        sources.append(_Set(Position(2 * number + 1), region, "leased"))
    return sources


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
