"""`ekyc watch`: shows the figures of the ledger at intervals."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from worker.cli.tables import panels
from worker.errors import LedgerUnavailable
from worker.ledger.connection import connect
from worker.ledger.moments import rfc3339
from worker.ledger.snapshot import Rates, look
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.snapshot import Snapshot


class Face(Protocol):
    """Where the snapshots are shown."""

    def show(self, seen: Snapshot, rates: Rates | None) -> None: ...

    def fail(self, error: LedgerUnavailable) -> None: ...


class Lines:
    """Prints a line per snapshot, for logs and pipes."""

    def show(self, seen: Snapshot, rates: Rates | None) -> None:
        counts = seen.total
        figures = {
            "waiting": counts.waiting,
            "in_flight": counts.in_flight,
            "done": counts.done,
            "quarantined": counts.quarantined,
            "dropped": counts.dropped,
            "oldest_due_s": f"{counts.oldest_due_s:.1f}",
            "polls_per_s": f"{rates.polls if rates else 0:.1f}",
            "decisions_per_s": f"{rates.decided if rates else 0:.1f}",
        }
        # A person's reason may contain spaces.
        holds = (
            f"hold={hold.region} until={rfc3339(hold.until_ms)} why={json.dumps(hold.reason, ensure_ascii=False)}"
            for hold in counts.holds
        )
        click.echo(" ".join([_now(), *(f"{name}={figure}" for name, figure in figures.items()), *holds]))

    def fail(self, error: LedgerUnavailable) -> None:
        click.echo(f"{_now()} {error}")


class Screen:
    """Shows tables that are updated in place."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._last: tuple[Snapshot, Rates | None] | None = None

    def show(self, seen: Snapshot, rates: Rates | None) -> None:
        self._last = seen, rates
        self._live.update(panels(seen, rates), refresh=True)

    def fail(self, error: LedgerUnavailable) -> None:
        last = [panels(*self._last)] if self._last else []
        self._live.update(Group(*last, Text(f" {_now()} {error}", style="red")), refresh=True)


@click.command
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    help="Seconds between updates.",
)
@click.option("--count", type=click.IntRange(min=1), help="End after this many updates. Default: at Ctrl-C.")
@click.pass_context
def watch(ctx: click.Context, interval_s: float, count: int | None) -> None:
    """Watch the ledger's figures live, with rates per second.

    Rates cover the time since the last update. On a terminal it updates tables in place; elsewhere it prints a line
    per update. After the first update, it keeps running while Redis is unavailable.

    Exit status: 0, also after Ctrl-C; 1 if Redis did not answer the first update, or the last of --count.
    """
    settings = current()
    failed = False
    with connect(settings.redis_url) as redis, _face() as face:
        before: Snapshot | None = None
        try:
            for number in itertools.count(1):
                try:
                    seen = look(redis, settings.regions)
                    face.show(seen, Rates.between(before, seen) if before else None)
                    before, failed = seen, False
                except LedgerUnavailable as error:
                    if before is None and count is None:
                        raise
                    face.fail(error)
                    failed = True
                if number == count:
                    break
                time.sleep(interval_s)
        except KeyboardInterrupt:
            failed = False
    ctx.exit(1 if failed else 0)


@contextmanager
def _face() -> Iterator[Face]:
    console = Console()
    if not console.is_terminal:
        yield Lines()
        return
    with Live(console=console, auto_refresh=False) as live:
        yield Screen(live)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
