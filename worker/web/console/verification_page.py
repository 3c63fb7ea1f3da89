"""What the page of one verification shows: its state, its timeline, its deliveries and why it was decided so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import decision_id
from worker.decisions.explanation import Explanation, Subject, explain
from worker.decisions.facts import as_texts
from worker.ledger import Quarantine
from worker.ledger.models import Event, Stage
from worker.ledger.moments import rfc3339
from worker.ledger.webhooks import State
from worker.policy.quarantine_reasons import REASONS, UNKNOWN
from worker.web.console import timeline

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from redis import Redis

    from worker.decisions.table import Table
    from worker.ledger.models import Verification
    from worker.ledger.webhooks import Delivery, EndpointState, Webhooks
    from worker.records.status_view import StatusView

#: Lines of a timeline that the table shows: the first ones and the newest.
FIRST: Final = 20
NEWEST: Final = 80

#: Acts of people on the region that are looked at, and those that the timeline shows.
_ACTS: Final = 50
_SHOWN_ACTS: Final = frozenset({"hold", "resume"})

#: Facts of `ekyc status` that this page shows in its own way.
_ELSEWHERE: Final = frozenset({"evidence", "delivery", "decision"})

#: Stages before which nothing is kept as evidence.
_BEFORE_EVIDENCE: Final = frozenset({Stage.POLLING})


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the timeline's table."""

    at_ms: int
    since: str
    name: str
    means: str
    detail: str
    worker: str


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a verification is decided as it is."""

    subject: Subject
    facts: Mapping[str, str]
    table: str
    explanation: Explanation
    #: Whether the table of this process leads to the decision that was made.
    is_recorded: bool


def values(
    view: StatusView, table: Table, webhooks: Webhooks, endpoints: Collection[str], redis: Redis
) -> dict[str, Any]:
    """Return the values of the template. Raises ``LedgerUnavailable``."""
    one, status = view.verification, view.status
    acts = [
        act for act in Quarantine(redis, who="").acts(one.region, newest=_ACTS) if act.name in _SHOWN_ACTS
    ]
    rows, left_out = _rows(view, acts)
    return {
        "view": view,
        "one": one,
        "facts": [(name, text) for name, text in view.facts() if text and name not in _ELSEWHERE],
        "picture": timeline.draw(status, view.hold, acts),
        "rows": rows,
        "left_out": left_out,
        "first": FIRST,
        "decision": _decision(one),
        "explained": explained(one, table),
        "deliveries": _deliveries(one, status.now_ms, webhooks, endpoints),
        "by_celery": next((event.at_ms for event in status.timeline if event.name == "delivered"), None),
        "advice": REASONS.get(one.quarantine_reason or "", UNKNOWN)
        if one.stage is Stage.QUARANTINED
        else None,
        "has_evidence": one.stage not in _BEFORE_EVIDENCE or bool(one.decision_name),
    }


def explained(one: Verification, table: Table) -> Explained | None:
    """Return why `table` decides it so; None: it has no result yet, or what is recorded of it cannot be read."""
    try:
        found = Subject.of(one)
        if found is None:
            return None
        reasons = explain(table, found.facts)
        return Explained(
            found,
            as_texts(found.facts),
            table.version,
            reasons,
            found.recorded in {None, (reasons.decision, table.version)},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        # A Redis client may have written the fields.
        return None


def _rows(view: StatusView, acts: Sequence[Event]) -> tuple[list[Row], int]:
    """Return the lines of the timeline, and how many are left out after the first ones."""
    events = list(timeline.all_events(view.status))
    first_ms = view.verification.enqueued_at_ms
    last_ms = max((event.at_ms for event in events), default=first_ms)
    if view.verification.stage not in timeline.ENDS:
        last_ms = view.status.now_ms
    names = {act: f"region_{act.name}" for act in acts if first_ms <= act.at_ms <= last_ms}
    events = sorted([*events, *names], key=lambda event: event.at_ms)
    left_out = max(len(events) - FIRST - NEWEST, 0)
    if left_out:
        events = events[:FIRST] + events[-NEWEST:]
    return [_row(event, names.get(event, event.name), first_ms) for event in events], left_out


def _row(event: Event, name: str, first_ms: int) -> Row:
    means = timeline.KINDS.get(name, timeline.OTHER).means
    return Row(event.at_ms, timeline.since(event.at_ms - first_ms), name, means, event.detail, event.worker)


def _decision(one: Verification) -> Mapping[str, str]:
    """Return what was decided, without the context; empty: nothing yet."""
    if not one.decision_name:
        return {}
    found = {"decision": one.decision_name}
    try:
        recorded = json.loads(one.decision or "{}")
        return found | {
            name: str(recorded[name]) for name in ("id", "decided_at", "table") if recorded.get(name)
        }
    except (ValueError, AttributeError, RecursionError):
        return found


def _deliveries(
    one: Verification, now_ms: int, webhooks: Webhooks, endpoints: Collection[str]
) -> list[tuple[Delivery, str]]:
    """Return the deliveries of its decision and of events about it, acknowledged ones too, each with its next try."""
    found = webhooks.of_events(one.region, one.signature_id)
    names = sorted({*endpoints, *one.deliveries})
    if one.decision_name and names:
        found += webhooks.of_verification(one.region, decision_id(one.region, one.signature_id), names)
    states: dict[str, EndpointState] = {}
    if any(each.due_at_ms is not None for each in found):
        states = {each.name: each for each in webhooks.endpoints(one.region, endpoints)}
    return [(each, next_try(each, states.get(each.endpoint), now_ms)) for each in found]


def next_try(one: Delivery, state: EndpointState | None, now_ms: int) -> str:
    """Return when a delivery is tried next. What is due and not sent waits for its endpoint, which says why."""
    if one.due_at_ms is None:
        return "a worker sends it now" if one.state is State.WAITING else "–"
    # Moments and no durations: a page on which nothing happens stays as it is.
    if one.due_at_ms > now_ms:
        return _utc(one.due_at_ms)
    return f"due since {_utc(one.due_at_ms)}{_held_up(state)}"


def _held_up(state: EndpointState | None) -> str:
    if state is None:
        return ""
    if state.is_paused:
        return ": the endpoint is paused"
    if (state.held_until_ms or 0) > state.now_ms:
        return f": nothing is sent to the endpoint until {_utc(state.held_until_ms or 0)}"
    return "" if state.window is None else f": the endpoint is slowed, at most {state.window} at a time"


def _utc(at_ms: int) -> str:
    return rfc3339(at_ms)[:19].replace("T", " ")
