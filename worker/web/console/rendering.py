"""Pages and fragments of HTML, and the headers that every answer of the console has."""

from __future__ import annotations

import hashlib
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from flask import Response, current_app, g, render_template, request, url_for
from jinja2 import StrictUndefined
from markupsafe import Markup

from worker.ledger.moments import rfc3339
from worker.policy.console_users import Role
from worker.policy.time_format import span
from worker.policy.visible_text import visible

if TYPE_CHECKING:
    from flask import Flask

_STATIC: Final = files("worker.web.console") / "static"

#: What is served below `/console/static`, with its type.
ASSETS: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

#: A page loads its own files only, runs no inline script and uses no inline style.
POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With `no-referrer`, browsers send a form with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

#: The screens in the navigation: what they are called, their view, and the role that sees them.
SCREENS: Final = (
    ("Now", "now.show", Role.VIEWER),
    ("Verifications", "verifications.show", Role.VIEWER),
    ("Quarantine", "quarantine.show", Role.VIEWER),
    ("Deliveries", "deliveries.show", Role.VIEWER),
    ("Decisions", "decisions.show", Role.VIEWER),
    ("Evidence", "evidence.show", Role.REVIEWER),
    ("Audit", "audit.show", Role.AUDITOR),
)


def page(template: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
    """A whole page. No cache keeps it, so the back button shows nothing after the user has logged out."""
    return Response(render_template(template, **values), status, {"Cache-Control": "no-store"})


def fragment(template: str, **values: Any) -> Response:
    """A part of a page that a script asks for again and again: 304 while it stays as it was.

    The script sends the `ETag` itself, so no cache keeps it either.
    """
    return tagged(render_template(template, **values).encode())


def tagged(body: bytes) -> Response:
    """The same, of a body that is rendered already."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Cache-Control": "no-store", "ETag": tag}
    if request.headers.get("If-None-Match") == tag:
        return Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, HTTPStatus.OK, headers, content_type="text/html; charset=utf-8")


def set_up(app: Flask) -> None:
    """Give the templates of `app` their filters, and its answers their headers."""
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {
        "moment": moment,
        "span": span,
        "number": number,
        "foreign": foreign,
        "commands": commands,
        "answer": answer,
        "verification": verification,
        "row": row,
    }
    app.context_processor(_common)
    app.after_request(_finish)


def moment(at_ms: int | None) -> Markup | str:
    """A moment in epoch milliseconds, in UTC to the second, with the exact one for scripts."""
    if at_ms is None:
        return "–"
    try:
        exact = rfc3339(at_ms)
    except (ValueError, OverflowError, OSError):
        # No year has this moment: a client of Redis wrote it, and it must not hide what stands beside it.
        return "unknown"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        exact, exact, exact[:19].replace("T", " ")
    )


def number(count: float) -> str:
    """A number with its thousands set apart."""
    return f"{count:,}"


def foreign(text: str) -> Markup:
    """Text that a person or another system wrote: its direction stays its own, and nothing in it is invisible."""
    return Markup("<bdi>{}</bdi>").format(visible(text))


def commands(text: str) -> Markup:
    """Our own text, with what is between backquotes as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def answer(said: str) -> str:
    """What an endpoint answered, such as `HTTP 500`, or the code of the fault."""
    return visible(said.replace("HTTP_", "HTTP "))


def verification(signature_id: str, region: str) -> Markup:
    """The id of a verification, as a link to its page."""
    url = url_for("verifications.one", region=region, signature_id=signature_id)
    return Markup('<a class="id" href="{}">{}</a>').format(url, foreign(signature_id))


def row(kind: str, *of: object) -> str:
    """The id of a row of a live part: with it the script finds the row again, wherever it stands, so that the focus
    and a click stay with what the person meant.
    """
    return f"{kind}-{hashlib.sha256(repr(of).encode()).hexdigest()[:16]}"


def asset(name: str) -> str:
    """The URL of a static file, which changes with its content."""
    return url_for("login.static_file", name=name, v=digest(name))


@cache
def asset_bytes(name: str) -> bytes:
    return (_STATIC / name).read_bytes()


@cache
def digest(name: str) -> str:
    return hashlib.sha256(asset_bytes(name)).hexdigest()[:16]


def _common() -> dict[str, Any]:
    found = g.get("user")
    there = current_app.view_functions
    shown = [
        (name, view)
        for name, view, role in SCREENS
        if found is not None and found.may(role) and view in there
    ]
    return {
        "user": found,
        "is_proxied": g.get("is_proxied", False),
        "screens": shown,
        "asset": asset,
        "Role": Role,
    }


def _finish(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return response
