"""Verifications that match a filter, in pages that each cost Redis a bounded time.

A page may hold fewer than were asked for, or none, although more follow: it ends where it has looked at enough of them.
"""

from __future__ import annotations

import base64
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from redis.exceptions import NoPermissionError

from worker.enqueue_request import PIPELINE, SIGNATURE_ID
from worker.ledger import codec
from worker.ledger.connection import translated
from worker.ledger.hashes import read_hashes
from worker.ledger.keys import due_set, pipelines, scan_denied
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix, region_of, source
from worker.ledger.search import has_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Redis

    from worker.ledger.models import Verification

#: Ids that one call of Redis reads: some 0.2 ms of its time.
SLICE: Final = 200

_POSITION: Final = re.compile(
    rf"([0-9]{{1,3}})\.([0-9]{{1,20}})(?:/({PIPELINE.pattern}))?(?:,([A-Za-z0-9_-]{{1,80}}))?"
)

#: The longest text of a position.
_LONGEST_POSITION: Final = 140

#: Stages that have due sets; what a batch holds is in `leased`, whatever its stage.
_WAITING: Final = frozenset({Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING})

#: Stages that have one set. What is done or dropped is only found among all keys.
_SETS: Final = {Stage.DELIVERING: "delivering", Stage.QUARANTINED: "quarantine"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one page looks at: slices, and seconds after which it ends with the slice that it reads."""

    slices: int = 25
    longest_s: float = 0.25


#: Of a page that is one of many.
BOUNDS: Final = Bounds()


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
    #: A key of the context, and its value as text. With a value of None the key must exist.
    context: tuple[str, str | None] | None = None

    def matches(self, one: Verification) -> bool:
        return (
            (self.stage is None or one.stage is self.stage)
            and (self.decision is None or one.decision_name == self.decision)
            and (self.error_code is None or one.error_code == self.error_code)
            and (self.reason is None or self.reason in {one.reason, one.quarantine_reason})
            and (self.since_ms is None or one.enqueued_at_ms >= self.since_ms)
            and (self.until_ms is None or one.enqueued_at_ms < self.until_ms)
            and (self.pipeline is None or one.pipeline == self.pipeline)
            and (self.context is None or has_context(self.context, one))
        )


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page begins: in which source, and where in it.

    In a set: after the id `after` at the score `at`, whatever has left the set or joined it before that place; without
    `after`, from the beginning. Among all keys: at the scan's cursor `at`, and within its first bucket after `after`.

    `pipeline`: whose due set the source is; empty for another source. If that set is gone, the page begins with the
    source that would follow.
    """

    source: int = 0
    at: int = 0
    pipeline: str = ""
    after: str = ""

    def cursor(self) -> str:
        """Return the position as text that may be a part of a URL."""
        plain = f"{self.source}.{self.at}"
        if self.pipeline:
            plain += f"/{self.pipeline}"
        if self.after:
            plain += f",{self.after}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    @classmethod
    def of_cursor(cls, cursor: str) -> Position:
        """Return the position that `cursor` made a text of. Raises ``ValueError`` for another text."""
        raw = cursor + "=" * (-len(cursor) % 4)
        try:
            plain = base64.b64decode(raw, altchars=b"-_", validate=True).decode("ascii")
        except ValueError:
            plain = ""
        found = _POSITION.fullmatch(plain) if len(plain) <= _LONGEST_POSITION else None
        if found is None or int(found[2]) >= 2**64:
            raise ValueError("is not a cursor of this list")
        return cls(int(found[1]), int(found[2]), found[3] or "", found[4] or "")


@dataclass(frozen=True, slots=True)
class Page:
    """Those found, and where the next page begins; None: nothing follows.

    `searched`: how many verifications the page looked at. `damaged`: the keys of those that cannot be read, because
    the key is of another type.
    """

    verifications: tuple[Verification, ...]
    following: Position | None
    searched: int = 0
    damaged: tuple[str, ...] = ()


def has_index(wanted: Filter) -> bool:
    """Return whether a page reads sets that have the stage. Else it is a walk through all keys."""
    return wanted.stage in _WAITING or wanted.stage in _SETS


def page(  # noqa: PLR0913 - what is wanted, and how much of it
    redis: Redis,
    regions: Sequence[str],
    wanted: Filter,
    start: Position,
    limit: int,
    *,
    bounds: Bounds = BOUNDS,
) -> Page:
    """At most `limit` verifications from `start`. Raises ``LedgerUnavailable``.

    What is moved meanwhile may be missed, or found twice.
    """
    # Not a list: a slice may be read again.
    damaged: dict[str, None] = {}
    read = _read(redis, regions, wanted, start, limit, bounds, damaged.setdefault)
    return replace(read, damaged=tuple(damaged))


def _read(  # noqa: PLR0913, PLR0917 - as `page`
    redis: Redis,
    regions: Sequence[str],
    wanted: Filter,
    start: Position,
    limit: int,
    bounds: Bounds,
    on_damaged: Callable[[str], object],
) -> Page:
    sources = _sources(redis, regions, wanted)
    found: list[Verification] = []
    position: Position | None = start
    searched = 0
    count = SLICE if wanted != Filter() else min(SLICE, limit)
    began = time.monotonic()
    for _ in range(bounds.slices):
        if position != start and time.monotonic() - began > bounds.longest_s:
            break
        number = len(sources) if position is None else _number(sources, position)
        if position is None or number == len(sources):
            return Page(tuple(found), None, searched)
        if not sources[number].begins(position):
            position = sources[number].start
        entries, following = sources[number].read(redis, regions, position, count)
        read = list(_verifications(redis, entries, on_damaged))
        matching = [at for at, (_, one) in enumerate(read) if wanted.matches(one)]
        room = limit - len(found)
        if len(matching) > room and not sources[number].is_ordered:
            if count > 1:
                # A scan has no place within a slice at which another page could begin: the slice must fit.
                count //= 4
                count = max(count, 1)
                continue
            if found:
                return Page(tuple(found), position, searched)
        found += [read[at][1] for at in matching[:room]]
        if len(matching) > room:
            return Page(tuple(found), read[matching[room]][0], searched + matching[room])
        searched += len(read)
        if following is not None:
            position = following
        else:
            position = sources[number + 1].start if number + 1 < len(sources) else None
    return Page(tuple(found), position, searched)


def most(redis: Redis, regions: Sequence[str], wanted: Filter) -> int:
    """Return how many verifications all pages together look at, at most. Raises ``LedgerUnavailable``."""
    sources = _sources(redis, regions, wanted)
    sets = [f"{prefix(each.region)}{each.name}" for each in sources if isinstance(each, _Set)]
    with translated(), redis.pipeline(transaction=False) as pipe:
        for name in sets:
            pipe.zcard(name)
        if not sets:
            for region in regions:
                pipe.hget(f"{prefix(region)}counts", "enqueued")
        found = sum(pipe.execute() if sets else map(codec.count, pipe.execute()))
    # Those that were forgotten were enqueued once, too.
    return found if sets else min(found, _size(redis, unknown=found))


def _size(redis: Redis, *, unknown: int) -> int:
    """Return the number of all keys, or `unknown` if the account may not ask for it."""
    with translated():
        try:
            return int(redis.dbsize())
        except NoPermissionError:
            return unknown


#: The position at which a page begins with a verification, its region and its id.
_Entry = tuple[Position, str, str]


@dataclass(frozen=True, slots=True)
class _Set:
    """A sorted set of a region, in its order. `start` is its beginning; sources are in the order of their starts."""

    start: Position
    region: str
    name: str
    is_ordered: ClassVar[bool] = True

    def begins(self, position: Position) -> bool:
        """Return whether a page at `position` begins in this source."""
        return _key(self.start) == _key(position)

    def read(
        self, redis: Redis, regions: Sequence[str], position: Position, count: int
    ) -> tuple[list[_Entry], Position | None]:
        """Return a slice, and where the next one begins; None: this is the last one."""
        del regions, count
        script = redis.register_script(source("members"))
        # What no calendar has cannot be told apart by a position: it is skipped after the first page that has some.
        at = position.at if position.at < codec.LATEST else "+inf"
        with translated():
            found: list[bytes] = script(
                keys=[prefix(self.region)], args=[self.name, at, position.after, SLICE]
            )
        entries: list[_Entry] = []
        place = position
        for member, score in zip(found[::2], found[1::2], strict=True):
            signature_id = codec.text(member)
            entries.append((place, self.region, signature_id))
            place = replace(self.start, at=codec.moment(score), after=signature_id)
        return entries, place if len(entries) == SLICE else None


class _Keys:
    """All keys of Redis, in no order."""

    start: Final = Position()
    is_ordered: Final = False

    def begins(self, position: Position) -> bool:
        return _key(self.start) == _key(position)

    def read(
        self, redis: Redis, regions: Sequence[str], position: Position, count: int
    ) -> tuple[list[_Entry], Position | None]:
        """Return some `count` keys at a cursor. A slice of one bucket has an order, that of the names in it."""
        if position.after:
            count = 1
        with translated():
            try:
                answer: tuple[int, list[Any]] = redis.scan(position.at, match="ekyc:{*}:v:*", count=count)
            except NoPermissionError:
                raise scan_denied(redis) from None
        cursor, keys = answer
        # A name that is no id would be in no cursor.
        names = sorted(
            {
                f"{region}_{signature_id}"
                for key in keys
                if (region := region_of(key)) in regions
                and SIGNATURE_ID.fullmatch(signature_id := codec.text(key).partition("}:v:")[2])
            }
        )
        # If that name is gone, this may be another bucket, and all of it is returned.
        begin = names.index(position.after) + 1 if position.after in names else 0
        entries: list[_Entry] = []
        for number, name in enumerate(names[begin:], begin):
            region, _, signature_id = name.partition("_")
            place = replace(position, after=names[number - 1] if number else "")
            entries.append((place, region, signature_id))
        return entries, Position(at=cursor) if cursor else None


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


def _verifications(
    redis: Redis, entries: Sequence[_Entry], on_damaged: Callable[[str], object]
) -> Iterator[tuple[Position, Verification]]:
    """Each with the position at which a page begins with it. One that was forgotten since is left out."""
    if not entries:
        return
    keys = (f"{prefix(region)}v:{signature_id}" for _, region, signature_id in entries)
    rows = read_hashes(redis, keys, on_damaged=on_damaged)
    for (place, region, signature_id), fields in zip(entries, rows, strict=True):
        if codec.is_verification(fields):
            yield place, codec.verification(region, signature_id, fields, read_at_ms=0)
