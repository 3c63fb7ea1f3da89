"""A report: the figures of a month, what they were computed from, and their form as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from worker.records.report.acceptance import CONFIDENCE
from worker.records.report.figures import BOUNDS_S, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from worker.records.report.acceptance import Acceptance
    from worker.records.report.figures import Figures, Line, Times, Verdicts
    from worker.records.report.month import Month

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a region's evidence log before the evidence was read."""

    region: str
    size: int
    #: The root hash, in Base64 as the checkpoint has it.
    root: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is not in the figures.

    Parameters:
        undecided: verifications whose evidence was kept in the month, without a decision: they are in progress or in
            quarantine, or a release decided them that did not keep decisions.
        erased: verifications erased since the month began. The month in which they were decided is not known.
        unreadable: verifications whose evidence could not be read.
        not_logged: decisions that are in the figures, and not in the evidence log. None: it was not compared.
        missing: decisions of the log, of any month, that the store lacks or that cannot be read, and that no erasure in
            the log explains. None: it was not compared.
    """

    undecided: int = 0
    erased: int = 0
    unreadable: int = 0
    not_logged: int | None = None
    missing: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The report of a month.

    Parameters:
        regions: those that were read.
        computed_at: when the reading began.
        checkpoints: of each region that has a log.
        acceptance: what the verdicts on a sample show, if they were given.
    """

    month: Month
    regions: tuple[str, ...]
    computed_at: datetime
    figures: Figures
    coverage: Coverage
    checkpoints: tuple[Checkpoint, ...] = ()
    acceptance: Acceptance | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the month was over."""
        return self.computed_at >= self.month.end


def as_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json.dumps(_members(report), indent=2) + "\n"


def as_csv(report: Report) -> str:
    """Return the report as CSV with one figure on a line, for spreadsheets and databases."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(("section", "name", "measure", "value"))
    writer.writerows(_rows(report))
    return text.getvalue()


def _members(report: Report) -> dict[str, Any]:
    figures, vendor = report.figures, report.figures.vendor
    return {
        "version": VERSION,
        "month": str(report.month),
        "from": _moment(report.month.start),
        "until": _moment(report.month.end),
        "month_is_over": report.is_complete,
        "computed_at": _moment(report.computed_at),
        "regions_read": list(report.regions),
        "decided": figures.decided,
        "outcomes": [
            {"outcome": name, "count": count, "rate": _rate(count, figures.decided)}
            for name, count in figures.outcomes.items()
        ],
        "error_codes": _lines(figures.error_codes, figures.decided),
        "document_types": _lines(figures.document_types, figures.decided),
        "regions": _lines(figures.regions, figures.decided),
        "days": _lines(figures.days, figures.decided),
        "tables": dict(figures.tables),
        "times": {
            "enqueued_to_decided": _times(figures.enqueued_to_decided),
            "settled_to_decided": _times(figures.settled_to_decided),
            "by_region": {name: _times(times) for name, times in figures.by_region.items()},
            "by_outcome": {name: _times(times) for name, times in figures.by_outcome.items()},
        },
        "reviews": {"count": sum(figures.reviews.values()), "by": dict(figures.reviews)},
        "verdicts": _verdicts(figures.verdicts),
        "polls": figures.polls,
        "vendor": {
            "recorded": vendor.recorded,
            "faulty_answers": vendor.answers,
            "verifications_with_faulty_answers": vendor.verifications,
            "unreadable_answers": vendor.unreadable_answers,
            "reasons": dict(vendor.reasons),
            "error_codes": dict(vendor.codes),
            "missing_objects": dict(vendor.missing),
        },
        "evidence": {
            "incomplete": figures.incomplete,
            "undecided": report.coverage.undecided,
            "erased": report.coverage.erased,
            "unreadable": report.coverage.unreadable,
            "not_logged": report.coverage.not_logged,
            "logged_and_missing": report.coverage.missing,
        },
        "log": [{"region": each.region, "size": each.size, "root": each.root} for each in report.checkpoints],
        "false_acceptance": _acceptance(report.acceptance),
    }


def _lines(lines: Sequence[Line], whole: int) -> list[dict[str, Any]]:
    return [
        {
            "name": line.name,
            "count": line.count,
            "rate": _rate(line.count, whole),
            "approval_rate": None if line.approval_rate is None else round(line.approval_rate, 6),
            "outcomes": dict(line.outcomes),
        }
        for line in lines
    ]


def _verdicts(verdicts: Verdicts) -> dict[str, Any]:
    def counts(lines: Sequence[Line]) -> dict[str, dict[str, int]]:
        return {line.name: dict(line.outcomes) for line in lines}

    return {
        "count": sum(verdicts.counts.values()),
        "by": dict(verdicts.counts),
        "by_decision": counts(verdicts.by_decision),
        "by_reason": counts(verdicts.by_reason),
    }


def _times(times: Times | None) -> dict[str, Any] | None:
    if times is None:
        return None
    bounds = (*map(str, BOUNDS_S), "more")
    return {
        "count": times.count,
        "median_s": times.median_s,
        "p90_s": times.p90_s,
        "p95_s": times.p95_s,
        "longest_s": times.longest_s,
        "at_most_s": dict(zip(bounds, times.histogram, strict=True)),
    }


def _acceptance(found: Acceptance | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "approvals": found.approvals,
        "sampled": found.sampled,
        "wrong": found.wrong,
        "unsure": found.unsure,
        "rate": found.rate,
        "confidence": CONFIDENCE,
        "rate_low": found.low,
        "rate_high": found.high,
        "wrong_in_month_low": found.fewest,
        "wrong_in_month_high": found.most,
    }


def _rows(report: Report) -> Iterator[tuple[str, str, str, Any]]:
    members = _members(report)
    for name in ("month", "from", "until", "computed_at", "decided", "polls"):
        yield "report", "", name, members[name]
    yield "report", "", "month_is_over", "true" if report.is_complete else "false"
    yield "report", "", "regions_read", " ".join(report.regions)
    for each in members["outcomes"]:
        yield "outcomes", each["outcome"], "count", each["count"]
        yield "outcomes", each["outcome"], "rate", each["rate"]
    for section in ("error_codes", "document_types", "regions", "days"):
        for each in members[section]:
            yield section, each["name"], "count", each["count"]
            yield section, each["name"], "rate", each["rate"]
            yield section, each["name"], "approval_rate", each["approval_rate"]
            for outcome, count in each["outcomes"].items():
                yield section, each["name"], outcome, count
    yield from _row_of("tables", "", members["tables"])
    yield from _time_rows(members["times"])
    yield "reviews", "", "count", members["reviews"]["count"]
    for reason, count in members["reviews"]["by"].items():
        yield "reviews", reason, "count", count
    yield from _verdict_rows(members["verdicts"])
    yield from _row_of("vendor", "", members["vendor"])
    yield from _row_of("evidence", "", members["evidence"])
    for each in members["log"]:
        yield "log", each["region"], "size", each["size"]
        yield "log", each["region"], "root", each["root"]
    yield from _row_of("false_acceptance", "", members["false_acceptance"] or {})


def _verdict_rows(verdicts: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    yield "verdicts", "", "count", verdicts["count"]
    for verdict, count in verdicts["by"].items():
        yield "verdicts", verdict, "count", count
    for section in ("by_decision", "by_reason"):
        for name, counts in verdicts[section].items():
            yield from _row_of(f"verdicts_{section}", name, counts)


def _time_rows(times: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    for section in ("enqueued_to_decided", "settled_to_decided"):
        yield from _row_of("times", section, times[section] or {})
    for section in ("by_region", "by_outcome"):
        for name, each in times[section].items():
            yield from _row_of(f"times_{section}", name, each)


def _row_of(section: str, name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    for measure, value in values.items():
        if isinstance(value, dict):
            for code, count in value.items():
                yield section, f"{name}.{measure}".strip("."), code, count
        else:
            yield section, name, measure, value


def _rate(count: int, whole: int) -> float | None:
    return round(share(count, whole), 6) if whole else None


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
