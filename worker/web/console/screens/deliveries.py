"""The screen Deliveries: how endpoints do, what waits for them, what they did not take, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, abort, redirect, request, url_for

from worker.decisions import deliveries, events
from worker.decisions.deliveries import Health, Position
from worker.decisions.endpoints import NAME
from worker.errors import InvalidInput, LedgerUnavailable
from worker.ledger.audit import Via
from worker.ledger.webhooks import Shelf, State
from worker.policy.console_users import Role
from worker.policy.time_format import seconds
from worker.policy.webhooks import LIMITS
from worker.web.console import access, costly
from worker.web.console.access import act, screen
from worker.web.console.forms import MOST_WHY, checked_why
from worker.web.console.parts import parts
from worker.web.console.rendering import fragment, page
from worker.web.console.results import Result
from worker.web.console.verification_page import next_try

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Iterable, Sequence

    from flask import Response
    from flask.typing import ResponseReturnValue

    from worker.ledger.webhooks import Delivery, EndpointState

blueprint = Blueprint("deliveries", __name__)

#: Deliveries of a page, and so the most that can be selected.
PAGE: Final = 50

#: Seconds for which one request sends deliveries again. The page then says what is left, with a button to continue.
RECOVER_S: Final = 8.0

#: The times that the forms offer, as the commands write them.
SINCE: Final = ("15m", "1h", "4h", "1d", "3d", "7d")

#: The most endpoints and regions that are listed: those that need a person come first.
MOST_ROWS: Final = 60

#: The length of the id of a delivery.
_ID: Final = 36

#: The most digits of a moment in milliseconds.
_MOMENT: Final = 15

#: The order in which endpoints are listed: those that need a person first.
_ORDER: Final = (Health.GONE, Health.PAUSED, Health.SLOWED, Health.FAILING, Health.OPEN)


@dataclass(frozen=True, slots=True)
class Row:
    """An endpoint in one region, as the page shows it."""

    state: EndpointState
    #: Whether the file of endpoints has it.
    is_known: bool

    @property
    def health(self) -> Health:
        return deliveries.health(self.state)

    @property
    def since_ms(self) -> int | None:
        return deliveries.since_ms(self.state)

    @property
    def strain(self) -> float:
        return self.state.strain(LIMITS)

    @property
    def alert(self) -> float | None:
        return deliveries.alert(self.state)

    @property
    def failing_s(self) -> float | None:
        started_ms = self.state.failing_since_ms
        return None if started_ms is None else (self.state.now_ms - started_ms) / 1000

    @property
    def held_s(self) -> float:
        """For how long nothing is sent; 0: it may be."""
        return max((self.state.held_until_ms or 0) - self.state.now_ms, 0) / 1000

    @property
    def overdue_s(self) -> float:
        """For how long the delivery that is due longest has been due; 0: none is."""
        due_ms = self.state.due_at_ms
        return 0.0 if due_ms is None else max(self.state.now_ms - due_ms, 0) / 1000


@dataclass(frozen=True, slots=True)
class Filter:
    """What the list shows. An empty text stands for all."""

    endpoint: str = ""
    region: str = ""
    state: str = ""
    since: str = ""

    @classmethod
    def of(cls, given: Any) -> Filter:
        """That of a request. Refuses what no form sends."""
        found = cls(*(given.get(name, "") for name in ("to", "region", "state", "since")))
        if found.endpoint and not NAME.fullmatch(found.endpoint):
            abort(HTTPStatus.BAD_REQUEST, "The name of an endpoint is 1 to 48 of a-z, 0-9, _ and -.")
        if found.region and found.region not in parts().settings.regions:
            abort(HTTPStatus.BAD_REQUEST, f"The regions are {', '.join(parts().settings.regions)}.")
        if found.state and found.state not in tuple(State):
            abort(HTTPStatus.BAD_REQUEST, f"The states are {', '.join(State)}.")
        found.seconds()
        return found

    def seconds(self) -> float | None:
        """The length of `since`; None: there is none."""
        try:
            return seconds(self.since) if self.since else None
        except ValueError as error:
            abort(HTTPStatus.BAD_REQUEST, f"A time of the filter {error}.")

    @property
    def regions(self) -> Sequence[str]:
        return (self.region,) if self.region else parts().settings.regions

    @property
    def states(self) -> Sequence[State]:
        return (State(self.state),) if self.state else (State.FAILED, State.WAITING)

    def query(self) -> dict[str, Any]:
        """As the query of a URL. `url_for` takes no query called `endpoint`."""
        pairs = {
            "to": self.endpoint,
            "region": self.region,
            "state": self.state,
            "since": self.since,
        }
        return {name: value for name, value in pairs.items() if value}


@dataclass(frozen=True, slots=True)
class Asked:
    """A recovery that a person asks for: the deliveries to one endpoint, from one moment to another."""

    endpoint: str
    region: str
    since_ms: int
    until_ms: int
    acknowledged: bool

    @property
    def shelves(self) -> list[Shelf]:
        regions = (self.region,) if self.region else parts().settings.regions
        return deliveries.shelves(
            regions, [self.endpoint], deliveries.not_taken(acknowledged=self.acknowledged)
        )


@screen(blueprint, "/deliveries")
def show() -> Response:
    """The endpoints, and a page of deliveries."""
    wanted = Filter.of(request.args)
    try:
        begin = Position.parse(request.args["cursor"]) if "cursor" in request.args else Position()
    except ValueError:
        abort(HTTPStatus.BAD_REQUEST, "This page of the list is unknown: begin with the first.")
    rows = _rows()
    names = list(dict.fromkeys([*parts().endpoints, *(row.state.name for row in rows)]))
    within_s = wanted.seconds()
    since_ms = 0 if within_s is None else _now_ms() - round(within_s * 1000)
    shelves = deliveries.shelves(
        wanted.regions, [wanted.endpoint] if wanted.endpoint else names, wanted.states
    )
    found, following = deliveries.page(parts().webhooks, shelves, begin, PAGE, since_ms=since_ms)
    return page(
        "deliveries.html",
        rows=rows,
        most_rows=MOST_ROWS,
        unread=parts().unread.read(),
        found=found,
        wanted=wanted,
        names=names,
        states=State,
        since=SINCE,
        regions=parts().settings.regions,
        following=None
        if following is None
        else url_for("deliveries.show", **wanted.query(), cursor=str(following)),
        is_first=begin == Position(),
        is_short=following is not None and len(found) < PAGE,
        result=_result(),
    )


@screen(blueprint, "/deliveries/health")
def live() -> Response:
    """The part of the screen that is refreshed."""
    return fragment(
        "deliveries_live.html", rows=_shared_rows(), most_rows=MOST_ROWS, unread=parts().unread.read()
    )


@screen(blueprint, "/deliveries/<uuid:delivery_id>")
def one(delivery_id: uuid.UUID) -> Response:
    """One delivery with its tries. Its body is not shown: it may hold the context of a pipeline."""
    found = _delivery(str(delivery_id))
    row = next((row for row in _rows([found.endpoint]) if row.state.region == found.region), None)
    return page(
        "delivery.html",
        one=found,
        row=row,
        next=next_try(found, row.state if row else None, _now_ms(found.region)),
        limits=LIMITS,
        result=_result(),
    )


@act(blueprint, "/deliveries/<uuid:delivery_id>/resend")
def resend(delivery_id: uuid.UUID) -> ResponseReturnValue:
    """Send one delivery again, the same bytes under the same id."""
    found = _delivery(str(delivery_id))
    result = _resent([found.id])
    return _to(url_for("deliveries.one", delivery_id=found.id), result)


@act(blueprint, "/deliveries/resend")
def resend_selected() -> ResponseReturnValue:
    """Send the selected deliveries again."""
    wanted, chosen = Filter.of(request.form), list(dict.fromkeys(request.form.getlist("id")))
    if not chosen:
        result = Result("Nothing was sent again: no delivery was selected.", is_whole=False)
    elif len(chosen) > PAGE:
        abort(HTTPStatus.BAD_REQUEST, f"Select at most {PAGE} deliveries.")
    else:
        result = _resent(chosen)
    return _to(url_for("deliveries.show", **wanted.query()), result)


@screen(blueprint, "/deliveries/recover", role=Role.OPERATOR)
def recovery() -> Response:
    """Say what a recovery would send again, and ask."""
    wanted = Filter.of(request.args)
    name, within_s = _known_endpoint(wanted.endpoint), wanted.seconds()
    now_ms = _now_ms()
    asked = Asked(
        name,
        wanted.region,
        0 if within_s is None else now_ms - round(within_s * 1000),
        now_ms,
        acknowledged=request.args.get("acknowledged") == "yes",
    )
    with costly.place():
        extents = _extents(asked)
    return page("recover.html", asked=asked, extents=extents, is_known=name in parts().endpoints)


@act(blueprint, "/deliveries/recover")
def recover() -> ResponseReturnValue:
    """Send again what the page before has counted."""
    form = request.form
    wanted = Filter.of(form)
    asked = Asked(
        _known_endpoint(wanted.endpoint),
        wanted.region,
        _moment(form.get("since_ms", "")),
        _moment(form.get("until_ms", "")),
        acknowledged=form.get("acknowledged") == "yes",
    )
    with costly.place():
        found = deliveries.recover(
            parts().webhooks,
            asked.shelves,
            since_ms=asked.since_ms,
            until_ms=asked.until_ms,
            who=access.user().name,
            via=Via.CONSOLE,
            longest_s=RECOVER_S,
        )
    said = f"{_deliveries(found.resent)} to {asked.endpoint} will be sent again"
    counted = _moment(form.get("counted", "0"))
    if not found.left and found.resent + len(found.not_resent) != counted:
        said += f", of {counted:,} that were counted: the others changed meanwhile"
    if found.left:
        said += f"; {found.left:,} are left, because this took {RECOVER_S:g} s: recover again to go on"
    items = [
        (each, f"not sent again, a worker of {region} is sending it, or it is gone", _path(each))
        for region, each in found.not_resent
    ]
    result = Result.of(f"{said}.", items, is_whole=not found.left and not found.not_resent)
    return _to(url_for("deliveries.endpoint", name=asked.endpoint), result)


@screen(blueprint, "/deliveries/endpoints/<name>")
def endpoint(name: str) -> Response:
    """One endpoint: its last answers, and what can be done."""
    return _endpoint(_known_endpoint(name))


@screen(blueprint, "/deliveries/endpoints/<name>/live")
def endpoint_live(name: str) -> Response:
    """The part of the page of an endpoint that is refreshed."""
    rows = [row for row in _shared_rows() if row.state.name == name]
    if not rows:
        abort(HTTPStatus.NOT_FOUND)
    return fragment("endpoint_live.html", name=name, rows=rows)


@act(blueprint, "/deliveries/endpoints/<name>/pause")
def pause(name: str) -> ResponseReturnValue:
    """Pause an endpoint in every region."""
    _known_endpoint(name)
    try:
        why = checked_why(request.form.get("why", ""))
    except InvalidInput as error:
        return _endpoint(name, fault=f"{error} Nothing was paused.")
    is_new = events.pause_by_hand(
        parts().webhooks,
        parts().endpoints,
        parts().settings.regions,
        name,
        why=why,
        who=access.user().name,
        via=Via.CONSOLE,
    )
    said = f"{name} is paused." if is_new else f"{name} was paused already: nothing was changed."
    return _to(url_for("deliveries.endpoint", name=name), Result(said, is_whole=is_new))


@act(blueprint, "/deliveries/endpoints/<name>/resume")
def resume(name: str) -> ResponseReturnValue:
    """Resume an endpoint in every region: what waits is due now."""
    _known_endpoint(name)
    resumed = [
        parts().webhooks.resume(region, name, who=access.user().name, via=Via.CONSOLE)
        for region in parts().settings.regions
    ]
    waiting = sum(row.state.waiting for row in _rows([name]))
    said = f"{name} {'is resumed' if any(resumed) else 'was not paused any more'}"
    said += f": {_deliveries(waiting)} {'is' if waiting == 1 else 'are'} due."
    return _to(url_for("deliveries.endpoint", name=name), Result(said))


@act(blueprint, "/deliveries/endpoints/<name>/test")
def test(name: str) -> ResponseReturnValue:
    """Send a test, which a worker sends like any other delivery. The page after it shows what became of it."""
    if name not in parts().endpoints:
        abort(HTTPStatus.NOT_FOUND)
    region = parts().settings.regions[0]
    sent = deliveries.send_test(
        parts().webhooks, parts().audit, region, name, who=access.user().name, via=Via.CONSOLE
    )
    said = "The test is due. This page shows what became of it once a worker has sent it."
    return _to(url_for("deliveries.one", delivery_id=sent), Result(said))


def _endpoint(name: str, *, fault: str = "") -> Response:
    """The page of an endpoint. `fault`: why it is not paused; the reason that was sent can be corrected."""
    return page(
        "endpoint.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
        name=name,
        result=_result(),
        rows=_rows([name]),
        configured=parts().endpoints.get(name),
        fault=fault,
        why=request.form.get("why", "")[:MOST_WHY],
        longest=MOST_WHY,
    )


def _rows(only: Collection[str] | None = None) -> list[Row]:
    """The endpoints of all regions, or some of them, as they are now."""
    found = deliveries.states(parts().webhooks, parts().settings.regions, parts().endpoints)
    return _sorted(each for each in found if only is None or each.name in only)


def _shared_rows() -> list[Row]:
    """The endpoints of all regions, as they were at most a second ago: open tabs cost Redis what one does."""
    reading = parts().endpoint_states.get()
    if reading.is_old:
        raise LedgerUnavailable("Redis does not answer: the last figures are too old to be shown")
    return _sorted(reading.value)


def _sorted(states: Iterable[EndpointState]) -> list[Row]:
    """Those that need a person first."""
    regions = parts().settings.regions
    return sorted(
        (Row(each, each.name in parts().endpoints) for each in states),
        key=lambda row: (
            _ORDER.index(row.health),
            -row.strain,
            row.state.name,
            regions.index(row.state.region),
        ),
    )


def _known_endpoint(name: str) -> str:
    """The name of an endpoint of the file, or of one that had a delivery. Answers 404 for any other."""
    if not NAME.fullmatch(name) or name not in deliveries.names(
        parts().webhooks, parts().settings.regions, parts().endpoints
    ):
        abort(HTTPStatus.NOT_FOUND)
    return name


def _delivery(delivery_id: str) -> Delivery:
    found = deliveries.find(parts().webhooks, parts().settings.regions, delivery_id)
    if found is None:
        abort(HTTPStatus.NOT_FOUND)
    return found


def _resent(chosen: Sequence[str]) -> Result:
    """Send deliveries again, and say of each what became of it."""
    items, due, by_region = list[tuple[str, str, str]](), 0, dict[str, list[str]]()
    for each in chosen:
        found = (
            deliveries.find(parts().webhooks, parts().settings.regions, each) if len(each) <= _ID else None
        )
        if found is None:
            items.append((each[:_ID], "not sent again, there is no such delivery", ""))
        else:
            by_region.setdefault(found.region, []).append(found.id)
    for region, ids in by_region.items():
        answers = parts().webhooks.resend(region, ids, who=access.user().name, via=Via.CONSOLE)
        due += sum(answers)
        items += [
            (
                each,
                "will be sent again" if answer else "not sent again, a worker is sending it now",
                _path(each),
            )
            for each, answer in zip(ids, answers, strict=True)
        ]
    return Result.of(f"{_deliveries(due)} will be sent again.", items, is_whole=due == len(chosen))


def _extents(asked: Asked) -> list[tuple[Shelf, Any]]:
    """How much of each shelf is asked for, without those that have nothing."""
    found = [
        (shelf, parts().webhooks.extent(shelf, since_ms=asked.since_ms, until_ms=asked.until_ms))
        for shelf in asked.shelves
    ]
    return [(shelf, extent) for shelf, extent in found if extent.count]


def _moment(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > _MOMENT:
        abort(HTTPStatus.BAD_REQUEST, "The form is not complete: load the page again.")
    return int(text)


def _now_ms(region: str = "") -> int:
    return parts().webhooks.now_ms(region or parts().settings.regions[0])


def _deliveries(count: int) -> str:
    return f"{count:,} {'delivery' if count == 1 else 'deliveries'}"


def _path(delivery_id: str) -> str:
    return url_for("deliveries.one", delivery_id=delivery_id)


def _result() -> Result | None:
    """What the act before this page came to."""
    token = request.args.get("result", "")
    return parts().results.find(access.user().name, token) if token else None


def _to(url: str, result: Result) -> ResponseReturnValue:
    """Lead to a page that shows a result."""
    token = parts().results.keep(access.user().name, result)
    return redirect(f"{url}{'&' if '?' in url else '?'}result={token}", HTTPStatus.SEE_OTHER)
