"""The figures of a report, and the tally that makes them. Pure.

A tally holds a counter for each code and one duration for each verification, eight bytes, so that medians are exact.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from worker.evidence.review import ReviewVerdict
from worker.records.report.case import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from worker.records.report.case import Case

#: What a code is called if there is none.
NONE: Final = "none"

#: The decision that sends a verification to a person, in the packaged table.
REVIEW: Final = "review"

#: The decision that accepts a person.
APPROVE: Final = "approve"

#: The upper bounds of the time histogram, in seconds. The last bar has no bound.
BOUNDS_S: Final = (5, 15, 60, 300, 900, 1800, 3600, 7200)

#: The verdicts of reviewers, and that on decisions whose reviews cannot be read.
VERDICTS: Final = (*ReviewVerdict, UNREADABLE)

#: Error codes with which the vendor reports a fault of its own, not one of the document.
VENDOR_CODES: Final = ("ERROR", "PARAMETER_ERROR")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: a code, its count, and its count by outcome."""

    name: str
    count: int
    outcomes: Mapping[str, int]

    @property
    def approval_rate(self) -> float | None:
        """The share of it that was approved; None: nothing was decided."""
        return share(self.outcomes.get(APPROVE, 0), self.count) if self.count else None


@dataclass(frozen=True, slots=True)
class Times:
    """Durations in seconds. Quantiles are of the nearest rank, so each is the duration of a real verification."""

    count: int
    median_s: float
    p90_s: float
    p95_s: float
    longest_s: float
    #: How many took at most each of ``BOUNDS_S`` and more than the bound before; the last: more than all.
    histogram: tuple[int, ...]

    @classmethod
    def of(cls, durations_ms: array[int]) -> Times | None:
        """Return the quantiles of durations; None: there are none."""
        if not durations_ms:
            return None
        ordered = sorted(durations_ms)
        return cls(
            count=len(ordered),
            median_s=_rank(ordered, 0.5) / 1000,
            p90_s=_rank(ordered, 0.9) / 1000,
            p95_s=_rank(ordered, 0.95) / 1000,
            longest_s=ordered[-1] / 1000,
            histogram=_histogram(ordered),
        )


@dataclass(frozen=True, slots=True)
class VendorFaults:
    """What the vendor did wrong, as far as the evidence holds it."""

    #: Verifications whose record holds the number of faults. The next two count only these.
    recorded: int
    answers: int
    verifications: int
    #: Verifications by the reason for which they have no result, or what contradicts their result.
    reasons: Mapping[str, int]
    #: Results with an error code that reports a fault of the vendor.
    codes: Mapping[str, int]
    #: Linked objects that could not be kept, by reason.
    missing: Mapping[str, int]
    #: Answers that could not be read, which were kept in the month.
    unreadable_answers: int


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What reviewers found: the newest verdict on each decision of the month.

    Parameters:
        counts: decisions by verdict.
        by_decision, by_reason: the same by decision, and by the reason, or the error code without one.
    """

    counts: Mapping[str, int]
    by_decision: tuple[Line, ...]
    by_reason: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of a month."""

    decided: int
    outcomes: Mapping[str, int]
    error_codes: tuple[Line, ...]
    document_types: tuple[Line, ...]
    regions: tuple[Line, ...]
    days: tuple[Line, ...]
    tables: Mapping[str, int]
    #: From the enqueue request to the decision, and from the vendor's result to the decision.
    enqueued_to_decided: Times | None
    settled_to_decided: Times | None
    by_region: Mapping[str, Times]
    by_outcome: Mapping[str, Times]
    #: Of those that went to a person: the reason, or the error code without one.
    reviews: Mapping[str, int]
    polls: int
    incomplete: int
    vendor: VendorFaults
    verdicts: Verdicts


@dataclass(slots=True)
class Tally:
    """Counts cases. Not thread-safe.

    Parameters:
        days: the days of the month, each as `2026-11-01`.
    """

    days: tuple[str, ...]
    _outcomes: Counter[str] = field(default_factory=Counter)
    _crossed: dict[str, Counter[tuple[str, str]]] = field(
        default_factory=lambda: {
            name: Counter() for name in ("code", "type", "region", "day", "judged", "judged reason")
        }
    )
    _tables: Counter[str] = field(default_factory=Counter)
    _reviews: Counter[str] = field(default_factory=Counter)
    _reasons: Counter[str] = field(default_factory=Counter)
    _codes: Counter[str] = field(default_factory=Counter)
    _missing: Counter[str] = field(default_factory=Counter)
    _verdicts: Counter[str] = field(default_factory=Counter)
    _totals: Counter[str] = field(default_factory=Counter)
    #: Durations in milliseconds by what they are of, such as `region:my`.
    _durations: dict[str, array[int]] = field(default_factory=dict)

    def add(self, case: Case) -> None:
        """Count one verification."""
        self._outcomes[case.outcome] += 1
        for kind, name in (
            ("code", case.error_code or NONE),
            ("type", case.document_type or NONE),
            ("region", case.region),
            ("day", case.decided_at.date().isoformat()),
        ):
            self._crossed[kind][name, case.outcome] += 1
        self._tables[case.table] += 1
        if case.outcome == REVIEW:
            self._reviews[case.reason or case.error_code or NONE] += 1
        if case.verdict is not None:
            self._verdicts[case.verdict] += 1
            self._crossed["judged"][case.outcome, case.verdict] += 1
            self._crossed["judged reason"][case.reason or case.error_code or NONE, case.verdict] += 1
        self._totals["polls"] += case.polls
        self._totals["incomplete"] += not case.complete
        self._add_vendor(case)
        self._add_durations(case)

    def add_unreadable_answers(self, count: int) -> None:
        """Count answers that could not be read."""
        self._totals["unreadable_answers"] += count

    def figures(self) -> Figures:
        """Return the figures of what was counted so far."""
        order = tuple(_by_count(self._outcomes))
        durations = {name: Times.of(each) for name, each in self._durations.items()}
        return Figures(
            decided=self._outcomes.total(),
            outcomes=_by_count(self._outcomes),
            error_codes=_lines(self._crossed["code"], order),
            document_types=_lines(self._crossed["type"], order),
            regions=_lines(self._crossed["region"], order),
            days=_lines(self._crossed["day"], order, names=self.days),
            tables=_by_count(self._tables),
            enqueued_to_decided=durations.get("enqueued"),
            settled_to_decided=durations.get("settled"),
            by_region=_named(durations, "region:"),
            by_outcome=_named(durations, "outcome:"),
            reviews=_by_count(self._reviews),
            polls=self._totals["polls"],
            incomplete=self._totals["incomplete"],
            vendor=VendorFaults(
                recorded=self._totals["recorded"],
                answers=self._totals["answers"],
                verifications=self._totals["verifications"],
                reasons=_by_count(self._reasons),
                codes=_by_count(self._codes),
                missing=_by_count(self._missing),
                unreadable_answers=self._totals["unreadable_answers"],
            ),
            verdicts=Verdicts(
                _by_count(self._verdicts),
                _lines(self._crossed["judged"], VERDICTS),
                _lines(self._crossed["judged reason"], VERDICTS),
            ),
        )

    def _add_vendor(self, case: Case) -> None:
        if case.vendor_faults is not None:
            self._totals["recorded"] += 1
            self._totals["answers"] += case.vendor_faults
            self._totals["verifications"] += case.vendor_faults > 0
        if case.reason:
            self._reasons[case.reason] += 1
        if case.error_code in VENDOR_CODES:
            self._codes[case.error_code] += 1
        self._missing.update(case.missing)

    def _add_durations(self, case: Case) -> None:
        if case.enqueued_at is not None:
            took_ms = _milliseconds(case.enqueued_at, case.decided_at)
            for name in ("enqueued", f"region:{case.region}", f"outcome:{case.outcome}"):
                self._durations.setdefault(name, array("q")).append(took_ms)
        if case.settled_at is not None and case.reason is None:
            took_ms = _milliseconds(case.settled_at, case.decided_at)
            self._durations.setdefault("settled", array("q")).append(took_ms)


def share(count: int, whole: int) -> float:
    """Return the share of a whole; 0 of nothing."""
    return count / whole if whole else 0.0


def _milliseconds(start: datetime, end: datetime) -> int:
    # A clock that was set back would give less than nothing.
    return max(0, round((end - start).total_seconds() * 1000))


def _rank(ordered: list[int], part: float) -> int:
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def _histogram(ordered: Iterable[int]) -> tuple[int, ...]:
    counts = [0] * (len(BOUNDS_S) + 1)
    place = 0
    for took_ms in ordered:
        while place < len(BOUNDS_S) and took_ms > BOUNDS_S[place] * 1000:
            place += 1
        counts[place] += 1
    return tuple(counts)


def _by_count(counter: Counter[str]) -> dict[str, int]:
    """Return the counts, the largest first, equal ones by name: the order does not depend on that of the reading."""
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))


def _lines(
    crossed: Counter[tuple[str, str]], outcomes: tuple[str, ...], names: tuple[str, ...] | None = None
) -> tuple[Line, ...]:
    counts: Counter[str] = Counter()
    for (name, _), count in crossed.items():
        counts[name] += count
    return tuple(
        Line(name, counts[name], {each: crossed[name, each] for each in outcomes if crossed[name, each]})
        for name in names or _by_count(counts)
    )


def _named(durations: Mapping[str, Times | None], start: str) -> dict[str, Times]:
    return {
        name.removeprefix(start): times
        for name, times in sorted(durations.items())
        if name.startswith(start) and times
    }
