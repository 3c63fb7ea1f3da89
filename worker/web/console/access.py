"""Who may do what in the console: each view declares the role it needs, and a view without one answers nobody."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from flask import abort, current_app, g, redirect, request, url_for
from werkzeug.exceptions import HTTPException

from worker.policy.console_users import Role
from worker.web.console.parts import parts
from worker.web.console.rendering import page
from worker.web.console.sessions import Claim

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from flask import Blueprint
    from flask.typing import ResponseReturnValue

    from worker.policy.console_users import User

_View = TypeVar("_View", bound="Callable[..., Any]")

#: The role of a view that anyone may see: the form to log in, and the files it needs.
PUBLIC: Final = "public"

#: Bytes of a form, unless its view takes more.
LONGEST_FORM: Final = 64 * 1024

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_READS: Final = frozenset({"GET", "HEAD"})

#: The views of what the script of a page refreshes. They alone may believe a known session for a while: see
#: `worker.web.console.live_sessions`.
REFRESHED: Final = frozenset(
    {
        "now.live",
        "verifications.live",
        "quarantine.live",
        "quarantine.run_live",
        "deliveries.live",
        "deliveries.endpoint_live",
        "decisions.live",
        "decisions.progress",
    }
)


def screen(blueprint: Blueprint, rule: str, *, role: Role | str = Role.VIEWER) -> Callable[[_View], _View]:
    """Register a view that shows something: GET."""
    return _register(blueprint, rule, role, "GET", LONGEST_FORM)


def act(
    blueprint: Blueprint, rule: str, *, role: Role | str = Role.OPERATOR, longest_body: int = LONGEST_FORM
) -> Callable[[_View], _View]:
    """Register a view that changes something: POST, from a page of the console itself.

    `longest_body`: the bytes that a form may have, where it uploads a file.
    """
    return _register(blueprint, rule, role, "POST", longest_body)


def user() -> User:
    """The user of the request."""
    found: User = g.user
    return found


def cookie_name(purpose: str = "") -> str:
    """The name of a cookie. With `__Host-`, browsers accept it over HTTPS only and from this host only."""
    name = f"ekyc-console{purpose}"
    return name if is_loopback() else f"__Host-{name}"


def is_loopback() -> bool:
    """Whether the browser asks this machine itself, where cookies need no HTTPS."""
    return _split(f"//{request.host}").hostname in _LOOPBACK


def is_insecure() -> bool:
    """Whether a browser has sent a form over plain HTTP from elsewhere: it will not keep the cookie of a session."""
    return _split(request.headers.get("Origin", "")).scheme == "http" and not is_loopback()


def is_proxied() -> bool:
    """Whether a trusted proxy names the user of the request."""
    return (request.remote_addr or "") in parts().proxies and _proxy_header() in request.headers


def admit() -> ResponseReturnValue | None:
    """Let a request pass whose user may do what it asks for. Otherwise returns or raises what is answered instead."""
    view = current_app.view_functions.get(request.endpoint or "")
    if request.method not in _READS:
        _refuse_body(getattr(view, "longest_body", LONGEST_FORM))
    if view is None:
        # Nothing is there: only users learn which pages exist.
        g.user = found_user()
        return None if g.user else _to_log_in()
    needed = getattr(view, "role", None)
    if request.method == "POST" and not _is_of_this_page():
        abort(
            HTTPStatus.FORBIDDEN,
            "The request did not come from a page of this console. Load the page again. If this stays, a proxy in "
            "front of it changes the header Host.",
        )
    if needed == PUBLIC:
        g.user = None
        return None
    g.user = found_user()
    if g.user is None:
        return _to_log_in()
    if needed is None or not g.user.may(Role(needed)):
        abort(HTTPStatus.FORBIDDEN, f"This needs the role {needed}." if needed else "This page is closed.")
    return None


def is_live() -> bool:
    """Whether the request says that a script sends it, not a person."""
    return request.headers.get("X-Live") == "1"


def claim() -> Claim | None:
    """What the cookie of the request says."""
    return Claim.read(request.cookies.get(cookie_name(), ""))


def found_user() -> User | None:
    """The user of the request, by a trusted proxy or by the cookie."""
    if is_proxied():
        g.is_proxied = True
        return _named_by_proxy()
    said = claim()
    if said is None:
        return None
    found = parts().users.find(said.name)
    # Anyone can send the header of the script: with an act or for evidence, it counts for nothing.
    by_person = not (is_live() and request.endpoint in REFRESHED)
    if found is None or not parts().sessions.is_valid(said, found, by_person=by_person):
        return None
    return found


def _named_by_proxy() -> User:
    """The user of a header. One that is sent twice arrives as a list, which is no name."""
    found = parts().users.find(request.headers[_proxy_header()])
    if found is None:
        abort(
            HTTPStatus.FORBIDDEN,
            "You have logged in, but this console does not know you under the name that the proxy gives. "
            "Ask an administrator to add it with `ekyc console user add --no-password`.",
        )
    return found


def _proxy_header() -> str:
    return parts().settings.console_proxy_header


def _to_log_in() -> ResponseReturnValue:
    """Lead a person to the form, and a script to an error: it must not put the form into a page."""
    if is_live() or request.method not in _READS:
        raise _LoggedOut
    # The page to come back to, a path of the console: never another host.
    back = request.full_path.rstrip("?") if request.query_string else request.path
    form = url_for("login.form", next=back)
    if request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"}:
        # A link on another site: browsers send the cookie only after a page of this one has been loaded.
        return page("arrival.html", form=form)
    return redirect(form, HTTPStatus.SEE_OTHER)


class _LoggedOut(HTTPException):
    code = HTTPStatus.UNAUTHORIZED.value
    description = "Your session has ended: log in again. Nothing was changed."


def _refuse_body(longest: int) -> None:
    """Refuse a body that is too large, or whose length is not given, before a byte of it is read."""
    if "Transfer-Encoding" in request.headers:
        abort(HTTPStatus.LENGTH_REQUIRED, "The request has no Content-Length.")
    if (request.content_length or 0) > longest:
        abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Send at most {longest:,} bytes.")
    request.max_content_length = longest


def _is_of_this_page() -> bool:
    """Whether a browser says that a page of the same origin sent the request. One that says nothing is refused."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if (site is None and origin is None) or not request.host:
        return False
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return True
    said = _split(origin)
    if said.netloc != request.host:
        return False
    # Over plain HTTP nobody has a session except on this machine or by a proxy that names the user, so another page of
    # this host sent it. The form to log in says that it needs HTTPS.
    return said.scheme == "https" or is_loopback() or is_proxied() or request.endpoint == "login.log_in"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _register(
    blueprint: Blueprint, rule: str, role: Role | str, method: str, longest_body: int
) -> Callable[[_View], _View]:
    def register(view: _View) -> _View:
        view.role = role  # type: ignore[attr-defined]
        view.longest_body = longest_body  # type: ignore[attr-defined]
        blueprint.add_url_rule(rule, view.__name__, view, methods=[method])
        return view

    return register
