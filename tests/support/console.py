"""The console of a real `web`, and people who use it over HTTP as a browser would."""

from __future__ import annotations

import http.client
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from argon2 import PasswordHasher

from tests.support.web_process import Answer, web_process
from worker.policy.console_users import Role, User, entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.web_process import Web

#: The users of `users_text`: one for each role, named after it, and one with all roles.
VIEWER: Final = "viewer"
OPERATOR: Final = "operator"
REVIEWER: Final = "reviewer"
AUDITOR: Final = "auditor"
EVERYTHING: Final = "everything"

#: A hash as weak as can be: the tests log in often.
_HASHER: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def password(name: str) -> str:
    """The password of a user."""
    return f"password-of-{name}"


def users_text() -> str:
    """The file of users."""
    roles = {role.value: frozenset({role}) for role in Role} | {EVERYTHING: frozenset(Role)}
    return "\n\n".join(
        entry(User(name, several, _HASHER.hash(password(name)))) for name, several in roles.items()
    )


@dataclass
class Person:
    """A person with a browser of their own: it keeps cookies and sends what browsers send."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log_in(self, name: str, secret: str | None = None) -> Answer:
        """Log in as a user of `users_text`."""
        return self.post("/console/login", name=name, password=password(name) if secret is None else secret)

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, None, {"Sec-Fetch-Site": "same-origin"} | _names(headers))

    def live(self, path: str, **headers: str) -> Answer:
        """Ask as the script of a page does."""
        return self.get(path, X_Live="1", **headers)

    def post(self, path: str, **form: Any) -> Answer:
        """Send a form of a page of the console. A list is a field that is sent several times."""
        headers = {
            "Sec-Fetch-Site": "same-origin",
            "Origin": self.origin,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return self.send("POST", path, urlencode(form, doseq=True).encode(), headers)

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send one request on a connection of its own. Redirects are not followed."""
        sent = dict(headers)
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            for name, line in response.getheaders():
                if name.lower() == "set-cookie":
                    self._keep(line)
            found = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def _keep(self, line: str) -> None:
        name, _, value = line.partition(";")[0].partition("=")
        if value:
            self.cookies[name] = value
        else:
            self.cookies.pop(name, None)


@contextmanager
def console_process(folder: Path, redis_url: str, **environment: str) -> Iterator[Web]:
    """A `web` with the console and the users of `users_text`."""
    users = folder / "users.toml"
    users.write_text(users_text())
    with web_process(folder, redis_url, **{"EKYC_CONSOLE_USERS_FILE": str(users)} | environment) as web:
        yield web


def person(web: Web, name: str | None = None) -> Person:
    """A person, logged in as the user `name` if it is given."""
    one = Person(web.port)
    if name is not None:
        answer = one.log_in(name)
        assert answer.status == 303, answer.raw
    return one


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
