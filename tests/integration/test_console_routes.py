"""Every route of the console with every role, and with none: what it declares is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest
from werkzeug.routing import IntegerConverter, UnicodeConverter, UUIDConverter

from tests.support.console import VIEWER, password, users_text
from worker.keyring import format_key, new_key
from worker.ledger.console_sessions import ConsoleSessions
from worker.policy.console_users import Role, parse
from worker.settings import Settings
from worker.web import console
from worker.web.console import live_sessions
from worker.web.console.access import PUBLIC, REFRESHED
from worker.web.console.application import ROOT, make_console
from worker.web.console.rendering import HEADERS, SCREENS
from worker.web.console.user_file import UserFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient
    from redis import Redis
    from werkzeug.routing import Rule
    from werkzeug.test import TestResponse

HOST: Final = "http://localhost"

OF_A_PAGE: Final = {"Sec-Fetch-Site": "same-origin", "Origin": HOST}

#: What stands in a path, by the converter of its part.
_SAMPLES: Final[dict[type, Any]] = {
    UnicodeConverter: "x",
    IntegerConverter: 1,
    UUIDConverter: UUID(int=1),
}

#: What a browser says of a form of another site, or of none.
CROSS_SITE: Final[tuple[dict[str, str], ...]] = (
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": HOST},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost:81"},
    {"Origin": "http://["},
)


@pytest.fixture
def app(redis: Redis, tmp_path: Path) -> Flask:
    path = tmp_path / "users.toml"
    path.write_text(users_text())
    settings = Settings(
        regions=("ph", "sg"),
        # Every screen is there.
        console_evidence="on",
        evidence_url=(tmp_path / "evidence").as_uri(),
        evidence_keys=format_key(new_key("2026")),
    )
    return make_console(settings, redis, UserFile(path))


def as_user(app: Flask, name: str | None) -> FlaskClient:
    client = app.test_client()
    if name is not None:
        answer = client.post(
            f"{ROOT}/login",
            data={"name": name, "password": password(name)},
            headers=OF_A_PAGE,
            base_url=HOST,
        )
        assert answer.status_code == 303
    return client


def rules(app: Flask) -> Iterator[tuple[Rule, str, str]]:
    """Each rule with its method and a path that it matches."""
    for rule in app.url_map.iter_rules():
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        samples = {name: _SAMPLES[type(each)] for name, each in rule._converters.items()}
        path = app.url_map.bind("localhost").build(rule.endpoint, samples, method=method)
        yield rule, method, path


def role_of(app: Flask, endpoint: str) -> Any:
    """The role that a view declares; None: none."""
    return getattr(app.view_functions[endpoint], "role", None)


def ask(client: FlaskClient, method: str, path: str, headers: dict[str, str]) -> TestResponse:
    data: dict[str, str] | None = {} if method == "POST" else None
    return client.open(path, method=method, data=data, headers=headers, base_url=HOST)


def test_each_view_declares_a_role(app: Flask) -> None:
    for rule, method, _ in rules(app):
        assert rule.rule.startswith(f"{ROOT}/"), rule
        assert role_of(app, rule.endpoint) in {*Role, PUBLIC}, rule
        assert method in {"GET", "POST"}, rule
    public = {rule.rule for rule, *_ in rules(app) if role_of(app, rule.endpoint) == PUBLIC}
    assert public == {"/console/login", "/console/logout", "/console/static/<name>"}


def test_the_navigation_shows_what_the_role_of_its_view_says(app: Flask) -> None:
    for _, view, role in SCREENS:
        if view in app.view_functions:
            assert role_of(app, view) == role


@pytest.mark.parametrize("name", [None, *(user.name for user in parse(users_text()))])
def test_each_route_answers_the_roles_that_it_declares_and_no_others(app: Flask, name: str | None) -> None:
    user = next((user for user in parse(users_text()) if user.name == name), None)
    client = as_user(app, name)
    seen = set()
    for rule, method, path in rules(app):
        role = role_of(app, rule.endpoint)
        if role == PUBLIC:
            continue
        answer = ask(client, method, path, OF_A_PAGE)
        text = answer.get_data(as_text=True)
        if user is None:
            assert answer.status_code == (303 if method == "GET" else 401), rule
            if method == "GET":
                assert answer.headers["Location"].startswith("/console/login?next="), rule
        elif user.may(role):
            assert answer.status_code not in {401, 500}, (rule, text)
            assert "This needs the role" not in text, rule
            assert "/console/login" not in answer.headers.get("Location", ""), rule
        else:
            assert answer.status_code == 403, rule
            assert f"This needs the role {role}." in text, rule
        seen.add(answer.status_code)
        for header, value in HEADERS.items():
            assert answer.headers[header] == value or header == "Content-Security-Policy", (rule, header)
        assert "no-store" in answer.headers["Cache-Control"], rule
    assert seen


def test_no_form_of_another_site_is_taken_by_any_route(app: Flask) -> None:
    client = as_user(app, "everything")
    posts = [(rule, path) for rule, method, path in rules(app) if method == "POST"]
    assert posts
    for rule, path in posts:
        for headers in CROSS_SITE:
            answer = ask(client, "POST", path, headers)
            assert answer.status_code == 403, (rule, headers)
            assert "did not come from a page of this console" in answer.get_data(as_text=True)
    # The session was not touched, not even by the log-out.
    assert client.get(f"{ROOT}/", base_url=HOST).status_code == 200


def test_no_form_of_plain_http_on_the_same_host_is_taken_away_from_the_loopback(app: Flask) -> None:
    """Who can answer for http:// of the host has its name, and old browsers send cookies of https:// with it."""
    client = as_user(app, None)
    for rule, method, path in rules(app):
        if method != "POST":
            continue
        for scheme, taken in (("https", True), ("http", False), ("ftp", False)):
            answer = client.post(
                path,
                data={},
                headers={"Origin": f"{scheme}://console.example"},
                base_url="http://console.example",
            )
            said = "did not come from a page of this console" in answer.get_data(as_text=True)
            # The form to log in has a page of its own for it.
            assert said is (not taken and rule.endpoint != "login.log_in"), (rule, scheme)


def test_after_a_revocation_no_header_opens_more_than_the_refreshed_parts(
    app: Flask, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the thief of a cookie says that each request is one of the script."""
    monkeypatch.setattr(live_sessions, "FRESH_S", 600.0)
    client = as_user(app, "everything")
    as_script = {**OF_A_PAGE, "X-Live": "1"}
    assert ask(client, "GET", f"{ROOT}/now", as_script).status_code == 200
    ConsoleSessions(redis).end_all("everything")
    for rule, method, path in rules(app):
        if role_of(app, rule.endpoint) != PUBLIC and rule.endpoint not in REFRESHED:
            assert ask(client, method, path, as_script).status_code == 401, rule
    # And the form to log in is shown again.
    assert ask(client, "GET", f"{ROOT}/login", as_script).status_code == 200
    # The premise: a refreshed part is still shown.
    assert ask(client, "GET", f"{ROOT}/now", as_script).status_code == 200


def test_what_pages_refresh_is_what_may_believe_a_known_session(app: Flask) -> None:
    text = "".join(path.read_text() for path in (files(console) / "templates").iterdir())
    named = re.findall(r"""data-live hx-get="{{ url_for\("([a-z_.]+)\"""", text)
    assert text.count("data-live ") == len(named)
    assert set(named) == REFRESHED
    for endpoint in REFRESHED:
        (rule,) = app.url_map.iter_rules(endpoint)
        assert "POST" not in (rule.methods or set())


def test_a_view_without_a_role_answers_nobody(app: Flask) -> None:
    app.add_url_rule("/console/forgotten", "forgotten", lambda: "secret")
    for name in (None, "everything"):
        answer = as_user(app, name).get("/console/forgotten", base_url=HOST)
        assert answer.status_code == (403 if name else 303)
        assert b"secret" not in answer.data


def test_the_root_needs_no_slash_and_no_redirect(app: Flask) -> None:
    """A redirect of the router would name the scheme http, behind a proxy with TLS as well."""
    assert as_user(app, VIEWER).get("/console", base_url=HOST).status_code == 200
    answer = as_user(app, None).get("/console", base_url=HOST)
    assert answer.headers["Location"] == "/console/login?next=/console"


def test_only_users_learn_which_pages_exist(app: Flask) -> None:
    for path in ("/console/nothing", "/console/static", "/console/login/x", "/consoles"):
        assert as_user(app, None).get(path, base_url=HOST).status_code == 303
        answer = as_user(app, VIEWER).get(path, base_url=HOST)
        assert answer.status_code == 404
        assert "There is no such page." in answer.get_data(as_text=True)


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused(app: Flask, method: str) -> None:
    assert as_user(app, None).open("/console/", method=method, base_url=HOST).status_code == 401
    answer = as_user(app, VIEWER).open("/console/", method=method, base_url=HOST)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]


def test_head_answers_as_get_without_a_body(app: Flask) -> None:
    client = as_user(app, VIEWER)
    for path in ("/console/", "/console/login", "/console/static/console.css", "/console/nothing"):
        got = client.get(path, base_url=HOST)
        answer = client.head(path, base_url=HOST)
        assert (answer.status_code, answer.data) == (got.status_code, b""), path
        assert answer.headers["Content-Type"] == got.headers["Content-Type"]
    assert as_user(app, None).head("/console/", base_url=HOST).status_code == 303


def test_web_needs_no_argon2_until_somebody_logs_in(tmp_path: Path) -> None:
    """It takes time at each start, and 64 MiB if it hashes anything."""
    code = (
        "import sys; from worker.settings import Settings; from worker.web.app import App; "
        "App(Settings()); print('argon2' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert ran.stdout == "False\n"
