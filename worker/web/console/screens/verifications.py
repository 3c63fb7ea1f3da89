"""The screen Verifications: find verifications, and everything about one of them. Nothing personal is shown.

A filter is in the URL, so that it can be shared. A value of a context is not: it may be personal, and URLs are kept by
browsers and proxies. So a search of contexts is a form that is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, abort, current_app, redirect, request, url_for
from marshmallow import ValidationError, fields

from worker.decisions.table import Table
from worker.enqueue_request import BAD_SIGNATURE_ID, SIGNATURE_ID
from worker.ledger import pages
from worker.ledger.audit import Via
from worker.ledger.damage import left_out
from worker.ledger.models import Stage
from worker.ledger.pages import Bounds, Filter, Position
from worker.policy.console_users import Role
from worker.records.status_view import StatusView
from worker.web.api.gate import Gate
from worker.web.api.schemas import ListQuery
from worker.web.console import access, costly, verification_page
from worker.web.console.access import act, screen
from worker.web.console.parts import parts
from worker.web.console.rendering import fragment, page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from flask import Response
    from flask.typing import ResponseReturnValue

    from worker.ledger.models import Verification

blueprint = Blueprint("verifications", __name__)

#: Verifications of one page.
LIMIT: Final = 50

#: A search of contexts is rare, and its page may take longer: some 50,000 verifications.
OF_CONTEXT: Final = Bounds(slices=5000, longest_s=1.5)

#: The longest key of a context, and value, that is searched for.
LONGEST_KEY: Final = 200
LONGEST_VALUE: Final = 1000

#: The view that asks before it retries or drops.
_QUARANTINE: Final = "quarantine.selected"

NOT_POLLED: Final = "is not polled by this fleet"

#: A time without an offset, as a browser sends it, is in UTC.
_LOCAL: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,3})?)?)?")
_DIGITS: Final = re.compile(r"[0-9]{1,12}")

#: Checks of evidence that run at a time in a process: each takes up to ten seconds.
_checks: Final = Gate(at_once=1, waiting=0)

_FIELDS: Final[Mapping[str, str]] = {
    "region": "Region",
    "stage": "Stage",
    "decision": "Decision",
    "error_code": "errorCode",
    "reason": "Reason",
    "pipeline": "Pipeline",
    "since": "Enqueued since",
    "until": "Enqueued before",
    "cursor": "Page",
}


class _Query(ListQuery):
    """A filter of the console is one of the HTTP API, with a region."""

    region = fields.String()


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a list. `searched`: of this page and those before it; `most`: of all there are."""

    verifications: tuple[Verification, ...]
    searched: int
    most: int
    #: The cursor of the next page; "": this is the last one.
    following: str = ""
    #: A line about those that cannot be read.
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """What the page of the search shows. `values`: what the fields of the forms hold."""

    values: Mapping[str, str] = field(default_factory=dict)
    faults: Sequence[str] = ()
    #: An answer in place of a list.
    said: str = ""
    #: The text that `said` is about, of somebody else.
    about: str = ""
    found: Found | None = None
    #: The URL of the next page.
    following: str = ""
    #: Whether the list is one of contexts, whose next page is sent as a form.
    is_context: bool = False


@screen(blueprint, "/verifications")
def show() -> ResponseReturnValue:
    given = {name: text for name, text in request.args.items() if text}
    if "id" in given:
        return _by_id(given["id"])
    searched = _number(given.pop("searched", ""))
    values = {name: given[name] for name in _FIELDS if name in given and name != "cursor"}
    try:
        query = _checked(given)
        start = Position.of_cursor(query["cursor"]) if "cursor" in query else Position()
    except ValidationError as error:
        return _answer(Search(values, faults=_faults(error.messages)), HTTPStatus.UNPROCESSABLE_ENTITY)
    except ValueError as error:
        return _answer(Search(values, faults=[f"Page: {error}"]), HTTPStatus.UNPROCESSABLE_ENTITY)
    if not given:
        return _answer(Search())
    values |= {name: _local(query[name]) for name in ("since", "until") if name in query}
    wanted, regions = _filter(query), _regions(query.get("region"))
    found = _page(wanted, regions, start, searched)
    following_query: dict[str, Any] = {**values, "cursor": found.following, "searched": found.searched}
    following = url_for("verifications.show", **following_query)
    return _answer(Search(values, found=found, following=following if found.following else ""))


@act(blueprint, "/verifications/by-context", role=Role.VIEWER)
def by_context() -> ResponseReturnValue:
    """Find verifications by a key of the pipeline's context. Nothing changes: it is sent to keep it out of URLs."""
    names = ("key", "value", "context_region", "cursor", "searched")
    values = {name: text for name in names if (text := request.form.get(name))}
    if faults := _context_faults(values):
        search = Search(values, faults=faults, is_context=True)
        return _answer(search, HTTPStatus.UNPROCESSABLE_ENTITY)
    found = _page(
        Filter(context=(values["key"], values.get("value"))),
        _regions(values.get("context_region")),
        Position.of_cursor(values["cursor"]) if "cursor" in values else Position(),
        _number(values.get("searched", "")),
        OF_CONTEXT,
    )
    return _answer(Search(values, found=found, is_context=True))


@screen(blueprint, "/verifications/<region>/<signature_id>")
def one(region: str, signature_id: str) -> ResponseReturnValue:
    view = _known(region, signature_id)
    if view is None:
        return _unknown(signature_id)
    nudged = request.args.get("nudged", "")
    if nudged == "yes" and view.hold is not None:
        nudged = "held"
    return page("verification.html", **_values(view), said=_NUDGED.get(nudged, ""), checked=None)


@screen(blueprint, "/verifications/<region>/<signature_id>/live")
def live(region: str, signature_id: str) -> Response:
    def read() -> dict[str, Any]:
        view = _known(region, signature_id)
        if view is None:
            abort(HTTPStatus.NOT_FOUND)
        return _values(view)

    return fragment("verification_live.html", **parts().live_redis.ask(read))


_NUDGED: Final = {
    "yes": "It is polled next: this page shows the answer within seconds.",
    "held": "It is due now, and polled when the hold of its region has ended.",
    "no": "It was not waiting to be polled, so nothing was done. Another person was first, or a worker polls it now.",
}


@act(blueprint, "/verifications/<region>/<signature_id>/nudge")
def nudge(region: str, signature_id: str) -> ResponseReturnValue:
    """Have it polled now."""
    if _known(region, signature_id) is None:
        return _unknown(signature_id)
    (nudged,) = parts().ledger.nudge(region, [signature_id], who=access.user().name, via=Via.CONSOLE)
    where = url_for(
        "verifications.one", region=region, signature_id=signature_id, nudged="yes" if nudged else "no"
    )
    return redirect(where, HTTPStatus.SEE_OTHER)


@act(blueprint, "/verifications/<region>/<signature_id>/evidence", role=Role.VIEWER)
def check(region: str, signature_id: str) -> ResponseReturnValue:
    """Check its evidence. Nothing changes and nothing is kept, so the answer is shown at once."""
    view = _known(region, signature_id)
    if view is None:
        return _unknown(signature_id)
    from worker.web.console.evidence_check import run  # noqa: PLC0415 - obstore is imported when it is needed

    if not _checks.enter():
        abort(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Another person checks evidence at this moment. Try again in a few seconds.",
        )
    try:
        with costly.place():
            checked = run(
                parts().settings, parts().redis, view.verification, _table(parts().settings.decisions_file)
            )
    finally:
        _checks.leave()
    return page("verification.html", **_values(view), said="", checked=checked)


@screen(blueprint, "/verifications/<region>/<signature_id>/evidence")
def checked_before(region: str, signature_id: str) -> ResponseReturnValue:
    """Lead a browser that asks for the page of a check again to the verification."""
    return redirect(
        url_for("verifications.one", region=region, signature_id=signature_id), HTTPStatus.SEE_OTHER
    )


def _by_id(text: str) -> ResponseReturnValue:
    """Lead to the verification with an id, in whatever region it is."""
    signature_id = text.strip()
    values = {"id": text}
    if not SIGNATURE_ID.fullmatch(signature_id):
        fault = f"This is not an id: one {BAD_SIGNATURE_ID}."
        return _answer(Search(values, said=fault, about=text[:LONGEST_KEY]), HTTPStatus.UNPROCESSABLE_ENTITY)
    regions = parts().settings.regions
    known = [
        status.verification
        for region in regions
        if (status := parts().ledger.status(region, signature_id)) is not None
    ]
    if not known:
        return _unknown(signature_id, values)
    if len(known) == 1:
        where = url_for("verifications.one", region=known[0].region, signature_id=signature_id)
        return redirect(where, HTTPStatus.SEE_OTHER)
    said = f"{len(known)} regions have a verification with this id."
    return _answer(Search(values, said=said, found=Found(tuple(known), len(known), len(known))))


def _known(region: str, signature_id: str) -> StatusView | None:
    if region not in parts().settings.regions or not SIGNATURE_ID.fullmatch(signature_id):
        return None
    return StatusView.read(parts().redis, region, signature_id, parts().settings.evidence_url)


def _unknown(signature_id: str, values: Mapping[str, str] | None = None) -> Response:
    days = parts().settings.retention_s / 86_400
    said = (
        f"The ledger does not know this id in {' or '.join(parts().settings.regions)}: it was never enqueued there, "
        f"or was done longer ago than the ledger keeps it ({days:g} days)."
    )
    return _answer(Search(values or {}, said=said, about=signature_id[:LONGEST_KEY]), HTTPStatus.NOT_FOUND)


def _answer(search: Search, status: int = HTTPStatus.OK) -> Response:
    return page(
        "verifications.html",
        status,
        search=search,
        regions=parts().settings.regions,
        stages=tuple(Stage),
        decisions=sorted(_table(parts().settings.decisions_file).decisions),
    )


def _values(view: StatusView) -> dict[str, Any]:
    one, may_act = view.verification, access.user().may(Role.OPERATOR)
    found = verification_page.values(
        view,
        _table(parts().settings.decisions_file),
        parts().webhooks,
        parts().endpoints,
        parts().redis,
    )
    # Each screen is a part of its own, which this one does not need.
    quarantine = may_act and one.stage is Stage.QUARANTINED and _QUARANTINE in current_app.view_functions
    viewer = parts().viewer is not None and access.user().may(Role.REVIEWER)
    return found | {
        "may_nudge": may_act and one.stage is Stage.POLLING,
        "quarantine_url": url_for(_QUARANTINE) if quarantine else "",
        "viewer_url": url_for("evidence.one", region=one.region, signature_id=one.signature_id)
        if viewer
        else "",
    }


@cache
def _table(path: Path | None) -> Table:
    """The table of this process, which read it when it started and refused one with a fault."""
    return Table.load(path)


def _page(
    wanted: Filter, regions: Sequence[str], start: Position, searched: int, bounds: Bounds = pages.BOUNDS
) -> Found:
    redis = parts().redis
    if pages.has_index(wanted):
        found = pages.page(redis, regions, wanted, start, LIMIT, bounds=bounds)
    else:
        with costly.place():
            found = pages.page(redis, regions, wanted, start, LIMIT, bounds=bounds)
    total = searched + found.searched
    most = max(pages.most(redis, regions, wanted), total)
    return Found(
        found.verifications,
        total,
        most,
        found.following.cursor() if found.following else "",
        left_out(found.damaged) if found.damaged else "",
    )


def _checked(given: Mapping[str, str]) -> dict[str, Any]:
    """The query as it is meant. Raises ``ValidationError``."""
    times = {name: _utc(given[name]) for name in ("since", "until") if name in given}
    query: dict[str, Any] = _Query().load({**given, **times})
    if query.get("region", parts().settings.regions[0]) not in parts().settings.regions:
        raise ValidationError({"region": [NOT_POLLED]})
    return query


def _context_faults(values: Mapping[str, str]) -> list[str]:
    faults = []
    if not 0 < len(values.get("key", "")) <= LONGEST_KEY:
        faults.append(f"Key: must have 1 to {LONGEST_KEY} characters")
    if len(values.get("value", "")) > LONGEST_VALUE:
        faults.append(f"Value: must have at most {LONGEST_VALUE} characters")
    if values.get("context_region") not in {None, *parts().settings.regions}:
        faults.append(f"Region: {NOT_POLLED}")
    try:
        Position.of_cursor(values.get("cursor", Position().cursor()))
    except ValueError as error:
        faults.append(f"Page: {error}")
    return faults


def _filter(query: Mapping[str, Any]) -> Filter:
    return Filter(
        stage=Stage(query["stage"]) if "stage" in query else None,
        decision=query.get("decision"),
        error_code=query.get("error_code"),
        reason=query.get("reason"),
        since_ms=query.get("since"),
        until_ms=query.get("until"),
        pipeline=query.get("pipeline"),
    )


def _regions(region: str | None) -> tuple[str, ...]:
    return (region,) if region else tuple(parts().settings.regions)


def _faults(messages: Any) -> list[str]:
    """The faults of a filter. A message never repeats what was given."""
    known = {
        name: " ".join(map(str, said if isinstance(said, list) else [said]))
        for name, said in messages.items()
        if name in _FIELDS
    }
    unknown = ["The address has a filter that does not exist."] if messages.keys() - _FIELDS.keys() else []
    return [f"{_FIELDS[name]}: {said}" for name, said in known.items()] + unknown


def _utc(text: str) -> str:
    found = _LOCAL.fullmatch(text)
    if found is None:
        return text
    return f"{found[1]}T{found[2] or '00:00'}{found[3] or ':00'}Z"


def _local(at_ms: int) -> str:
    """A moment as the field of a form holds it, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _number(text: str) -> int:
    return int(text) if _DIGITS.fullmatch(text) else 0
