"""The screen Decisions: the table in use, what the fleet decides by it, and what another table would decide."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, abort, redirect, request, url_for

from worker.decisions import table_text
from worker.decisions.draft import CELERY, endpoint_of
from worker.errors import LedgerUnavailable
from worker.ledger.audit import Via
from worker.ledger.stats import lately_together
from worker.policy import personal_text
from worker.policy.time_format import seconds
from worker.web.console import access
from worker.web.console.access import LONGEST_FORM, act, screen
from worker.web.console.comparisons import LONGEST_S, MOST, Busy, Upload
from worker.web.console.parts import parts
from worker.web.console.rendering import fragment, page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from flask import Response
    from flask.typing import ResponseReturnValue

    from worker.ledger.worker_registry import Worker

blueprint = Blueprint("decisions", __name__)

#: What a table is called whose file has no name that can be kept.
_UNNAMED: Final = "table"

#: The largest table that may be uploaded, in bytes.
LARGEST_TABLE: Final = 1024 * 1024

#: The times that the form offers, as the commands write them.
SINCE: Final = ("1h", "4h", "1d", "3d", "7d")

#: The longest name of an uploaded file, in characters.
_LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class Group:
    """The workers that use the same table, and the same shadow table; "": none."""

    table: str
    shadow: str
    names: Sequence[str]
    #: Whether the table is the one that the file of this server has.
    is_same: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """Decisions for which the shadow table names another one, by region."""

    decided: str
    other: str
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@screen(blueprint, "/decisions")
def show() -> Response:
    """The table in words, and the figures of the fleet."""
    table = parts().table
    return page(
        "decisions.html",
        file=_table_file(parts().settings.decisions_file),
        words=table_text.words,
        any_result=table_text.ANY_RESULT,
        deliveries={name: list(map(_delivery, table.delivered_by(name))) for name in sorted(table.decisions)},
        **_figures(),
    )


@screen(blueprint, "/decisions/figures")
def live() -> Response:
    """The part of the screen that is refreshed."""
    return fragment("decisions_live.html", **_figures())


@screen(blueprint, "/decisions/diff")
def diff() -> Response:
    """The form for another table, and the comparison that the user began last."""
    return page(
        "diff.html",
        comparison=parts().comparisons.find(access.user().name),
        regions=parts().settings.regions,
        since=SINCE,
        largest=LARGEST_TABLE,
        longest_s=LONGEST_S,
        most=MOST,
        before=parts().table.version,
    )


@screen(blueprint, "/decisions/diff/progress")
def progress() -> Response:
    """The part of the page that is refreshed."""
    comparison = parts().live_redis.ask(lambda: parts().comparisons.find(access.user().name))
    return fragment("diff_live.html", comparison=comparison)


@act(blueprint, "/decisions/diff", longest_body=LARGEST_TABLE + LONGEST_FORM)
def upload() -> ResponseReturnValue:
    """Begin to compare an uploaded table with the one in use. It is never stored, and never used."""
    file = request.files.get("table")
    if file is None or not file.filename:
        abort(HTTPStatus.BAD_REQUEST, "Choose the file of a table: nothing was compared.")
    raw = file.read(LARGEST_TABLE + 1)
    if len(raw) > LARGEST_TABLE:
        abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A table may have {LARGEST_TABLE:,} bytes.")
    region, since = request.form.get("region", ""), request.form.get("since", "")
    if region and region not in parts().settings.regions:
        abort(HTTPStatus.BAD_REQUEST, f"The regions are {', '.join(parts().settings.regions)}.")
    try:
        since_s = seconds(since) if since else None
    except ValueError as error:
        abort(HTTPStatus.BAD_REQUEST, f"The time {error}.")
    name, regions = _file_name(file.filename), (region,) if region else parts().settings.regions
    user = access.user().name
    try:
        parts().comparisons.begin(Upload(user, name, raw, regions, since, since_s))
    except Busy as busy:
        abort(HTTPStatus.CONFLICT, str(busy))
    try:
        parts().audit.record(
            "table_diff", who=user, via=Via.CONSOLE, region=region, subject=name, detail=since
        )
    except LedgerUnavailable:
        parts().comparisons.cancel(user)
        raise
    return redirect(url_for("decisions.diff"), HTTPStatus.SEE_OTHER)


@act(blueprint, "/decisions/diff/cancel")
def cancel() -> ResponseReturnValue:
    """End the running comparison of the user. Without one nothing changes, and the page shows what there is."""
    user = access.user().name
    if parts().comparisons.cancel(user):
        parts().audit.record("table_diff_cancel", who=user, via=Via.CONSOLE)
    return redirect(url_for("decisions.diff"), HTTPStatus.SEE_OTHER)


def _table_file(path: Path | None) -> str:
    """What the file of the table is called, without its folder."""
    return table_text.named(None) if path is None else path.name


def _delivery(kind: str) -> tuple[str, str]:
    """What a delivery is called, and the endpoint that it goes to, or ""."""
    return ("the queue onboarding", "") if kind == CELERY else ("the endpoint", endpoint_of(kind) or "")


def _file_name(name: str) -> str:
    """The name of an uploaded file, which is shown and recorded: no path, printable, short, and not personal."""
    last = name.replace("\\", "/").rpartition("/")[2]
    found = "".join(each for each in last if each.isprintable())[:_LONGEST_NAME]
    return _UNNAMED if not found or personal_text.found_in(found) else found


def _figures() -> dict[str, Any]:
    reading = parts().census.get()
    snapshot = reading.value.snapshot
    counts, lately = snapshot.regions, lately_together(snapshot.lately.values())
    names = sorted({name for each in counts.values() for name in each.decisions} | parts().table.decisions)
    return {
        "old_s": reading.age_s if reading.is_old else None,
        "groups": _groups(snapshot.workers, parts().table.version),
        "shadows": sorted({each.shadow for each in snapshot.workers if each.shadow}),
        "table": parts().table,
        "regions": list(counts),
        "differences": _differences({region: each.shadow for region, each in counts.items()}),
        "decided": [
            (
                name,
                name in parts().table.decisions,
                {region: each.decisions.get(name, 0) for region, each in counts.items()},
                lately.decisions.get(name, 0),
            )
            for name in names
        ],
        # In minutes, so that the part stays as it is while nothing happens.
        "lately_min": round(lately.seconds / 60),
    }


def _groups(workers: Iterable[Worker], version: str) -> list[Group]:
    """The workers by their tables: first those whose table is not that of this server, then the larger ones."""
    by_tables: dict[tuple[str, str], list[str]] = {}
    for each in workers:
        by_tables.setdefault((each.table, each.shadow), []).append(each.name)
    found = [Group(*tables, names, tables[0] == version) for tables, names in by_tables.items()]
    return sorted(found, key=lambda each: (each.is_same, -len(each.names), each.table, each.shadow))


def _differences(by_region: dict[str, dict[str, int]]) -> list[Difference]:
    """What the shadow table would decide otherwise, the most frequent first."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for region, counts in by_region.items():
        for pair, count in counts.items():
            decided, _, other = pair.partition(":")
            found.setdefault((decided, other), Counter())[region] += count
    rows = [Difference(decided, other, dict(counts)) for (decided, other), counts in found.items()]
    return sorted(rows, key=lambda each: (-each.total, each.decided, each.other))
