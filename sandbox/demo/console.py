"""The demo's user of the console, and what this user sees there at the end."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from html import unescape
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import requests

from worker.policy.console_users import Role, User, entry

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = "demo"

_TIMEOUT_S: Final = 30.0

_TAG: Final = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the console shows: the words of each page by its path; "": the page did not answer 200."""

    pages: Mapping[str, str]

    def words(self, path: str) -> str:
        return self.pages.get(path, "")

    def figure(self, name: str) -> int | None:
        """A figure of all regions together, on the screen Now. None: it is not shown."""
        found = re.search(rf"\b{name}((?: [\d,]+)+) ", self.words(NOW))
        return int(found[1].split()[-1].replace(",", "")) if found else None


#: The page that is looked at.
NOW: Final = "/console/"


class Console:
    """The address of the console, and a user who may do everything, with a password that is made for one run."""

    def __init__(self, web_url: str, password: str = "") -> None:
        self._web_url = web_url
        self.url: Final = f"{web_url}{NOW}"
        self.password: Final = password or secrets.token_urlsafe(9)

    @property
    def login(self) -> str:
        """How to log in, for people."""
        return f"{self.url}  user {NAME}, password {self.password}"

    def user_entry(self) -> str:
        """Return the lines of the file of users."""
        from argon2 import PasswordHasher  # noqa: PLC0415 - an extra

        return entry(User(NAME, frozenset(Role), PasswordHasher().hash(self.password)))

    def look(self) -> Shown:
        """Log in, and read the page. Raises ``requests.RequestException``."""
        with requests.Session() as session:
            # Ignore a proxy that the environment names: `web` is on this machine.
            session.trust_env = False
            session.headers.update({"Origin": self._web_url, "Sec-Fetch-Site": "same-origin"})
            form = {"name": NAME, "password": self.password}
            session.post(f"{self._web_url}/console/login", form, timeout=_TIMEOUT_S, allow_redirects=False)
            return Shown({path: self._words(session, path) for path in (NOW,)})

    def _words(self, session: requests.Session, path: str) -> str:
        answer = session.get(self._web_url + path, timeout=_TIMEOUT_S, allow_redirects=False)
        if answer.status_code != HTTPStatus.OK:
            return ""
        return " ".join(unescape(_TAG.sub(" ", answer.text)).split())
