"""The state of the audit log: how full each part of it is, how far back it reaches, and what it did not take."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from worker.enqueue_request import REGIONS
from worker.ledger.audit import KEPT, LATEST_MS, STREAMS
from worker.ledger.connection import is_wrong_type, translated
from worker.ledger.moments import rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from redis import Redis

    from worker.ledger.audit import Stream

#: How full a part may be before people are asked to look: as the alert `EkycAuditLogFull`.
NEARLY_FULL: Final = 0.9

#: Redis counts to 2^63.
_MOST_DIGITS: Final = 19

#: For how long a refused act is shown, in ms.
SHOWN_MS: Final = 86_400_000


class Kind(StrEnum):
    """The kinds of parts."""

    ACTS = "acts"
    EVIDENCE = "evidence"
    ERASURES = "erasures"
    LOG_INS = "log_ins"


_KINDS: Final = {
    "audit": Kind.ACTS,
    "audit:evidence": Kind.EVIDENCE,
    "audit:erasures": Kind.ERASURES,
    "audit:log-ins": Kind.LOG_INS,
}

#: The fields of `audit:counts`: a client of Redis may have added a million others.
_FIELDS: Final = tuple(f"{what}:{name}" for what in ("dropped", "refused", "refused_at") for name in _KINDS)

#: What people call the parts of a region.
_NAMES: Final = {
    Kind.ACTS: "acts in",
    Kind.EVIDENCE: "acts on evidence of",
    Kind.ERASURES: "erasures of evidence of",
}


@dataclass(frozen=True, slots=True)
class Part:
    """The state of a part of the audit log. `region`: "" for acts without a region, and log-ins.

    Parameters:
        entries: those of its fullest stream, which may have ``KEPT``.
        since_ms: since when it is complete: the time of its oldest entry; None without entries.
        dropped: entries that newer ones have pushed out.
        refused: acts that were refused, and not done, because their entry could not be added.
        refused_at_ms: when the last of them was refused; 0: none was.
    """

    kind: Kind
    region: str = ""
    entries: int = 0
    since_ms: int | None = None
    dropped: int = 0
    refused: int = 0
    refused_at_ms: int = 0

    @property
    def name(self) -> str:
        """What people call it, such as `acts on evidence of sg`."""
        if self.region:
            return f"{_NAMES[self.kind]} {self.region}"
        return "log-ins" if self.kind is Kind.LOG_INS else "acts without a region"

    @property
    def used(self) -> float:
        """The share of the entries that it may have."""
        return min(self.entries / KEPT, 1.0)

    @property
    def is_full(self) -> bool:
        """Whether each new entry removes an old one."""
        return self.entries >= KEPT

    @property
    def is_nearly_full(self) -> bool:
        return self.used > NEARLY_FULL

    def refused_lately(self, now_ms: int) -> bool:
        """Whether an act was refused within the last day."""
        return bool(self.refused_at_ms) and self.refused_at_ms > now_ms - SHOWN_MS

    def as_json(self) -> dict[str, Any]:
        return {
            "part": self.kind.value,
            "region": self.region,
            "entries": self.entries,
            "full": self.is_full,
            "since": None if self.since_ms is None else rfc3339(self.since_ms),
            "dropped": self.dropped,
            "refused": self.refused,
            "refused_at": rfc3339(self.refused_at_ms) if self.refused_at_ms else None,
        }


def read(redis: Redis, regions: Collection[str] = REGIONS) -> tuple[Part, ...]:
    """Return the state of the parts of `regions`, and of those without a region. Raises ``LedgerUnavailable``.

    It costs one round trip, and no more for a longer log.
    """
    streams = [each for each in STREAMS if not each.region or each.region in regions]
    starts = list(dict.fromkeys(each.start for each in streams))
    with translated(), redis.pipeline(transaction=False) as pipe:
        for stream in streams:
            pipe.xlen(stream.key)
            pipe.xrange(stream.key, count=1)
        for start in starts:
            pipe.hmget(f"{start}audit:counts", *_FIELDS)
        answers = [_readable(each) for each in pipe.execute(raise_on_error=False)]
    found: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for stream, length, oldest in zip(streams, answers[::2], answers[1::2], strict=False):
        if oldest:
            found[stream.start, stream.name].append((length, _at_ms(oldest[0][0])))
    counts = {
        start: dict(zip(_FIELDS, answer or (), strict=False))
        for start, answer in zip(starts, answers[2 * len(streams) :], strict=True)
    }
    groups = {(each.start, each.name): each for each in streams if not each.part}
    return tuple(_part(stream, found[key], counts[stream.start]) for key, stream in groups.items())


def complete_since_ms(parts: Iterable[Part]) -> int | None:
    """Return since when all `parts` are complete; None: they have no entry."""
    several = list(parts)
    cut = [each.since_ms for each in several if each.is_full and each.since_ms is not None]
    oldest = [each.since_ms for each in several if each.since_ms is not None]
    return max(cut) if cut else min(oldest, default=None)


def _part(stream: Stream, found: list[tuple[int, int]], counts: Mapping[str, bytes | None]) -> Part:
    cut = [at_ms for length, at_ms in found if length >= KEPT]
    return Part(
        _KINDS[stream.name],
        stream.region,
        max((length for length, _ in found), default=0),
        max(cut) if cut else min((at_ms for _, at_ms in found), default=None),
        _count(counts.get(f"dropped:{stream.name}")),
        _count(counts.get(f"refused:{stream.name}")),
        _count(counts.get(f"refused_at:{stream.name}")),
    )


def _count(digits: bytes | None) -> int:
    """Return a count; 0 for one that no script has written, which must hide no other figure."""
    return min(int(digits), LATEST_MS) if digits and digits.isdigit() and len(digits) <= _MOST_DIGITS else 0


def _readable(answer: Any) -> Any:
    """Return an answer of Redis. A key of another type has no state, and hides that of no other."""
    if isinstance(answer, Exception):
        if not is_wrong_type(answer):
            raise answer
        return {}
    return answer


def _at_ms(id_: bytes) -> int:
    return min(int(id_.partition(b"-")[0]), LATEST_MS)
