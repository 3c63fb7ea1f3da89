"""The form to log in, the way out, and the static files, which the form needs."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, abort, make_response, redirect, request, url_for

from worker.errors import LedgerUnavailable
from worker.policy.console_users import NAME
from worker.policy.passwords import LONGEST
from worker.policy.time_format import span
from worker.web.console import access, rendering
from worker.web.console.access import PUBLIC, act, cookie_name, is_loopback, screen
from worker.web.console.parts import parts
from worker.web.console.passwords import TooMany, matches
from worker.web.console.rendering import ASSETS, asset_bytes, page
from worker.web.console.sessions import browser_cookie, known_browser

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from worker.policy.console_users import User

blueprint = Blueprint("login", __name__)

#: What follows the name of the cookie that tells a browser which knows its user from a stranger's.
_BROWSER: Final = "-browser"

#: Seconds for which a browser knows its user.
_BROWSER_S: Final = 180 * 86_400


@screen(blueprint, "/login", role=PUBLIC)
def form() -> ResponseReturnValue:
    if access.found_user() is not None:
        return redirect(_back(), HTTPStatus.SEE_OTHER)
    return _form()


@act(blueprint, "/login", role=PUBLIC)
def log_in() -> ResponseReturnValue:
    if access.is_proxied():
        # The proxy decides who the user is.
        return redirect(_back(), HTTPStatus.SEE_OTHER)
    if access.is_insecure():
        return _insecure()
    name, password = request.form.get("name", ""), request.form.get("password", "")
    user, address = parts().users.find(name), request.remote_addr or ""
    browser = known_browser(request.cookies.get(cookie_name(_BROWSER), ""), user) if user else ""
    if wait_s := parts().attempts.begin(name, address, browser):
        return _limited(wait_s)
    try:
        is_right = len(password) <= LONGEST and matches(
            user.password if user else "", password, by_stranger=not browser
        )
    except TooMany:
        # Nothing was compared: that is no attempt.
        parts().attempts.give_back(name, address, browser)
        raise
    if not is_right or user is None:
        _record_refusal(user)
        return _form("The name or the password is wrong.", HTTPStatus.FORBIDDEN)
    parts().attempts.give_back(name, address, browser)
    if wait_s := parts().attempts.admit(name):
        return _limited(wait_s)
    return _welcome(user, is_known=bool(browser))


@act(blueprint, "/logout", role=PUBLIC)
def log_out() -> ResponseReturnValue:
    try:
        _end_session()
    except LedgerUnavailable:
        # The browser forgets the session in any case.
        response = page(
            "error.html",
            HTTPStatus.SERVICE_UNAVAILABLE,
            title="You are logged out in this browser",
            text="Redis does not answer, so the server could not end the session: it ends by itself within 15 minutes.",
            again_s=None,
        )
    else:
        response = make_response(redirect(url_for("login.form"), HTTPStatus.SEE_OTHER))
    response.delete_cookie(
        cookie_name(), path="/", secure=not is_loopback(), httponly=True, samesite="Strict"
    )
    # What a cache may have kept of this console goes, too.
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@screen(blueprint, "/static/<name>", role=PUBLIC)
def static_file(name: str) -> Response:
    if name not in ASSETS:
        abort(HTTPStatus.NOT_FOUND)
    # While two releases serve side by side, one may be asked for a file of the other.
    is_this = request.args.get("v") == rendering.digest(name)
    kept = "public, max-age=31536000, immutable" if is_this else "no-store"
    return Response(asset_bytes(name), 200, {"Cache-Control": kept}, content_type=ASSETS[name])


def _form(fault: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    # Browsers send this header over HTTPS, and to the machine itself, alone.
    is_plain = not is_loopback() and "Sec-Fetch-Site" not in request.headers
    return page("login.html", status, back=_back(), fault=fault, is_plain=is_plain, name=_name())


def _name() -> str:
    """The name that a person gave, so that only the password has to be typed again. No other text is repeated."""
    name = request.form.get("name", "")
    return name if NAME.fullmatch(name) else ""


def _limited(wait_s: int) -> Response:
    response = _form(
        f"There were too many attempts. Try again in {span(wait_s)}.", HTTPStatus.TOO_MANY_REQUESTS
    )
    response.headers["Retry-After"] = str(wait_s)
    return response


def _insecure() -> Response:
    return page(
        "error.html",
        HTTPStatus.FORBIDDEN,
        title="This console needs HTTPS",
        text="Your browser keeps no session over http://, and your password has just travelled unencrypted: change it. "
        "Open the console with https:// through a proxy, or on the machine itself, as http://localhost.",
        again_s=None,
    )


def _welcome(user: User, *, is_known: bool) -> Response:
    if said := access.claim():
        parts().sessions.end(said)
    _record("log_in", user)
    response = make_response(redirect(_back(), HTTPStatus.SEE_OTHER))
    _set_cookie(response, cookie_name(), parts().sessions.begin(user), None)
    if not is_known:
        _set_cookie(response, cookie_name(_BROWSER), browser_cookie(user), _BROWSER_S)
    return response


def _set_cookie(response: Response, name: str, value: str, for_s: int | None) -> None:
    response.set_cookie(
        name, value, max_age=for_s, path="/", secure=not is_loopback(), httponly=True, samesite="Strict"
    )


def _end_session() -> None:
    said = access.claim()
    if said is None:
        return
    has_ended = parts().sessions.end(said)
    user = parts().users.find(said.name)
    if has_ended and user is not None and said.is_of(user):
        _record("log_out", user)


def _record_refusal(user: User | None) -> None:
    """Record a wrong password. A name that no user has is not kept: it may be a password in the wrong field."""
    if parts().attempts.is_recorded():
        parts().audit.record(
            "log_in_refused",
            who="unknown",
            via="console",
            subject=user.name if user else "",
            detail=f"from {request.remote_addr or 'a local socket'}",
        )


def _record(act_: str, user: User) -> None:
    parts().audit.record(
        act_,
        who=user.name,
        via="console",
        subject=user.name,
        detail=f"from {request.remote_addr or 'a local socket'}",
    )


def _back() -> str:
    """The page to go to: a path of this console, never another host."""
    back = request.values.get("next", "")
    is_ours = back.startswith("/console/") and back.isascii() and back.isprintable() and "\\" not in back
    return back if is_ours else url_for("now.show")
