"""The screen Quarantine: which verifications need a person, why and since when, and what a person can do with them."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, abort, current_app, redirect, request, url_for

from worker.enqueue_request import SIGNATURE_ID
from worker.errors import InvalidInput, LedgerUnavailable
from worker.ledger.audit import Via
from worker.ledger.keys import now_ms
from worker.ledger.quarantine_scan import SLICE, Position, QuarantineScan, Sought
from worker.policy.console_users import Role
from worker.policy.quarantine_reasons import REASONS, UNKNOWN
from worker.policy.time_format import seconds
from worker.web.console import access, costly
from worker.web.console.access import act, screen
from worker.web.console.forms import MOST_WHY, checked_why
from worker.web.console.parts import parts
from worker.web.console.quarantine_runs import Act, Asked, Runs, State
from worker.web.console.rendering import fragment, page
from worker.web.console.results import Result, Results
from worker.web.console.shared_reading import SharedReading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Response
    from flask.typing import ResponseReturnValue

    from worker.ledger.models import Quarantined
    from worker.ledger.quarantine_scan import Summary
    from worker.web.console.parts import Parts
    from worker.web.console.quarantine_runs import Run
    from worker.web.console.user_file import UserFile

blueprint = Blueprint("quarantine", __name__)

#: Verifications of a page, and so the most that can be selected.
PAGE: Final = 50

#: Verifications that one page of a list looks at. With a reason that few have, a page is short.
MOST_LOOKED: Final = 20_000

#: The oldest verifications of a region, of which the summary tells since when each reason is there.
OLDEST: Final = 500

#: Verifications without a filter by reason that are counted by reason before a person acts on all of them.
MOST_COUNTED: Final = 50_000

#: The ages that a table and the filter offer: as text, and the fields `older` and `newer` of the filter.
AGES: Final = (
    ("up to 1 h", "", "1h"),
    ("1 h to 1 d", "1h", "1d"),
    ("1 d to 7 d", "1d", "7d"),
    ("more than 7 d", "7d", ""),
)

_REASON: Final = re.compile(r"[A-Z0-9_]{1,64}")
_CURSOR: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,15})\.([A-Za-z0-9_-]{0,64})")

_DONE: Final = {Act.RETRY: "retried", Act.DROP: "dropped"}


@dataclass(frozen=True, slots=True)
class Filter:
    """What the list shows, and what is acted on. An empty text stands for all."""

    region: str = ""
    reason: str = ""
    #: In quarantine for at least, and for less than, a time such as 1h.
    older: str = ""
    newer: str = ""

    @classmethod
    def of(cls, given: Any) -> Filter:
        """That of a request. Refuses what no form sends."""
        texts = {name: given.get(name, "").strip() for name in ("region", "reason", "older", "newer")}
        found = cls(**texts | {"reason": texts["reason"].upper()})
        if found.region and found.region not in parts().settings.regions:
            abort(HTTPStatus.BAD_REQUEST, f"The regions are {', '.join(parts().settings.regions)}.")
        if found.reason and not _REASON.fullmatch(found.reason):
            abort(HTTPStatus.BAD_REQUEST, "A reason is one word, such as UNREADABLE.")
        for text in filter(None, (found.older, found.newer)):
            _seconds(text)
        return found

    def sought(self, at_ms: int) -> Sought:
        """The filter at a moment: nothing that comes later is part of it."""
        return Sought(
            (self.region,) if self.region else parts().settings.regions,
            self.reason,
            max(at_ms - _seconds(self.newer) + 1, 0) if self.newer else 0,
            at_ms - _seconds(self.older),
        )

    def query(self) -> dict[str, Any]:
        """As the query of a URL."""
        pairs = {"region": self.region, "reason": self.reason, "older": self.older, "newer": self.newer}
        return {name: value for name, value in pairs.items() if value}


@dataclass(frozen=True, slots=True)
class Overview:
    """What is in quarantine. `by_reason`: by reason and region, the most frequent first."""

    total: int
    by_reason: dict[str, dict[str, int]]
    #: By reason, since when the oldest has been there, as far as the scan came.
    oldest_ms: dict[str, int]
    #: By region, how many there are of each of `AGES`.
    by_age: dict[str, list[int]]
    #: Acts on many, the newest first.
    runs: Sequence[Run]


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of the list. `following`: the cursor of the next one, or ""."""

    entries: Sequence[Quarantined]
    following: str
    #: Whether the page ended because it had looked at many.
    is_short: bool


class _Tools:
    """What the screen stands on, one of each for a process."""

    def __init__(self) -> None:
        settings = parts().settings
        self.scan = QuarantineScan(parts().redis)
        self.runs = Runs(
            parts().redis,
            retention_s=settings.retention_s,
            endpoints=parts().endpoints,
            may=partial(_may_act, parts().users),
        )
        # Its thread has no request, so it gets its parts here.
        self.overview = SharedReading(partial(_overview, parts(), self.scan, self.runs))


@screen(blueprint, "/quarantine")
def show() -> Response:
    """The overview, and a page of the list."""
    wanted = Filter.of(request.args)
    at_ms = _now_ms()
    cursor = request.args.get("cursor", "")
    # With a reason, it looks at many for each that it finds.
    with costly.place() if wanted.reason else nullcontext():
        listed = _listed(wanted.sought(at_ms), _position(cursor))
    return page(
        "quarantine.html",
        **_live(),
        wanted=wanted,
        listed=listed,
        at_ms=at_ms,
        is_first=not cursor,
        regions=parts().settings.regions,
        result=Results(parts().redis).find(access.user().name, request.args.get("result", "")),
    )


@screen(blueprint, "/quarantine/live")
def live() -> Response:
    """The part of the screen that is refreshed."""
    return fragment("quarantine_live.html", **_live())


@act(blueprint, "/quarantine/selected")
def selected() -> Response:
    """Ask whether to act on selected verifications. Nothing is changed yet."""
    return _ask_for(_chosen_act(), _chosen(), Filter.of(request.form))


@act(blueprint, "/quarantine/act")
def do() -> ResponseReturnValue:
    """Act on selected verifications."""
    what, chosen, wanted = _chosen_act(), _chosen(), Filter.of(request.form)
    try:
        why = checked_why(request.form.get("why", "")) if what is Act.DROP else ""
    except InvalidInput as error:
        return _ask_for(what, chosen, wanted, fault=str(error))
    token = Results(parts().redis).keep(access.user().name, _acted(what, chosen, why))
    return redirect(url_for("quarantine.show", **wanted.query(), result=token), HTTPStatus.SEE_OTHER)


@screen(blueprint, "/quarantine/all", role=Role.OPERATOR)
def everything() -> Response:
    """Say what an act on all that match a filter would be for, and ask."""
    what, wanted = _chosen_act(), Filter.of(request.args)
    return _ask_for_all(what, wanted, wanted.sought(_now_ms()))


@act(blueprint, "/quarantine/all")
def do_all() -> ResponseReturnValue:
    """Begin to act on all that a person was shown."""
    user, token, wanted = access.user().name, request.form.get("token", ""), Filter.of(request.form)
    runs = _tools().runs
    what, asked = _chosen_act(), runs.asked(user, token)
    if asked is None or asked.act is not what:
        said = "This was answered before, or too long ago. Nothing was done: look at what it is for, and confirm again."
        return _ask_for_all(what, wanted, wanted.sought(_now_ms()), said, HTTPStatus.CONFLICT)
    try:
        why = checked_why(request.form.get("why", "")) if asked.act is Act.DROP else ""
    except InvalidInput as error:
        return _ask_for_all(asked.act, wanted, asked.sought, str(error), HTTPStatus.UNPROCESSABLE_ENTITY)
    left = _counted(asked.sought).total.count
    if left != asked.count:
        said = f"The selection has changed: of {asked.count:,}, {left:,} are left. Nothing was done: confirm again."
        return _ask_for_all(asked.act, wanted, asked.sought, said, HTTPStatus.CONFLICT)
    later = 0
    if not wanted.older:
        later = _counted(_since(asked.sought)).total.count
    if not runs.take(user, token):
        abort(HTTPStatus.CONFLICT, "This was answered before: see the runs on the screen Quarantine.")
    said = f"{asked.count:,} by filter {why}".rstrip()
    run_id = runs.begin(
        asked,
        who=user,
        why=why,
        record=lambda new: _record_run("run_begin", new, asked.act, asked.sought, said),
    )
    if run_id is None:
        abort(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "This server is at work on as many runs as it may. Nothing was done: try again once one is over.",
        )
    more: dict[str, Any] = {"later": later} if later else {}
    return redirect(url_for("quarantine.run", run_id=run_id, **more), HTTPStatus.SEE_OTHER)


@screen(blueprint, "/quarantine/runs/<run_id>")
def run(run_id: str) -> Response:
    """How far a run is, and what it could not do."""
    later, shown = request.args.get("later", ""), _shown(run_id)
    return page(
        "quarantine_run.html",
        **shown,
        later=int(later) if re.fullmatch("[0-9]{1,9}", later) else 0,
        since=f"{max((_now_ms() - shown['run'].started_ms) // 1000 + 1, 1)}s",
    )


@screen(blueprint, "/quarantine/runs/<run_id>/live")
def run_live(run_id: str) -> Response:
    """The part of that page which is refreshed."""
    return fragment("quarantine_run_live.html", **parts().live_redis.ask(lambda: _shown(run_id)))


@act(blueprint, "/quarantine/runs/<run_id>/stop")
def stop(run_id: str) -> ResponseReturnValue:
    """Stop a run after the page that it is at."""
    found = _known(run_id)
    if found.state is State.RUNNING:
        _record_run("run_stop", run_id, found.act, found.sought, f"of {found.who}")
        _tools().runs.stop(run_id)
    return redirect(url_for("quarantine.run", run_id=run_id), HTTPStatus.SEE_OTHER)


@act(blueprint, "/quarantine/runs/<run_id>/continue")
def go_on(run_id: str) -> ResponseReturnValue:
    """Continue a run that was interrupted or stopped, under the name of the person who asks for it."""
    found = _known(run_id)
    if found.state in {State.INTERRUPTED, State.STOPPED}:
        # Recorded first, although another operator, or a server without a place, may be in its way.
        _record_run("run_continue", run_id, found.act, found.sought, f"of {found.begun_by}")
        _tools().runs.resume(run_id, who=access.user().name)
    return redirect(url_for("quarantine.run", run_id=run_id), HTTPStatus.SEE_OTHER)


def _record_run(act_: str, run_id: str, what: Act, sought: Sought, detail: str) -> None:
    """Record an act on a run in each of its regions: its own items are recorded as they are done."""
    about = f"{what.value} {sought.reason}".rstrip()
    for region in sought.regions:
        parts().audit.record(
            act_,
            who=access.user().name,
            via=Via.CONSOLE,
            region=region,
            subject=run_id,
            detail=f"{about}: {detail}",
        )


def _may_act(users: UserFile, name: str) -> bool:
    """Whether a user may still act on quarantine. A run has no request that says it."""
    user = users.find(name)
    return user is not None and user.may(Role.OPERATOR)


def _tools() -> _Tools:
    extensions = current_app.extensions
    if "ekyc-console-quarantine" not in extensions:
        extensions["ekyc-console-quarantine"] = _Tools()
    found: _Tools = extensions["ekyc-console-quarantine"]
    return found


def _now_ms() -> int:
    return now_ms(parts().redis, parts().settings.regions[0])


def _seconds(text: str) -> int:
    """The length of a time, in ms; "": 0."""
    try:
        return round(seconds(text) * 1000) if text else 0
    except ValueError as error:
        abort(HTTPStatus.BAD_REQUEST, f"A time of the filter {error}.")


def _position(cursor: str) -> Position:
    if not cursor:
        return Position()
    found = _CURSOR.fullmatch(cursor)
    if found is None or int(found[1]) >= len(parts().settings.regions):
        abort(HTTPStatus.BAD_REQUEST, "This page of the list is unknown: begin with the first.")
    return Position(int(found[1]), int(found[2]), found[3])


def _listed(sought: Sought, at: Position) -> Listed:
    if at.region >= len(sought.regions):
        abort(HTTPStatus.BAD_REQUEST, "This page of the list is unknown: begin with the first.")
    entries: list[Quarantined] = []
    following: Position | None = at
    looked = 0
    while following is not None and len(entries) < PAGE and looked < MOST_LOOKED:
        one = _tools().scan.slice(sought, following, limit=SLICE if sought.reason else PAGE)
        entries += one.entries
        looked += one.looked
        following = one.following
    if len(entries) > PAGE:
        entries = entries[:PAGE]
        last = entries[-1]
        following = Position(sought.regions.index(last.region), last.since_ms, last.signature_id)
    cursor = "" if following is None else ".".join(map(str, following))
    return Listed(entries, cursor, len(entries) < PAGE and bool(cursor))


def _overview(ours: Parts, scan: QuarantineScan, runs: Runs) -> Overview:
    regions = ours.settings.regions
    counts = ours.stats.by_region(regions)
    by_reason: dict[str, dict[str, int]] = {}
    for region, each in counts.items():
        for reason, count in each.quarantine.items():
            if count > 0:
                by_reason.setdefault(reason, {})[region] = count
    ordered = sorted(by_reason.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    at_ms = now_ms(ours.redis, regions[0])
    oldest = scan.summary(Sought(tuple(regions)), most=OLDEST).by_reason
    bounds = [(_seconds(older), _seconds(newer)) for _, older, newer in AGES]
    return Overview(
        sum(each.quarantined for each in counts.values()),
        dict(ordered),
        {reason: tally.oldest_ms for reason, tally in oldest.items() if tally.oldest_ms is not None},
        {region: scan.ages(region, at_ms, bounds) for region in regions},
        runs.recent(),
    )


def _live() -> dict[str, Any]:
    reading = _tools().overview.get()
    return {
        "overview": reading.value,
        # In steps, so that the page does not change all the time.
        "old_s": round(reading.age_s / 10) * 10 if reading.is_old else None,
        "reasons": REASONS,
        "unknown": UNKNOWN,
        "ages": AGES,
        "State": State,
        "done": _DONE,
    }


def _chosen_act() -> Act:
    try:
        return Act(request.values.get("act", ""))
    except ValueError:
        abort(HTTPStatus.BAD_REQUEST, "What is to be done: retry or drop?")


def _chosen() -> dict[str, list[str]]:
    """The selected ids by region."""
    given = list(dict.fromkeys(request.form.getlist("id")))
    if not given:
        abort(HTTPStatus.BAD_REQUEST, "No verification was selected: go back and select some.")
    if len(given) > PAGE:
        abort(HTTPStatus.BAD_REQUEST, f"Select at most {PAGE} verifications.")
    chosen: dict[str, list[str]] = {}
    for each in given:
        region, _, signature_id = each.partition("/")
        if region not in parts().settings.regions or not SIGNATURE_ID.fullmatch(signature_id):
            abort(HTTPStatus.BAD_REQUEST, "A selected verification has no valid region and id.")
        chosen.setdefault(region, []).append(signature_id)
    return chosen


def _ask_for(what: Act, chosen: dict[str, list[str]], wanted: Filter, *, fault: str = "") -> Response:
    return page(
        "quarantine_selected.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if fault else HTTPStatus.OK,
        what=what,
        chosen=chosen,
        count=sum(map(len, chosen.values())),
        wanted=wanted,
        fault=fault,
        longest=MOST_WHY,
        why=request.form.get("why", "")[:MOST_WHY],
    )


def _acted(what: Act, chosen: dict[str, list[str]], why: str) -> Result:
    """Act, a region after the other, and say what became of each that was not done."""
    release = _tools().runs.release(what, who=access.user().name, why=why)
    done, items = 0, []
    for region, ids in chosen.items():
        try:
            answers = release(region, ids)
        except LedgerUnavailable as error:
            items += [
                _item(region, each, f"it is not known whether it was {_DONE[what]}: {error}") for each in ids
            ]
            continue
        done += sum(answers)
        items += [
            _item(region, each, "was not in quarantine any more")
            for each, answer in zip(ids, answers, strict=True)
            if not answer
        ]
    total = done + len(items)
    said = f"{done:,} of {total:,} {_DONE[what]}."
    if what is Act.RETRY and done:
        said += " Those that fail again come back to the list, often within a second: load it again."
    return Result.of(said, items, is_whole=not items)


def _item(region: str, signature_id: str, said: str) -> tuple[str, str, str]:
    return f"{region}/{signature_id}", said, f"/console/verifications/{region}/{signature_id}"


def _counted(sought: Sought) -> Summary:
    """Count what matches. A few at a time: for a million it takes seconds, in slices that do not block Redis."""
    with costly.place():
        if not sought.reason:
            found = _tools().scan.totals(sought)
            if found.total.count > MOST_COUNTED:
                return found
        return _tools().scan.summary(sought)


def _since(sought: Sought) -> Sought:
    """What has come since the moment of a filter."""
    return Sought(sought.regions, sought.reason, sought.until_ms + 1)


def _ask_for_all(
    what: Act, wanted: Filter, sought: Sought, said: str = "", status: int = HTTPStatus.OK
) -> Response:
    found = _counted(sought)
    count = found.total.count
    user, runs = access.user().name, _tools().runs
    return page(
        "quarantine_all.html",
        status,
        what=what,
        done=_DONE[what],
        wanted=wanted,
        found=found,
        count=count,
        said=said,
        token=runs.ask(user, Asked(what, sought, count)) if count else "",
        at_work=[each for each in runs.recent() if each.state is State.RUNNING],
        at_ms=_now_ms(),
        longest=MOST_WHY,
        why=request.form.get("why", "")[:MOST_WHY],
    )


def _known(run_id: str) -> Run:
    found = _tools().runs.get(run_id)
    if found is None:
        abort(HTTPStatus.NOT_FOUND)
    return found


def _shown(run_id: str) -> dict[str, Any]:
    found = _known(run_id)
    return {
        "run": found,
        "told": [(signature_id, region, why) for region, signature_id, why in _tools().runs.told(run_id)],
        "done": _DONE[found.act],
        "State": State,
        "Act": Act,
    }
