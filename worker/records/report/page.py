"""The report as one HTML page to print: no script, nothing from another place, light and dark."""

from __future__ import annotations

from datetime import UTC
from html import escape
from typing import TYPE_CHECKING, Final

from worker.policy.time_format import span
from worker.records.report.acceptance import CONFIDENCE
from worker.records.report.charts import Bar, bars, columns
from worker.records.report.figures import APPROVE, BOUNDS_S, NONE, REVIEW, VERDICTS, share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from worker.records.report.acceptance import Acceptance
    from worker.records.report.figures import Figures, Line, Times, VendorFaults
    from worker.records.report.report import Report

#: The most lines of a table; the rest is one line. CSV and JSON have all.
MOST_LINES: Final = 40

#: The most characters of a name in a chart.
_NAME: Final = 26

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600

#: The colours of decisions in the packaged table. Other decisions take the next free one.
_KNOWN: Final = {
    "approve": "c0",
    "reject": "c1",
    "recapture": "c2",
    "review": "c3",
    "unsupported": "c4",
    "abandoned": "c5",
}
_SPARE: Final = ("c6", "c7", "c8", "c9")

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2733; --faint: #5a6675; --line: #d8dde3; --page: #fff; --soft: #f4f6f8;
  --c0: #1a8a63; --c1: #c8443c; --c2: #d68a00; --c3: #6b57c8; --c4: #4f7596; --c5: #98a3ae; --c6: #a8458f;
  --c7: #7a8b1d; --c8: #8a5a3c; --c9: #2a9fb3; --warn: #8a4b00; --warnsoft: #fff3df; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --faint: #a3adb8; --line: #39424d; --page: #14191f;
  --soft: #1d242c; --c0: #3cb88a; --c1: #ea7069; --c2: #eaa938; --c3: #9b8af0; --c4: #7ba4c8; --c5: #79858f;
  --c6: #d47cbd; --c7: #aabd4a; --c8: #c08d6c; --c9: #58c3d5; --warn: #ffc879; --warnsoft: #3a2c14; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial,
  sans-serif; }
main { max-width: 900px; margin: 0 auto; padding: 32px 24px 48px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 38px 0 6px; padding-top: 14px; border-top: 1px solid var(--line); }
p { margin: 6px 0 12px; }
.faint, figcaption, caption { color: var(--faint); font-size: 13.5px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 22px 0 8px; }
.tile { background: var(--soft); border-radius: 8px; padding: 10px 12px; }
.tile b { display: block; font-size: 21px; line-height: 1.25; white-space: nowrap; font-variant-numeric: tabular-nums; }
.tile span { color: var(--faint); font-size: 13px; }
.note { background: var(--warnsoft); color: var(--warn); border-radius: 8px; padding: 10px 14px; }
figure { margin: 10px 0 14px; }
svg { display: block; width: 100%; height: auto; font-size: 12.5px; }
svg text { fill: var(--ink); }
svg .tick { fill: var(--faint); font-size: 11px; }
svg .value { fill: var(--faint); font-variant-numeric: tabular-nums; }
svg .rule { stroke: var(--line); fill: none; }
.key { display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 0; margin: 6px 0; list-style: none; font-size: 13px; }
.key svg { display: inline-block; width: 11px; height: 11px; margin-right: 6px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 8px 0 14px; font-size: 14px; }
caption { text-align: left; padding: 2px 0 4px; }
th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--faint); font-size: 13px; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.code { min-width: 10em; overflow-wrap: break-word; }
code { font: 12.5px ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
@page { margin: 16mm 14mm; }
@media print {
  :root { color-scheme: light; --ink: #000; --faint: #444; --line: #bbb; --page: #fff; --soft: #f2f2f2;
    --c0: #1a8a63; --c1: #c8443c; --c2: #d68a00; --c3: #6b57c8; --c4: #4f7596; --c5: #98a3ae; --c6: #a8458f;
    --c7: #7a8b1d; --c8: #8a5a3c; --c9: #2a9fb3; --warn: #000; --warnsoft: #f2f2f2; }
  body { font-size: 10.5pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; margin-top: 22px; }
  figure, tr, .tile, .note { break-inside: avoid; }
}
""" + "\n".join(f".c{number} {{ fill: var(--c{number}); }}" for number in range(10))

#: Nothing is loaded, whatever a name in the figures might say.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(report: Report) -> str:
    """Return the whole page."""
    figures = report.figures
    title = f"Identity verifications, {report.month.name}"
    colours = _colours(figures.outcomes)
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="faint">{escape(_scope(report))}</p>',
        *_notes(report),
        *(_decided(report, colours) if figures.decided else _nothing(report)),
        *_acceptance(report.acceptance),
        *_vendor(figures),
        *_sources(report),
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def percent(part: float) -> str:
    """Format a share. One that is not 0 or 1 never looks like it."""
    text = f"{part * 100:.1f}"
    if text == "0.0" and part > 0:
        return "<0.1 %"
    if text == "100.0" and part < 1:
        return ">99.9 %"
    return f"{text} %"


def _colours(outcomes: Iterable[str]) -> dict[str, str]:
    others = [name for name in outcomes if name not in _KNOWN]
    return _KNOWN | {name: _SPARE[place % len(_SPARE)] for place, name in enumerate(others)}


def _scope(report: Report) -> str:
    where = f"region{'s' * (len(report.regions) != 1)} {', '.join(report.regions)}"
    days = report.month.days
    return (
        f"Decided from {days[0]} to {days[-1]} in UTC, {where}. "
        f"Computed from the stored evidence on {report.computed_at.astimezone(UTC):%Y-%m-%d at %H:%M} UTC."
    )


def _notes(report: Report) -> Iterator[str]:
    if not report.is_complete:
        yield '<p class="note">The month is not over: these are the figures so far.</p>'
    if count := report.coverage.unreadable:
        yield (
            f'<p class="note">The evidence of {_many(count, "verification")} could not be read, and is not '
            "in these figures. If the month of its decision is not known, it counts here, too.</p>"
        )
    if missing := report.coverage.missing:
        yield (
            f'<p class="note">{_many(missing, "decision")} of the evidence log cannot be found in the store, and no '
            "erasure explains it. In which month each was decided is not known.</p>"
        )
    if not_logged := report.coverage.not_logged:
        yield (
            f'<p class="note">{_many(not_logged, "decision")} in these figures cannot be found in the evidence log, '
            "which has each verification soon after it ends.</p>"
        )


def _nothing(report: Report) -> Iterator[str]:
    yield (
        f'<p class="note">The evidence store holds no verification that was decided in {report.month.name} '
        f"in {', '.join(report.regions)}.</p>"
    )


def _decided(report: Report, colours: Mapping[str, str]) -> Iterator[str]:
    figures = report.figures
    yield from _tiles(figures)
    yield from _outcomes(figures, colours)
    yield from _days(figures, colours)
    yield from _times(figures)
    yield from _codes(figures)
    yield from _reviews(figures)
    yield from _verdicts(figures)


def _tiles(figures: Figures) -> Iterator[str]:
    times = figures.enqueued_to_decided
    tiles = [
        ("decided", f"{figures.decided:,}"),
        ("approved", percent(share(figures.outcomes.get(APPROVE, 0), figures.decided))),
        ("sent to review", percent(share(figures.outcomes.get(REVIEW, 0), figures.decided))),
        ("median time to decision", span(times.median_s) if times else "not recorded"),
        ("95 % decided within", span(times.p95_s) if times else "not recorded"),
    ]
    yield '<div class="tiles">'
    for name, value in tiles:
        yield f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
    yield "</div>"


def _outcomes(figures: Figures, colours: Mapping[str, str]) -> Iterator[str]:
    yield "<h2>Outcomes</h2>"
    rows = [
        Bar(_short(name), {colours[name]: count}, f"{count:,}  ({percent(share(count, figures.decided))})")
        for name, count in figures.outcomes.items()
    ]
    yield _figure(bars("Decisions by outcome", rows), "")
    if len(figures.regions) > 1:
        yield from _crossed("By region", "region", figures.regions, figures)
    yield from _crossed(
        "By type of document, as the vendor names it", "type", figures.document_types, figures
    )


def _days(figures: Figures, colours: Mapping[str, str]) -> Iterator[str]:
    yield "<h2>Decisions per day</h2>"
    rows = [
        Bar(
            line.name[-2:].lstrip("0"),
            {colours[name]: count for name, count in line.outcomes.items()},
            f"{line.name}: {line.count:,}",
        )
        for line in figures.days
    ]
    yield _figure(columns("Decisions per day of UTC by outcome", rows, labelled=2), "Days of UTC.")
    yield '<ul class="key">'
    for name in figures.outcomes:
        square = (
            f'<svg viewBox="0 0 11 11"><rect class="{colours[name]}" width="11" height="11" rx="2"/></svg>'
        )
        yield f"<li>{square}{escape(name)}</li>"
    yield "</ul>"


def _times(figures: Figures) -> Iterator[str]:
    yield "<h2>Time to decision</h2>"
    times = figures.enqueued_to_decided
    if times is None:
        yield "<p>The evidence does not hold when these verifications were enqueued.</p>"
        return
    names = [*(f"≤ {_bound(bound)}" for bound in BOUNDS_S), f"> {_bound(BOUNDS_S[-1])}"]
    rows = [
        Bar(name, {"c4": count}, f"{name}: {count:,}")
        for name, count in zip(names, times.histogram, strict=True)
    ]
    caption = "From the enqueue request to the decision. It includes the time that the user takes."
    yield _figure(columns("Time from the enqueue request to the decision", rows), caption)
    spans: list[tuple[str, Times | None]] = [
        ("enqueued to decided", times),
        ("vendor's result to decided", figures.settled_to_decided),
        *((f"region {name}", each) for name, each in figures.by_region.items() if len(figures.by_region) > 1),
        *((name, each) for name, each in figures.by_outcome.items()),
    ]
    yield _table(
        ("", "number", "median", "90 % within", "95 % within", "longest"),
        [
            (
                name,
                f"{each.count:,}",
                *(span(s) for s in (each.median_s, each.p90_s, each.p95_s, each.longest_s)),
            )
            for name, each in spans
            if each
        ],
    )
    if (left_out := figures.decided - times.count) > 0:
        yield f'<p class="faint">Without {_many(left_out, "verification")} whose start is not recorded.</p>'


def _codes(figures: Figures) -> Iterator[str]:
    yield "<h2>Error codes</h2>"
    rows = [
        Bar(_short(line.name), {"c4": line.count}, f"{line.count:,}  ({percent(_of(line, figures))})")
        for line in figures.error_codes[:MOST_LINES]
    ]
    caption = f"errorCode of the vendor's result; {NONE}: there is no result."
    yield _figure(bars("Decisions by error code", rows, names=270), caption)
    yield from _crossed("Error codes by outcome", "errorCode", figures.error_codes, figures)


def _reviews(figures: Figures) -> Iterator[str]:
    yield "<h2>Reviews</h2>"
    if not figures.reviews:
        yield f"<p>No verification was decided <code>{REVIEW}</code>.</p>"
        return
    count = sum(figures.reviews.values())
    yield (
        f"<p>{_many(count, 'verification')}, {percent(share(count, figures.decided))} of all, went to a person "
        "for the reasons below. What that person decided is not in the evidence, unless they noted a verdict.</p>"
    )
    yield _counts(("reason, or errorCode", "verifications"), figures.reviews)


def _verdicts(figures: Figures) -> Iterator[str]:
    verdicts = figures.verdicts
    count = sum(verdicts.counts.values())
    yield "<h2>Verdicts of reviewers</h2>"
    if not count:
        yield "<p>No reviewer has noted a verdict on a decision of this month.</p>"
        return
    yield (
        f"<p>Reviewers have judged {_many(count, 'decision')}, {percent(share(count, figures.decided))} of all. Of "
        "several verdicts on a decision the newest counts. A verdict changes no decision.</p>"
    )
    head = [verdict.replace("_", " ") for verdict in VERDICTS if verdict in verdicts.counts]
    for caption, what, lines in (
        ("By decision", "decision", verdicts.by_decision),
        ("By reason of the decision, or errorCode", "reason", verdicts.by_reason),
    ):
        shown, rest = lines[:MOST_LINES], lines[MOST_LINES:]
        rows = [_judged(line.name, [line], verdicts.counts) for line in shown]
        if rest:
            rows.append(_judged(f"{len(rest):,} more", rest, verdicts.counts))
        yield _table((what, *head), rows, caption)


def _judged(name: str, lines: Sequence[Line], counts: Mapping[str, int]) -> tuple[str, ...]:
    found = [verdict for verdict in VERDICTS if verdict in counts]
    return (name, *(f"{sum(line.outcomes.get(verdict, 0) for line in lines):,}" for verdict in found))


def _acceptance(found: Acceptance | None) -> Iterator[str]:
    if found is None:
        return
    yield "<h2>False acceptance</h2>"
    sure = f"{CONFIDENCE:.0%}".replace("%", " %")
    unsure = f", {found.unsure:,} of them with doubt, which counts as wrong" if found.unsure else ""
    yield (
        f"<p>Of {found.approvals:,} approvals, {found.sampled:,} were drawn at random and checked: "
        f"{found.wrong:,} {'was' if found.wrong == 1 else 'were'} wrong{unsure}. "
        f"The rate of false acceptance is <b>{percent(found.rate)}</b>, and with a confidence of {sure} it is between "
        f"<b>{percent(found.low)}</b> and <b>{percent(found.high)}</b>.</p>"
    )
    yield (
        f"<p>Of the approvals of this month, with the same confidence, between {found.fewest:,} and {found.most:,} "
        "are wrong.</p>"
    )
    yield (
        '<p class="faint">The interval of the rate is exact (Clopper and Pearson, Biometrika 26, 1934) and takes '
        "approvals to have no end; the interval of the number in this month is exact for a sample without "
        "replacement from a finite population (hypergeometric distribution; Buonaccorsi, The American Statistician "
        "41, 1987).</p>"
    )


def _vendor(figures: Figures) -> Iterator[str]:
    yield "<h2>Faults of the vendor</h2>"
    vendor = figures.vendor
    rows = list(_faults(vendor))
    if rows:
        yield _table(("what the evidence holds", "number"), rows)
    else:
        yield "<p>The evidence of this month holds no fault of the vendor.</p>"
    answers = (
        f"Faulty answers before a result were counted for {vendor.recorded:,} of {figures.decided:,} verifications. "
        if vendor.recorded < figures.decided
        else ""
    )
    yield (
        f'<p class="faint">{answers}How long the vendor was unavailable, and how long its answers took, is not in '
        "the evidence: see the metrics of that time.</p>"
    )


def _faults(vendor: VendorFaults) -> Iterator[tuple[str, str]]:
    if vendor.answers:
        yield (
            f"faulty answers before the result, of {_many(vendor.verifications, 'verification')}",
            f"{vendor.answers:,}",
        )
    if vendor.unreadable_answers:
        yield "answers that could not be read", f"{vendor.unreadable_answers:,}"
    for reason, count in vendor.reasons.items():
        yield f"{reason}: {_REASONS.get(reason, 'the answer contradicts itself')}", f"{count:,}"
    for code, count in vendor.codes.items():
        yield f"{code}: a result that reports a fault of the vendor", f"{count:,}"
    for reason, count in vendor.missing.items():
        yield f"{reason}: an image or file that could not be kept", f"{count:,}"


#: Reasons without a contradiction.
_REASONS: Final = {
    "DEADLINE_PASSED": "no result before the deadline",
    "SIGNATURE_NOT_EXIST": "the vendor does not know the id",
}


def _sources(report: Report) -> Iterator[str]:
    figures, coverage = report.figures, report.coverage
    compared = (
        ("decided in this month, and not in the evidence log", coverage.not_logged),
        ("in the evidence log, and not in the store", coverage.missing),
    )
    yield "<h2>What this is computed from</h2>"
    yield _table(
        ("", "number"),
        [
            ("verifications decided in this month", f"{figures.decided:,}"),
            ("… of which a linked object is not kept", f"{figures.incomplete:,}"),
            ("… the vendor's answers until then", f"{figures.polls:,}"),
            ("kept in this month without a decision", f"{coverage.undecided:,}"),
            ("erased since this month began", f"{coverage.erased:,}"),
            ("evidence that could not be read", f"{coverage.unreadable:,}"),
            *((text, f"{count:,}") for text, count in compared if count is not None),
        ],
    )
    yield (
        '<p class="faint">Without a decision: in progress, in quarantine, or decided by a release that did not keep '
        "decisions. The month in which an erased verification was decided is not known any more.</p>"
    )
    if figures.tables:
        yield _counts(("version of the decision table", "decisions"), figures.tables)
    if report.checkpoints:
        yield _table(
            ("log of region", "size", "root hash"),
            [(each.region, f"{each.size:,}", each.root) for each in report.checkpoints],
        )
        yield (
            '<p class="faint">The state of each evidence log before the evidence was read. '
            "<code>ekyc evidence verify --all</code> checks the evidence against it.</p>"
        )
    else:
        yield '<p class="faint">There is no evidence log, so nothing proves that no evidence was removed.</p>'
    yield (
        '<p class="faint">Quantiles are of the nearest rank. A verification belongs to the month of its decision, '
        "in UTC. This page holds counts, codes and times, and nothing about a single person.</p>"
    )


def _crossed(caption: str, what: str, lines: Sequence[Line], figures: Figures) -> Iterator[str]:
    """Return a table by outcome: of each line its share of all, and the share of it that was approved."""
    outcomes = list(figures.outcomes)
    shown = list(lines[:MOST_LINES])
    rows = [
        (
            line.name,
            f"{line.count:,}",
            percent(_of(line, figures)),
            "" if line.approval_rate is None else percent(line.approval_rate),
            *(f"{line.outcomes[name]:,}" if name in line.outcomes else "" for name in outcomes),
        )
        for line in shown
    ]
    if rest := lines[MOST_LINES:]:
        count = sum(line.count for line in rest)
        rows.append((f"{len(rest):,} more", f"{count:,}", percent(share(count, figures.decided))))
    yield _table((what, "number", "share", "approved", *outcomes), rows, caption)


def _counts(head: tuple[str, str], counts: Mapping[str, int]) -> str:
    items = list(counts.items())
    rows = [(name, f"{count:,}") for name, count in items[:MOST_LINES]]
    if rest := items[MOST_LINES:]:
        rows.append((f"{len(rest):,} more", f"{sum(count for _, count in rest):,}"))
    return _table(head, rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return a table whose first column is text and whose other columns are numbers."""
    lines = ['<div class="wide"><table>']
    if caption:
        lines.append(f"<caption>{escape(caption)}</caption>")
    lines.append(
        f"<thead><tr>{''.join(_cell('th', place, text) for place, text in enumerate(head))}</tr></thead>"
    )
    lines.append("<tbody>")
    for row in rows:
        cells = [*row, *("" for _ in range(len(head) - len(row)))]
        lines.append(f"<tr>{''.join(_cell('td', place, text) for place, text in enumerate(cells))}</tr>")
    lines.append("</tbody></table></div>")
    return "\n".join(lines)


def _cell(tag: str, place: int, text: str) -> str:
    return f'<{tag} class="{"n" if place else "code"}">{escape(text)}</{tag}>'


def _figure(svg: str, caption: str) -> str:
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{svg}{below}</figure>"


def _bound(seconds: int) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds} s"
    return f"{seconds // _MINUTE_S} min" if seconds < _HOUR_S else f"{seconds // _HOUR_S} h"


def _of(line: Line, figures: Figures) -> float:
    return share(line.count, figures.decided)


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _short(name: str) -> str:
    return name if len(name) <= _NAME + 6 else f"{name[: _NAME + 5]}…"
