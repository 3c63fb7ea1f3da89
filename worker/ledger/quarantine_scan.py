"""Which verifications in quarantine match a filter: counted and read in slices that do not block Redis."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from worker.ledger import codec
from worker.ledger.connection import translated
from worker.ledger.models import Quarantined
from worker.ledger.scripts import Scripts, prefix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

#: Verifications that one call looks at: the fleet waits for it a few milliseconds.
SLICE: Final = 500


@dataclass(frozen=True, slots=True)
class Sought:
    """A filter. `reason`: "" for all. Times are when a verification was put into quarantine, both inclusive."""

    regions: tuple[str, ...]
    reason: str = ""
    since_ms: int = 0
    until_ms: int = codec.LATEST

    def until(self, at_ms: int) -> Sought:
        """Return the filter without what was put into quarantine after `at_ms`."""
        return replace(self, until_ms=min(self.until_ms, at_ms))


class Position(NamedTuple):
    """A place in the list of a filter: after a verification of the region with this number."""

    region: int = 0
    since_ms: int = 0
    signature_id: str = ""


@dataclass(slots=True)
class Tally:
    """How many there are, and since when the oldest and the newest have been there."""

    count: int = 0
    oldest_ms: int | None = None
    newest_ms: int | None = None

    def add(self, count: int, oldest_ms: int, newest_ms: int) -> None:
        self.count += count
        self.oldest_ms = oldest_ms if self.oldest_ms is None else min(self.oldest_ms, oldest_ms)
        self.newest_ms = newest_ms if self.newest_ms is None else max(self.newest_ms, newest_ms)


@dataclass(slots=True)
class Summary:
    """What a filter matches: all together, by region and by reason."""

    total: Tally = field(default_factory=Tally)
    by_region: dict[str, Tally] = field(default_factory=dict)
    by_reason: dict[str, Tally] = field(default_factory=dict)
    #: Whether the scan ended before it had looked at everything, or there was none.
    is_partial: bool = False

    def add(self, one: Slice) -> None:
        for reason, count, oldest_ms, newest_ms in one.tallies:
            for tally in (
                self.total,
                self.by_region.setdefault(one.region, Tally()),
                self.by_reason.setdefault(reason, Tally()),
            ):
                tally.add(count, oldest_ms, newest_ms)


@dataclass(frozen=True, slots=True)
class Slice:
    """What one call found in one region."""

    region: str
    #: The clock of the region's ledger.
    now_ms: int
    looked: int
    #: The reason, how many have it, and since when the oldest and the newest of them have been there.
    tallies: tuple[tuple[str, int, int, int], ...]
    entries: tuple[Quarantined, ...]
    #: Where the next slice begins; None: this was the last one.
    following: Position | None


@dataclass(frozen=True, slots=True)
class Roll:
    """The verifications in quarantine, the oldest first."""

    entries: tuple[Quarantined, ...]
    #: By region, the time of its ledger's clock at the read.
    now_ms: dict[str, int]

    def age_s(self, entry: Quarantined) -> float:
        """Return how long an entry has been in quarantine."""
        return max(self.now_ms[entry.region] - entry.since_ms, 0) / 1000

    def reasons(self) -> dict[str, list[Quarantined]]:
        """Return the entries by reason, the most frequent first."""
        by_reason: dict[str, list[Quarantined]] = {}
        for entry in self.entries:
            by_reason.setdefault(entry.reason, []).append(entry)
        return dict(sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])))

    def signature_ids(self) -> dict[str, list[str]]:
        """Return the ids by region."""
        by_region: dict[str, list[str]] = {}
        for entry in self.entries:
            by_region.setdefault(entry.region, []).append(entry.signature_id)
        return by_region


class QuarantineScan:
    """Reads what is in quarantine. Safe to share between threads. Every method raises ``LedgerUnavailable``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)

    def ages(self, region: str, now_ms: int, bounds: Sequence[tuple[int, int]]) -> list[int]:
        """Count a region's by age: those of at least the first bound and less than the second, in ms; 0: no bound."""
        key = f"{prefix(region)}quarantine"
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for least, below in bounds:
                pipe.zcount(
                    key, f"({now_ms - below}" if below else "-inf", now_ms - least if least else "+inf"
                )
            counts: list[int] = pipe.execute()
        return counts

    def slice(self, sought: Sought, at: Position, *, limit: int = SLICE, with_entries: bool = True) -> Slice:
        """Look at `limit` verifications after a position, in the region of that position."""
        region = sought.regions[at.region]
        answer: Any = self._scripts.call(
            "quarantined",
            region,
            sought.reason,
            max(at.since_ms, sought.since_ms),
            at.signature_id,
            sought.until_ms,
            limit,
            "1" if with_entries else "",
        )
        now_ms, looked, last_ms, last_id, tallies, rows = answer
        if looked == limit:
            following = Position(at.region, last_ms, last_id.decode())
        elif at.region + 1 < len(sought.regions):
            following = Position(at.region + 1)
        else:
            following = None
        return Slice(
            region,
            now_ms,
            looked,
            tuple((codec.text(reason), count, oldest, newest) for reason, count, oldest, newest in tallies),
            tuple(_entry(region, row) for row in rows),
            following,
        )

    def slices(self, sought: Sought) -> Iterator[Slice]:
        """Yield everything in slices: one region after the other, the oldest first."""
        following: Position | None = Position()
        while following is not None:
            one = self.slice(sought, following)
            yield one
            following = one.following

    def summary(self, sought: Sought, *, most: int | None = None) -> Summary:
        """Count what matches. `most`: how many verifications are looked at in each region; None: all."""
        found = Summary()
        for number in range(len(sought.regions)):
            at, looked = Position(number), 0
            while most is None or looked < most:
                one = self.slice(sought, at, with_entries=False)
                found.add(one)
                looked += one.looked
                if one.following is None or one.following.region != number:
                    break
                at = one.following
            else:
                found.is_partial = True
        return found

    def totals(self, sought: Sought) -> Summary:
        """Count what a filter without a reason matches, by region alone: however many these are, it takes no scan."""
        found = Summary(is_partial=True)
        for region in sought.regions:
            key, bounds = f"{prefix(region)}quarantine", (sought.since_ms, sought.until_ms)
            with translated(), self._redis.pipeline(transaction=False) as pipe:
                pipe.zcount(key, *bounds)
                pipe.zcount(key, "-inf", bounds[1])
                pipe.zrangebyscore(key, *bounds, start=0, num=1, withscores=True)
                count, rank, oldest = pipe.execute()
                pipe.zrange(key, max(rank - 1, 0), max(rank - 1, 0), withscores=True)
                (newest,) = pipe.execute()
            if count and oldest and newest:
                for tally in (found.total, found.by_region.setdefault(region, Tally())):
                    tally.add(count, codec.moment(oldest[0][1]), codec.moment(newest[0][1]))
        return found

    def roll(self, sought: Sought) -> Roll:
        """Read everything that matches, the oldest first."""
        clocks: dict[str, int] = {}
        entries: list[Quarantined] = []
        for one in self.slices(sought):
            clocks[one.region] = one.now_ms
            entries += one.entries
        entries.sort(key=lambda entry: entry.since_ms)
        return Roll(tuple(entries), clocks)


def per_region(entries: Sequence[Quarantined]) -> dict[str, int]:
    """Count the entries by region, the most first."""
    return dict(Counter(entry.region for entry in entries).most_common())


def _entry(region: str, row: Sequence[Any]) -> Quarantined:
    signature_id, since_ms, reason, enqueued_at_ms, polls = row
    return Quarantined(
        # One entry that no worker wrote must not hide the others.
        signature_id=signature_id.decode(errors="replace"),
        region=region,
        reason=reason.decode(errors="replace"),
        since_ms=codec.moment(since_ms),
        enqueued_at_ms=codec.moment(enqueued_at_ms),
        polls=codec.count(polls),
    )
