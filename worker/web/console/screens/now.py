"""The screen Now: what needs a person, and what the fleet does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, current_app, render_template, url_for

from worker.decisions.deliveries import health
from worker.enqueue_request import DEFAULT_PIPELINE
from worker.policy.attention import Urgency
from worker.policy.overview import FIGURES, NOTHING_YET, by_table
from worker.time_budget import WORKER_SEEN_S
from worker.web.console.access import screen
from worker.web.console.charts import share
from worker.web.console.parts import parts
from worker.web.console.rendering import page, tagged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flask import Response
    from markupsafe import Markup

    from worker.ledger.models import Counts, Hold
    from worker.ledger.worker_registry import Presence
    from worker.policy.attention import Need
    from worker.web.console.census import Overview
    from worker.web.console.shared_reading import Reading

blueprint = Blueprint("now", __name__)

#: Workers that are listed one by one; the missing ones come first.
MOST_WORKERS: Final = 60

#: Pipelines that are listed one by one.
MOST_PIPELINES: Final = 12

#: How an urgency is called: colour is never the only sign.
URGENCIES: Final[Mapping[Urgency, str]] = {
    Urgency.NOW: "Act now",
    Urgency.SOON: "Look soon",
    Urgency.NOTE: "To know",
}

#: The view of each screen on which a person may continue.
VIEWS: Final[Mapping[str, str]] = {
    "quarantine": "quarantine.show",
    "verifications": "verifications.show",
    "endpoint": "deliveries.endpoint",
    "decisions": "decisions.show",
}


#: The words of the screens, for people who do not run the fleet.
WORDS: Final = (
    ("poll", "one question to the vendor: is the result there?"),
    ("due", "its time to be asked, or worked on, has come; the oldest due has waited longest for a worker"),
    ("in flight", "a worker is at it now"),
    ("settled", "the vendor has given a result, or none will come"),
    ("archiving", "the answer and its images are being stored as evidence"),
    ("routing", "it is being decided, and the decision is on its way to the pipeline"),
    ("delivering", "endpoints have not acknowledged the decision yet"),
    ("quarantine", "it has stopped, and no decision comes, until a person retries or drops it"),
    ("on hold", "the region is not polled for a while: a person stopped it, or errors of the vendor"),
    ("half-open", "after a hold, one verification tries whether the vendor answers again"),
    (
        "lateness",
        "how long after its time something was done; “95 % within” is the time that 95 of 100 took at most",
    ),
    (
        "open, failing, slowed, paused",
        "an endpoint acknowledges; does not; gets fewer at a time; gets nothing",
    ),
    ("user is done", "the pipeline has said that the person has finished the pages of the vendor"),
    ("errorCode", "the word of the vendor for why the result is what it is"),
    ("20807@host", "the process, and the machine, of a worker"),
    (
        "REFUSED, TIMEOUT, HTTP 500",
        "the endpoint took no connection; did not answer in time; answered with this status",
    ),
)


@dataclass(frozen=True, slots=True)
class Shares:
    """What waits, by pipeline: the largest ones, and the others together."""

    rows: tuple[tuple[str, int], ...]
    others: int
    picture: Markup


@screen(blueprint, "/")
def show() -> Response:
    return page("now.html", words=WORDS, **_shown(parts().census.get()))


@screen(blueprint, "/now")
def live() -> Response:
    """The part that is refreshed. It is the same for every user, and all tabs share it."""
    census = parts().census
    reading = census.get()
    return tagged(census.body(reading, lambda: render_template("now_live.html", **_shown(reading)).encode()))


def _shown(reading: Reading[Overview]) -> dict[str, Any]:
    overview = reading.value
    regions = overview.snapshot.regions
    seen = sorted(overview.snapshot.seen, key=lambda each: not each.is_missing)
    return {
        "overview": overview,
        "old_s": reading.age_s if reading.is_old else None,
        "urgencies": URGENCIES,
        "needs": [(need, _next(need)) for need in overview.needs],
        "figures": FIGURES,
        "nothing_yet": NOTHING_YET,
        # With one region its figures are those of all.
        "columns": regions if len(regions) == 1 else {**regions, "all": overview.snapshot.total},
        "states": {region: _state(counts, overview.read_at_ms) for region, counts in regions.items()},
        "shares": {region: _shares(counts) for region, counts in regions.items()},
        "workers": [(each, _last_seen(each)) for each in seen[:MOST_WORKERS]],
        "further_workers": max(len(seen) - MOST_WORKERS, 0),
        "tables": by_table(overview.snapshot.workers),
        "health": health,
        "endpoints": overview.fleet.endpoints,
        "unread": overview.fleet.unread,
    }


def _next(need: Need) -> str | None:
    """The address of the screen on which a person continues. None: there is no such screen."""
    view = VIEWS.get(need.screen, "")
    query: dict[str, Any] = {name: value for name, value in need.query if value}
    return url_for(view, **query) if view in current_app.view_functions else None


def _state(counts: Counts, now_ms: int) -> tuple[str, Hold | None, float]:
    """Whether the region is polled; its hold, and the seconds that it has left."""
    hold = next(iter(counts.holds), None)
    if hold is None:
        return "closed", None, 0.0
    return "half-open" if hold.half_open else "on hold", hold, max((hold.until_ms - now_ms) / 1000, 0.0)


def _shares(counts: Counts) -> Shares | None:
    """None: there is only the default pipeline."""
    if not counts.pipelines.keys() - {DEFAULT_PIPELINE}:
        return None
    ordered = sorted(counts.pipelines.items(), key=lambda item: (-item[1], item[0]))
    rows = tuple(ordered[:MOST_PIPELINES])
    others = sum(waiting for _, waiting in ordered[MOST_PIPELINES:])
    title = "Waiting verifications by pipeline"
    return Shares(rows, others, share(title, _said(rows), [waiting for _, waiting in rows]))


def _said(rows: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in rows)


def _last_seen(one: Presence) -> str:
    """In steps, so that a page of workers that are well stays as it is."""
    if one.is_missing:
        return f"{one.seen_s_ago:.0f} s ago"
    return "within 10 s" if one.seen_s_ago <= WORKER_SEEN_S / 2 else f"within {WORKER_SEEN_S:.0f} s"
