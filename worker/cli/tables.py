"""Tables of the ledger's figures, as `ekyc stats` and `ekyc watch` show them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rich import box
from rich.columns import Columns
from rich.console import Group
from rich.table import Table
from rich.text import Text

from worker.cli.time_format import hold_text, span
from worker.enqueue_request import DEFAULT_PIPELINE
from worker.ledger.stats import lately_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rich.console import RenderableType

    from worker.cli.acts import Act
    from worker.cli.snapshot import Rates, Snapshot
    from worker.ledger.models import Counts, Lately
    from worker.ledger.worker_registry import Worker

#: The message for a ledger in which nothing was ever enqueued.
NOTHING_YET: Final = (
    "Nothing has been enqueued yet. `ekyc enqueue ID --region ph` enqueues a first verification, "
    "`ekyc demo` shows everything at work."
)

#: How many of the newest acts of people are shown for a region on hold.
ACTS: Final = 3

_ROWS: Final[Mapping[str, Callable[[Counts], str]]] = {
    "enqueued": lambda counts: f"{counts.enqueued:,}",
    "waiting": lambda counts: f"{counts.waiting:,}",
    "in flight": lambda counts: f"{counts.in_flight:,}",
    "done": lambda counts: f"{counts.done:,}",
    "quarantined": lambda counts: f"{counts.quarantined:,}",
    "dropped": lambda counts: f"{counts.dropped:,}",
    "polls": lambda counts: f"{counts.polls:,}",
    "oldest due": lambda counts: span(counts.oldest_due_s),
}


def panels(look: Snapshot, rates: Rates | None = None, acts: Sequence[Act] = ()) -> RenderableType:
    """Return all figures of a snapshot; with `rates` per second, and with the `acts` of people on regions on hold."""
    counts = look.total
    if look.empty:
        return Group(Text(NOTHING_YET), _workers(look.workers), *_holds(counts, acts))
    lately = lately_together(look.lately.values()) if look.lately else None
    named = counts.pipelines.keys() - {DEFAULT_PIPELINE}
    tallies: dict[str, tuple[Mapping[str, int], Mapping[str, int] | None]] = {
        "waiting of pipeline": (counts.pipelines if named else {}, None),
        "decision": (counts.decisions, lately.decisions if lately else None),
        "error code": (counts.error_codes, lately.error_codes if lately else None),
        "answer": (counts.answers, lately.answers if lately else None),
        "fault": (counts.faults, lately.faults if lately else None),
        "quarantine reason": (counts.quarantine, None),
        "shadow table differs": (_changes(counts.shadow), None),
    }
    return Group(
        _regions(look),
        _workers(look.workers),
        *_rates(rates),
        *_lately(lately),
        *_holds(counts, acts),
        Columns([_tally(title, ever, new) for title, (ever, new) in tallies.items() if ever], padding=(0, 2)),
    )


def _regions(look: Snapshot) -> Table:
    """A column for each region in use: figures can be long, but there are at most six regions."""
    used = {region: counts for region, counts in look.regions.items() if counts.enqueued}
    columns = used if len(used) == 1 else used | {"all": look.total}
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for title in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for title, figure in _ROWS.items():
        table.add_row(title, *(figure(counts) for counts in columns.values()))
    return table


def _workers(workers: Sequence[Worker]) -> Text:
    """The number of workers. Different tables are highlighted: the decision then depends on which worker makes it."""
    if not workers:
        return Text(" no worker was seen lately", style="yellow")
    tables = Counter((worker.table, worker.shadow) for worker in workers)
    said = ", ".join(
        f"{number} with decision table {table}" + (f" and shadow table {shadow}" if shadow else "")
        for (table, shadow), number in sorted(tables.items())
    )
    return Text(f" workers: {said}", style="yellow" if len(tables) > 1 else "")


def _changes(shadow: Mapping[str, int]) -> Mapping[str, int]:
    return {change.replace(":", " -> "): count for change, count in shadow.items()}


def _rates(rates: Rates | None) -> Iterable[Text]:
    if rates is not None:
        yield Text(
            f" per second: {rates.enqueued:,.1f} enqueued, {rates.polls:,.1f} polls, {rates.decided:,.1f} decisions"
        )


def _lately(lately: Lately | None) -> Iterable[Text]:
    if lately is not None:
        yield Text(
            f" last {span(lately.seconds)}: {lately.enqueued:,} enqueued, {lately.polls:,} polls, "
            f"{sum(lately.decisions.values()):,} decisions, {lately.done:,} done"
        )


def _holds(counts: Counts, acts: Sequence[Act]) -> Iterable[Text]:
    for hold in counts.holds:
        yield Text(f" {hold.region} {hold_text(hold)}", style="yellow")
        for act in [act for act in acts if act.region == hold.region][-ACTS:]:
            yield Text(f"   {act}")


def _tally(title: str, ever: Mapping[str, int], lately: Mapping[str, int] | None) -> Table:
    """Counts since the ledger began; with `lately` also those of the last minutes."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(title)
    table.add_column("" if lately is None else "ever", justify="right")
    if lately is not None:
        table.add_column("last 5 min", justify="right")
    for name, count in sorted(ever.items(), key=lambda item: (-item[1], item[0])):
        recent = [] if lately is None else [f"{lately.get(name, 0):,}"]
        table.add_row(Text(name), f"{count:,}", *recent)
    return table
