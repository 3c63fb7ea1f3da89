"""The evidence viewer: the images and fields of one verification, for reviewers, each look on record; and verdicts."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, abort, redirect, request, url_for
from markupsafe import escape

from worker.enqueue_request import SIGNATURE_ID
from worker.errors import EkycError, InvalidInput, LedgerUnavailable
from worker.evidence import paths
from worker.evidence.media import EXTENSIONS, Kind
from worker.evidence.review import LONGEST_NOTE, ReviewVerdict
from worker.policy.console_users import Role
from worker.records.reviews import check_text, new_review
from worker.web.console import access
from worker.web.console.access import act, screen
from worker.web.console.looks import MOST_A_DAY, MOST_AN_HOUR, VALID_S, ForeignLook, TooManyLooks
from worker.web.console.parts import parts
from worker.web.console.rendering import page
from worker.web.console.watermark import SHOWN_AS, NotShown

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from worker.records.overview import Overview
    from worker.web.console.looks import Look
    from worker.web.console.viewer import Contents, Viewer

blueprint = Blueprint("evidence", __name__)

#: The shortest and the longest reason for a look, in characters.
SHORTEST_WHY: Final = 3
LONGEST_WHY: Final = 150

_FORM: Final = re.compile(r"[0-9a-f]{32}")

_IMAGE: Final = re.compile(rf"[a-z_]+\.(?:{'|'.join(EXTENSIONS[Kind.IMAGE].values())})")

#: An image is shown in the page and nowhere else; if it is opened by itself, it may do nothing.
_IMAGE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Disposition": "inline",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
}

#: What is shown instead of an image: our own words alone.
_PLACEHOLDER: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="440" height="76" viewBox="0 0 440 76" role="img">'
    '<rect width="440" height="76" fill="#eee"/><g font-family="sans-serif" font-size="16" fill="#222">'
    '<text x="12" y="32">{}</text><text x="12" y="56">{}</text></g></svg>'
)


@dataclass(slots=True)
class _Sent:
    """What a person has typed, to show it again beside a fault."""

    why: str = ""
    why_fault: str = ""
    verdict: str = ""
    note: str = ""
    verdict_fault: str = ""
    form: str = ""


@screen(blueprint, "/evidence", role=Role.REVIEWER)
def show() -> ResponseReturnValue:
    region, signature_id = request.args.get("region", ""), request.args.get("id", "").strip()
    fault = ""
    if region or signature_id:
        if region in parts().settings.regions and SIGNATURE_ID.fullmatch(signature_id):
            return redirect(_url(region, signature_id), HTTPStatus.SEE_OTHER)
        fault = "Choose a region, and give an id: 1 to 64 of letters, digits, - and _."
    return page("evidence_find.html", regions=parts().settings.regions, region=region, fault=fault)


@screen(blueprint, "/evidence/<region>/<signature_id>", role=Role.REVIEWER)
def one(region: str, signature_id: str) -> Response:
    _check(region, signature_id)
    return _page(region, signature_id)


@act(blueprint, "/evidence/<region>/<signature_id>/look", role=Role.REVIEWER)
def look(region: str, signature_id: str) -> ResponseReturnValue:
    _check(region, signature_id)
    sent = _Sent(why=" ".join(request.form.get("why", "").split()))
    try:
        if len(sent.why) < SHORTEST_WHY:
            raise InvalidInput("the reason is missing: say why you look, such as complaint 4711")
        check_text(sent.why, "the reason", longest=LONGEST_WHY)
        overview = _viewer().overview(region, signature_id)
        if overview.state == "erased" or not overview.files:
            return _page(region, signature_id, sent=sent)
        opened = _viewer().record(
            region, signature_id, who=access.user().name, session=_session(), why=sent.why
        )
    except LedgerUnavailable:
        raise
    except TooManyLooks as error:
        sent.why_fault = str(error)
        response = _page(region, signature_id, HTTPStatus.TOO_MANY_REQUESTS, sent=sent)
        response.headers["Retry-After"] = str(error.wait_s)
        return response
    except EkycError as error:
        sent.why_fault = str(error)
        return _page(region, signature_id, _status(error), sent=sent)
    return redirect(url_for("evidence.shown", look_id=opened.id), HTTPStatus.SEE_OTHER)


@screen(blueprint, "/evidence/look/<look_id>", role=Role.REVIEWER)
def shown(look_id: str) -> ResponseReturnValue:
    found = _look(look_id)
    if found is None:
        abort(HTTPStatus.GONE, "This look has ended. Go back to the verification, and look again.")
    return _page(found.region, found.signature_id, look=found)


@screen(blueprint, "/evidence/look/<look_id>/<name>", role=Role.REVIEWER)
def image(look_id: str, name: str) -> Response:
    found = _look(look_id)
    if found is None:
        return _lines("This look has ended:", "go back, and look again.", HTTPStatus.GONE)
    if not _IMAGE.fullmatch(name) or not paths.FILE_NAME.fullmatch(name):
        abort(HTTPStatus.NOT_FOUND)
    try:
        body = _viewer().image(found, name)
    except NotShown as error:
        return _lines("This file is not shown:", f"{error}.", HTTPStatus.UNPROCESSABLE_ENTITY)
    except EkycError:
        # The page itself has a line about what cannot be read.
        unavailable = HTTPStatus.SERVICE_UNAVAILABLE
        return _lines("This file cannot be shown now:", "load the page again.", unavailable)
    return Response(body, HTTPStatus.OK, _IMAGE_HEADERS, content_type=SHOWN_AS)


@act(blueprint, "/evidence/<region>/<signature_id>/verdict", role=Role.REVIEWER)
def verdict(region: str, signature_id: str) -> ResponseReturnValue:
    _check(region, signature_id)
    form = request.form.get("form", "")
    sent = _Sent(
        verdict=request.form.get("verdict", ""),
        note=" ".join(request.form.get("note", "").split()),
        form=form if _FORM.fullmatch(form) else "",
    )
    try:
        if not sent.form:
            raise InvalidInput("the form is not complete: send it again")
        stored = _viewer().take(
            new_review(
                sent.form,
                region,
                signature_id,
                who=access.user().name,
                verdict=sent.verdict,
                note=sent.note,
            )
        )
    except LedgerUnavailable:
        sent.verdict_fault = (
            "the verdict is stored beside the evidence, but Redis did not record it: send it again, "
            "which stores it only once"
        )
        return _page(region, signature_id, HTTPStatus.SERVICE_UNAVAILABLE, sent=sent)
    except EkycError as error:
        sent.verdict_fault = str(error)
        return _page(region, signature_id, _status(error), sent=sent)
    return redirect(_url(region, signature_id, done=stored.number), HTTPStatus.SEE_OTHER)


def _page(
    region: str,
    signature_id: str,
    status: int = HTTPStatus.OK,
    *,
    look: Look | None = None,
    sent: _Sent | None = None,
) -> Response:
    """The page of one verification; with a look, also what it shows."""
    overview, contents, fault = _read(region, signature_id, look)
    sent = sent or _Sent()
    return page(
        "evidence.html",
        status,
        region=region,
        signature_id=signature_id,
        overview=overview,
        contents=contents,
        fault=fault,
        look=look,
        sent=sent,
        form=sent.form or secrets.token_hex(16),
        done=_number(request.args.get("done", "")),
        verdicts=tuple(ReviewVerdict),
        **_LIMITS,
    )


_LIMITS: Final[dict[str, Any]] = {
    "longest_why": LONGEST_WHY,
    "shortest_why": SHORTEST_WHY,
    "longest_note": LONGEST_NOTE,
    "an_hour": MOST_AN_HOUR,
    "a_day": MOST_A_DAY,
    "valid_s": VALID_S,
}


def _read(region: str, signature_id: str, look: Look | None) -> tuple[Overview | None, Contents | None, str]:
    """What can be read, and why not everything could."""
    overview = contents = None
    fault = ""
    try:
        overview = _viewer().overview(region, signature_id)
        fault = str(overview.fault or "")
        if look is not None and overview.state != "erased":
            contents = _viewer().contents(look, [file.name for file in overview.files])
    except LedgerUnavailable:
        raise
    except EkycError as error:
        fault = str(error)
    return overview, contents, fault


def _look(look_id: str) -> Look | None:
    try:
        return _viewer().looks.find(look_id, who=access.user().name, session=_session())
    except ForeignLook:
        abort(HTTPStatus.FORBIDDEN, "This look belongs to another user, or to another session of yours.")


def _lines(first: str, second: str, status: int) -> Response:
    """Two lines of our own words as an image, because a page shows nothing else there."""
    return Response(
        _PLACEHOLDER.format(escape(first), escape(second)),
        status,
        _IMAGE_HEADERS,
        content_type="image/svg+xml",
    )


def _check(region: str, signature_id: str) -> None:
    if region not in parts().settings.regions or not SIGNATURE_ID.fullmatch(signature_id):
        abort(HTTPStatus.NOT_FOUND)


def _session() -> str:
    """What a look is bound to beside its user. With a proxy in front there is no session of ours."""
    claim = access.claim()
    return claim.id if claim else ""


def _viewer() -> Viewer:
    found = parts().viewer
    if found is None:
        abort(HTTPStatus.NOT_FOUND)
    return found


def _url(region: str, signature_id: str, **query: Any) -> str:
    return url_for("evidence.one", region=region, signature_id=signature_id, **query)


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,3}", text) else None


def _status(error: EkycError) -> int:
    return (
        HTTPStatus.UNPROCESSABLE_ENTITY if isinstance(error, InvalidInput) else HTTPStatus.SERVICE_UNAVAILABLE
    )
