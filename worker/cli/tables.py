"""Tables of the ledger's figures, as `ekyc stats` and `ekyc watch` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.columns import Columns
from rich.console import Group
from rich.table import Table
from rich.text import Text

from worker.enqueue_request import DEFAULT_PIPELINE
from worker.errors import EvidenceUnavailable
from worker.ledger.stats import lately_together
from worker.policy.overview import FIGURES, NOTHING_YET, by_table
from worker.policy.time_format import hold_text, span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import RenderableType

    from worker.cli.acts import Act
    from worker.ledger.models import Counts, Lately
    from worker.ledger.snapshot import Rates, Snapshot
    from worker.ledger.worker_registry import Worker

#: How many of the newest acts of people are shown for a region on hold.
ACTS: Final = 3


def panels(
    look: Snapshot, rates: Rates | None = None, acts: Sequence[Act] = (), *, is_replaced: bool = False
) -> RenderableType:
    """Return all figures of a snapshot; with `rates` per second, and with the `acts` of people on regions on hold.

    `is_replaced`: a region's ledger is in place of another one, so an empty one is no beginning.
    """
    counts = look.total
    if look.empty:
        empty = "This Redis holds no verification." if is_replaced else NOTHING_YET
        return Group(Text(empty), _workers(look.workers), *_holds(counts, acts))
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
        *_evidence(lately),
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
    for title, figure in FIGURES.items():
        table.add_row(title, *(figure(counts) for counts in columns.values()))
    return table


def _workers(workers: Sequence[Worker]) -> Text:
    """The number of workers. Different tables are highlighted: the decision then depends on which worker makes it."""
    if not workers:
        return Text(" no worker was seen lately", style="yellow")
    groups = by_table(workers)
    said = ", ".join(f"{number} with {text}" for text, number in groups.items())
    return Text(f" workers: {said}", style="yellow" if len(groups) > 1 else "")


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


def _evidence(lately: Lately | None) -> Iterable[Text]:
    """A line while the store fails: decisions wait for it, and no other figure says why."""
    if lately is not None and (count := lately.faults.get(EvidenceUnavailable.cause)):
        times = f"{count:,} time{'s' * (count != 1)} in the last {span(lately.seconds)}"
        yield Text(
            f" workers could not use the evidence store {times}: decisions wait meanwhile", style="yellow"
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
