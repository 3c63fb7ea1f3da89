"""The figures of the whole fleet, read at most once a second in a process, however many tabs show them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from worker.ledger import Quarantine, Stats, audit_state
from worker.ledger.evidence_log import EvidenceLogQueue
from worker.ledger.histograms import ENQUEUED_TO_DECIDED, POLL_LATENESS, SETTLED_TO_DECIDED
from worker.ledger.models import Lately
from worker.ledger.redis_health import RedisHealth
from worker.ledger.snapshot import Snapshot, look
from worker.ledger.webhooks import Webhooks
from worker.policy.attention import Fleet, Need, RegionFigures, UnreadDecisions, needs
from worker.policy.time_format import span
from worker.web.console.charts import sparkline
from worker.web.console.shared_reading import SharedReading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from markupsafe import Markup
    from redis import Redis

    from worker.evidence.ledger_identity import LedgerWatch
    from worker.ledger.audit_state import Part
    from worker.ledger.histograms import Timing
    from worker.ledger.hour import Hour, Line
    from worker.ledger.models import Event
    from worker.messaging.unread import Unread
    from worker.web.console.shared_reading import Reading

#: Seconds between two readings of what changes slowly, or costs more.
SLOW_S: Final = 5.0

#: The newest acts of people that are read of a region on hold.
ACTS: Final = 20


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of the last hour: a sparkline, and the same in words."""

    title: str
    picture: Markup
    text: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """What the screen Now shows."""

    #: As `ekyc stats` shows it.
    snapshot: Snapshot
    fleet: Fleet
    needs: tuple[Need, ...]
    #: By region, the last hour.
    charts: Mapping[str, tuple[Chart, ...]]
    #: By the ledger's clock.
    read_at_ms: int


@dataclass(frozen=True, slots=True)
class _Slow:
    """What is read every `SLOW_S`. `at_s`: by the monotonic clock."""

    at_s: float
    regions: Mapping[str, RegionFigures]
    refusal: str | None
    memory_share: float | None
    charts: Mapping[str, tuple[Chart, ...]]
    audit: tuple[Part, ...]


class Census:
    """Thread-safe. Parameters:

    endpoints: the names of the endpoints of the file.
    ledgers: finds out whether a ledger was replaced.
    unread: counts the decisions in the pipeline's queue.
    """

    def __init__(
        self,
        redis: Redis,
        regions: Sequence[str],
        *,
        endpoints: Collection[str],
        ledgers: LedgerWatch,
        unread: Unread,
    ) -> None:
        self._redis = redis
        self._regions = tuple(regions)
        self._endpoints = tuple(endpoints)
        self._ledgers = ledgers
        self._unread = unread
        self._stats = Stats(redis)
        self._webhooks = Webhooks(redis)
        self._logs = EvidenceLogQueue(redis)
        self._health = RedisHealth(redis)
        self._acts = Quarantine(redis, who="")
        self._slow: _Slow | None = None
        self._shared = SharedReading(self._read)
        self._rendered: tuple[Overview | None, bytes] = None, b""

    def get(self) -> Reading[Overview]:
        """Return the newest figures. Raises ``LedgerUnavailable`` if there have never been any."""
        return self._shared.get()

    def body(self, reading: Reading[Overview], render: Callable[[], bytes]) -> bytes:
        """Return what `render` makes of a reading, rendered once for all tabs: it may not depend on the user."""
        if reading.is_old:
            return render()
        overview, body = self._rendered
        if overview is not reading.value:
            body = render()
            self._rendered = reading.value, body
        return body

    # One thread at a time runs what follows.

    def _read(self) -> Overview:
        seen = look(self._redis, self._regions, stats=self._stats)
        slow = self._slow
        if slow is None or time.monotonic() >= slow.at_s + SLOW_S:
            slow = self._slow = self._read_slow(seen)
        regions = {
            region: replace(
                slow.regions[region],
                counts=counts,
                is_replaced=self._ledgers.look(region).is_replaced,
                acts=self._acts_of(region) if any(not hold.half_open for hold in counts.holds) else (),
            )
            for region, counts in seen.regions.items()
        }
        known = self._unread.known()
        fleet = Fleet(
            regions,
            seen.seen,
            tuple(
                state
                for region in self._regions
                if self._endpoints
                for state in self._webhooks.endpoints(region, self._endpoints)
            ),
            UnreadDecisions(known.count, known.age_s, known.is_answering, known.grows_for_s),
            slow.refusal,
            slow.memory_share,
            slow.audit,
        )
        lately = {region: figures.lately for region, figures in slow.regions.items()}
        return Overview(replace(seen, lately=lately), fleet, needs(fleet), slow.charts, seen.total.read_at_ms)

    def _read_slow(self, seen: Snapshot) -> _Slow:
        regions = {
            region: RegionFigures(
                counts,
                self._stats.lately(region) if counts.enqueued else Lately(),
                self._stats.hour(region, counts),
                self._logs.state(region),
            )
            for region, counts in seen.regions.items()
        }
        memory = self._health.memory()
        share = memory.used_bytes / memory.limit_bytes if memory.used_bytes and memory.limit_bytes else None
        charts = {region: _charts(figures.hour) for region, figures in regions.items()}
        audit = audit_state.read(self._redis, self._regions)
        return _Slow(time.monotonic(), regions, self._health.refusal(), share, charts, audit)

    def _acts_of(self, region: str) -> tuple[Event, ...]:
        return self._acts.acts(region, newest=ACTS)


def _charts(hour: Hour) -> tuple[Chart, ...]:
    return (
        _rate("Enqueued", hour, lambda line: line.enqueued),
        _rate("Polls", hour, lambda line: line.polls),
        _rate("Decided", hour, lambda line: line.decided),
        _delay("Enqueue to decision", hour, ENQUEUED_TO_DECIDED),
        _delay("Result to decision", hour, SETTLED_TO_DECIDED),
        _delay("Lateness of polls", hour, POLL_LATENESS),
    )


def _rate(title: str, hour: Hour, read: Callable[[Line], int]) -> Chart:
    values = hour.per_minute(read)
    known = [value for value in values if value is not None]
    most = max(known, default=0.0)
    more = f"at most {most:,.3g} a minute" if most else ""
    said = f"{hour.growth(read):,} in the last hour, at most {most:,.3g} a minute"
    picture = sparkline(f"{title} in each minute of the last hour", said, values, least=4.0)
    return Chart(title, picture, f"{hour.growth(read):,}", more)


def _delay(title: str, hour: Hour, timing: Timing) -> Chart:
    delays = hour.delays(timing)
    # Where nothing happened in a minute that is known, the column is missing and the ground is not.
    known = hour.per_minute(lambda line: line.polls)
    medians = [
        _seconds(each.median_s if each else None, rate) for each, rate in zip(delays, known, strict=True)
    ]
    most = [_seconds(each.most_s if each else None, rate) for each, rate in zip(delays, known, strict=True)]
    whole = hour.delay(timing)
    if whole is None:
        text, more, said = "–", "", "nothing in the last hour"
    else:
        text, more = f"median {span(whole.median_s)}", f"95 % within {span(whole.most_s)}"
        said = f"{text}, {more}, of {whole.count:,}"
    picture = sparkline(
        f"{title} in each minute of the last hour", said, medians, behind=most, least=timing.bounds_s[0]
    )
    return Chart(title, picture, text, more)


def _seconds(value: float | None, known: float | None) -> float | None:
    return 0.0 if value is None and known is not None else value
