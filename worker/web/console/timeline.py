"""The timeline of one verification as a picture: where each stage, event and wait is drawn.

A wait of an hour and a decision within a second must both be seen, so the axis is not linear: each pause between two
moments is as long as its logarithm, and the labels below say the time. Events that would cover each other share a mark
with their number, so the picture has a bounded size whatever the number of events.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

from worker.ledger.models import Event, Stage
from worker.policy.time_format import span
from worker.policy.visible_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from worker.ledger.models import Hold, Status

WIDTH: Final = 960
_LEFT: Final = 96
_RIGHT: Final = 24
_TOP: Final = 8
_LANE: Final = 32
_BAR: Final = 18
_AXIS: Final = 30

#: Pixels that one mark takes, that a label of the axis takes, and that a bar has at most.
_MARK: Final = 28
_LABEL: Final = 110
_NARROW: Final = 16

#: About the width of a character in a bar.
_CHARACTER: Final = 6

#: Lines of the text of one mark, and characters of one of several lines.
_LINES: Final = 3
_LONGEST_LINE: Final = 48

#: Pauses shorter than this are drawn alike.
_PAUSE_MS: Final = 50

STAGES: Final = "Stage"
STEPS: Final = "Steps"
FAULTS: Final = "Faults"
DECISION: Final = "Decision"
PEOPLE: Final = "People"
WORKERS: Final = "Workers"
REGION: Final = "Region"

#: The rows of the picture, from the top.
_LANES: Final = (STAGES, STEPS, FAULTS, DECISION, PEOPLE, WORKERS, REGION)


@dataclass(frozen=True, slots=True)
class Kind:
    """What an event of a timeline is: its row, and its meaning for people."""

    lane: str
    means: str


KINDS: Final[Mapping[str, Kind]] = {
    "enqueued": Kind(STEPS, "a pipeline enqueued it"),
    "submitted": Kind(STEPS, "the vendor says that the user has submitted everything"),
    "settled": Kind(STEPS, "there is a result, or a reason why there is none"),
    "settled_late": Kind(STEPS, "the vendor answered after the decision: the answer is kept as evidence"),
    "refused": Kind(STEPS, "the answer could not be used"),
    "given_up": Kind(STEPS, "nothing more is expected of the vendor"),
    "archived": Kind(STEPS, "its images are kept as evidence"),
    "decide_first": Kind(STEPS, "the host of an image is down: it is decided first, and archived later"),
    "fault": Kind(FAULTS, "a step failed and is repeated"),
    "lease_expired": Kind(FAULTS, "its worker ended or hung: another worker took it"),
    "worker_stuck": Kind(FAULTS, "its worker hung and gave it back"),
    "left_out": Kind(FAULTS, "older lines were removed from the timeline"),
    "quarantined": Kind(FAULTS, "it needs a person"),
    "decided": Kind(DECISION, "the decision is fixed"),
    "delivered": Kind(DECISION, "the pipeline's queue has the decision"),
    "handed_over": Kind(DECISION, "the decision waits for endpoints alone"),
    "acknowledged": Kind(DECISION, "an endpoint has the decision"),
    "not_delivered": Kind(DECISION, "an endpoint did not take the decision: the tries are used up"),
    "retried": Kind(PEOPLE, "a person took it out of quarantine"),
    "dropped": Kind(PEOPLE, "a person ended it without a decision"),
    "redelivered": Kind(PEOPLE, "a person sent the decision to the pipeline again"),
    "resent": Kind(PEOPLE, "a person sent the decision to an endpoint again"),
    "delivery_dropped": Kind(PEOPLE, "a person ended a delivery to an endpoint"),
    "looked": Kind(PEOPLE, "a person looked at its evidence"),
    "region_hold": Kind(REGION, "a person put the region on hold: nothing of it is polled"),
    "region_resume": Kind(REGION, "a person ended the hold of the region"),
}

#: An event of a newer release.
OTHER: Final = Kind(STEPS, "")

#: The stage that begins with an event. What follows `delivered` is shown by the event after it.
_BEGINS: Final[Mapping[str, Stage]] = {
    "settled": Stage.ARCHIVING,
    "settled_late": Stage.ARCHIVING,
    "archived": Stage.ROUTING,
    "decide_first": Stage.ROUTING,
    "decided": Stage.ROUTING,
    "handed_over": Stage.DELIVERING,
    "quarantined": Stage.QUARANTINED,
    "dropped": Stage.DROPPED,
    "given_up": Stage.DONE,
}

#: After the delivery: the stage that an event belongs to.
_SHOWS: Final[Mapping[str, Stage]] = {
    "archived": Stage.ARCHIVING,
    "settled_late": Stage.POLLING,
    "given_up": Stage.POLLING,
    "submitted": Stage.POLLING,
    "acknowledged": Stage.DELIVERING,
    "not_delivered": Stage.DELIVERING,
}

#: Stages after which nothing more happens by itself.
ENDS: Final = frozenset({Stage.DONE, Stage.DROPPED, Stage.ERASED})


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that lasts. `tone` names its colour, `text` is written into it at `text_x` if there is room."""

    x: float
    y: float
    width: float
    tone: str
    text: str
    text_x: float
    title: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One event, or several that would cover each other. `shape`: circle, square, triangle or diamond."""

    x: float
    y: float
    shape: str
    count: int
    title: str

    @property
    def label(self) -> str:
        """The number of its events; "" for one."""
        most = 99
        return "" if self.count == 1 else str(self.count) if self.count <= most else f"{most}+"

    @property
    def points(self) -> str:
        """The corners of a shape that is no circle."""
        x, y = self.x, self.y
        corners = {
            "triangle": ((x, y - 8), (x + 8, y + 7), (x - 8, y + 7)),
            "square": ((x - 7, y - 7), (x + 7, y - 7), (x + 7, y + 7), (x - 7, y + 7)),
            "diamond": ((x, y - 9), (x + 9, y), (x, y + 9), (x - 9, y)),
        }.get(self.shape, ())
        return " ".join(f"{left:.1f},{top:.1f}" for left, top in corners)


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of the axis."""

    x: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of the picture. `y`: its middle."""

    name: str
    y: float


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn."""

    width: int
    height: int
    axis_y: float
    left: int
    right: int
    lanes: tuple[Lane, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    #: Where now is; None: nothing more happens.
    now_x: float | None


_SHAPES: Final = {FAULTS: "triangle", PEOPLE: "square", DECISION: "diamond"}


@dataclass(frozen=True, slots=True)
class _Period:
    """Something that lasts, in the ledger's time."""

    lane: str
    from_ms: int
    to_ms: int
    tone: str
    text: str


def since(passed_ms: int) -> str:
    """Format the time since the beginning: `+45 ms`, `+12 s`, `+2 h 10 min`."""
    second_ms = 1000
    sign, passed_ms = "+" if passed_ms >= 0 else "-", abs(passed_ms)
    return f"{sign}{passed_ms} ms" if passed_ms < second_ms else f"{sign}{span(passed_ms / 1000)}"


def all_events(status: Status) -> tuple[Event, ...]:
    """Return the timeline with its beginning, which the ledger keeps apart. The mark of an erased one has none."""
    verification = status.verification
    if verification.stage is Stage.ERASED:
        return status.timeline
    return Event(verification.enqueued_at_ms, "enqueued"), *status.timeline


def draw(status: Status, hold: Hold | None, acts: Sequence[Event] = ()) -> Picture:
    """Return the picture of a verification. `acts`: what people did to its region."""
    events = all_events(status)
    first_ms = min((event.at_ms for event in events), default=status.verification.enqueued_at_ms)
    is_over = status.verification.stage in ENDS
    last_ms = max((event.at_ms for event in events), default=first_ms)
    end_ms = last_ms if is_over else max(last_ms, status.now_ms)
    periods = [*_stages(status, events, end_ms), *_workers(status, events)]
    if not is_over:
        periods += _ahead(status, hold, first_ms, end_ms)
    acts = [act for act in acts if first_ms <= act.at_ms <= end_ms]
    axis = _Axis(
        first_ms,
        [
            *(event.at_ms for event in (*events, *acts)),
            *(moment for each in periods for moment in (each.from_ms, each.to_ms)),
            end_ms,
        ],
    )
    points = [(KINDS.get(event.name, OTHER).lane, event) for event in events]
    points += [(REGION, act) for act in acts]
    used = {STAGES, *(lane for lane, _ in points), *(each.lane for each in periods)}
    lanes = tuple(
        Lane(name, _TOP + number * _LANE + _LANE / 2)
        for number, name in enumerate(name for name in _LANES if name in used)
    )
    middle = {lane.name: lane.y for lane in lanes}
    axis_y = _TOP + len(lanes) * _LANE
    return Picture(
        width=WIDTH,
        height=axis_y + _AXIS,
        axis_y=axis_y,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        lanes=lanes,
        bars=tuple(_bars(periods, axis, middle)),
        marks=tuple(_marks(points, axis, middle)),
        ticks=tuple(_ticks(axis)),
        now_x=None if is_over else axis.x(end_ms),
    )


class _Axis:
    """Where a moment is drawn."""

    def __init__(self, first_ms: int, moments: Iterable[int]) -> None:
        self.moments = sorted({first_ms, *moments})
        at, places = 0.0, [0.0]
        for before, after in pairwise(self.moments):
            at += 1 + math.log1p((after - before) / _PAUSE_MS)
            places.append(at)
        scale = (WIDTH - _LEFT - _RIGHT) / at if at else 0.0
        self.first_ms = first_ms
        self._x = {moment: _LEFT + at * scale for moment, at in zip(self.moments, places, strict=True)}

    def x(self, at_ms: int) -> float:
        return self._x[at_ms]

    def since(self, at_ms: int) -> str:
        """The time since the beginning, for people."""
        return since(at_ms - self.first_ms)


def _stages(status: Status, events: Sequence[Event], end_ms: int) -> list[_Period]:
    """Return the stages that it went through, as far as events show them. The last one is what the ledger says."""
    if not events:
        return []
    began: list[tuple[int, Stage]] = [(events[0].at_ms, Stage.POLLING)]
    following, shown = [Stage.DONE], Stage.DONE
    for event in reversed(events[1:]):
        shown = _SHOWS.get(event.name, shown)
        following.append(shown)
    is_delivered = False
    for event, later in zip(events, reversed(following), strict=True):
        is_delivered |= event.name == "delivered"
        stage = _after(event.name, later, is_delivered=is_delivered)
        if stage is not None and stage is not began[-1][1]:
            began.append((event.at_ms, stage))
    verification = status.verification
    if verification.stage is not began[-1][1] and verification.stage not in ENDS:
        began.append((events[-1].at_ms, verification.stage))
    ends = [at_ms for at_ms, _ in began[1:]] + [end_ms]
    found = []
    for (from_ms, stage), to_ms in zip(began, ends, strict=True):
        if stage not in ENDS:
            text = stage.value
            if stage is Stage.POLLING and from_ms == events[0].at_ms:
                polls = "1 poll" if verification.polls == 1 else f"{verification.polls} polls"
                text = f"{text}: {polls}, {verification.nulls} in a row without a result"
            found.append(_Period(STAGES, from_ms, to_ms, stage.value, text))
    return found


def _after(name: str, following: Stage, *, is_delivered: bool) -> Stage | None:
    """Return the stage that begins with an event; None: it stays as it is. `following`: what later events show."""
    if name == "delivered":
        return following
    if name == "retried":
        return Stage.ROUTING if is_delivered else Stage.POLLING
    if name == "archived" and is_delivered:
        return Stage.DONE
    return _BEGINS.get(name)


def _workers(status: Status, events: Sequence[Event]) -> list[_Period]:
    """Return which worker had it, as far as events name one, and the lease of the batch that holds it now."""
    named = [event for event in events if event.worker and KINDS.get(event.name, OTHER).lane != PEOPLE]
    found = []
    for worker, several in groupby(named, key=lambda event: event.worker):
        moments = [event.at_ms for event in several]
        found.append(_Period(WORKERS, moments[0], moments[-1], "worker", worker))
    if status.leased_until_ms is not None and status.leased_until_ms > status.now_ms:
        text = "a worker has it, until its lease ends at the latest"
        found.append(_Period(WORKERS, status.now_ms, status.leased_until_ms, "lease", text))
    return found


def _ahead(status: Status, hold: Hold | None, first_ms: int, now_ms: int) -> list[_Period]:
    """Return what it waits for, and the hold of its region."""
    found = []
    if status.due_at_ms is not None and status.due_at_ms > now_ms:
        found.append(_Period(STAGES, now_ms, status.due_at_ms, "wait", "waits until it is due"))
    if hold is not None and status.verification.stage is Stage.POLLING:
        from_ms = min(max(hold.at_ms, first_ms), now_ms)
        word = "half-open" if hold.half_open else "on hold"
        found.append(_Period(REGION, from_ms, max(hold.until_ms, from_ms), "hold", f"{word}: {hold.reason}"))
    return found


def _bars(periods: Sequence[_Period], axis: _Axis, middle: Mapping[str, float]) -> Iterator[Bar]:
    """Yield the bars. Neighbours that are too narrow to be seen share one."""
    for lane, several in groupby(periods, key=lambda each: each.lane):
        y = middle[lane] - _BAR / 2
        together: list[_Period] = []
        for each in several:
            if together and axis.x(each.to_ms) - axis.x(together[0].from_ms) >= _NARROW:
                yield _bar(together, axis, y)
                together = []
            together.append(each)
        yield _bar(together, axis, y)


def _bar(periods: Sequence[_Period], axis: _Axis, y: float) -> Bar:
    first, last = periods[0], periods[-1]
    x = axis.x(first.from_ms)
    width = max(axis.x(last.to_ms) - x, 2.0)
    when = f"{axis.since(first.from_ms)} to {axis.since(last.to_ms)}"
    if len(periods) > 1:
        tones = {each.tone for each in periods}
        tone = first.tone if len(tones) == 1 else "several"
        return Bar(x, y, width, tone, "", x, f"{len(periods)} in turn, {when}")
    # A mark may cover the beginning of the hold of a region.
    before = 12 if first.lane == REGION else 5
    room = int((width - before - 3) / _CHARACTER)
    texts = (first.text, first.text.partition(":")[0], "")
    text = next(text for text in texts if len(text) <= max(room, 0))
    return Bar(x, y, width, first.tone, visible(text), x + before, visible(f"{first.text}, {when}"))


def _marks(points: Sequence[tuple[str, Event]], axis: _Axis, middle: Mapping[str, float]) -> list[Mark]:
    """Return the marks. Events of a row in the same place share one."""
    places: dict[tuple[str, int], list[Event]] = {}
    for lane, event in points:
        place = int((axis.x(event.at_ms) - _LEFT) / _MARK)
        places.setdefault((lane, place), []).append(event)
    found = []
    for (lane, _), events in places.items():
        longest = None if len(events) == 1 else _LONGEST_LINE
        lines = [
            visible(" ".join(filter(None, (axis.since(each.at_ms), each.name, each.detail)))[:longest])
            for each in events[:_LINES]
        ]
        if len(events) > _LINES:
            lines.append(f"and {len(events) - _LINES} more")
        x = sum(axis.x(each.at_ms) for each in events) / len(events)
        found.append(Mark(x, middle[lane], _SHAPES.get(lane, "circle"), len(events), "\n".join(lines)))
    return found


def _ticks(axis: _Axis) -> list[Tick]:
    """Return labels that do not cover each other, the first and the last moment among them."""
    first, last = axis.moments[0], axis.moments[-1]
    found = [Tick(_LEFT, axis.since(first), "start")]
    if last == first:
        return found
    end = Tick(WIDTH - _RIGHT, axis.since(last), "end")
    for moment in axis.moments[1:-1]:
        x = axis.x(moment)
        if x - found[-1].x >= _LABEL and end.x - x >= _LABEL:
            found.append(Tick(x, axis.since(moment)))
    return [*found, end]
