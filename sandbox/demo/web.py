"""The demo's `web`: on a free port of this machine, with tokens that are made for one run."""

from __future__ import annotations

import hashlib
import sys
import time
from typing import TYPE_CHECKING, Final

import requests

from sandbox.demo.console import Console
from sandbox.demo.folder import write_secret
from worker.policy import api_tokens

if TYPE_CHECKING:
    from sandbox.demo.folder import Folder
    from sandbox.demo.listener import Listener
    from sandbox.demo.processes import Processes

NAME: Final = "web"

#: Requests per second of a token: more than a demo makes, because all its pipelines share one.
_RATE: Final = 100_000.0

_START_S: Final = 90.0

_GUNICORN: Final = (sys.executable, "-m", "gunicorn", "-c", "python:worker.web.gunicorn_conf")


class Web:
    """Its address, and the tokens of its callers: `pipeline` may do all but what `vendor` does, send callbacks.

    Its console has one user.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.url: Final = listener.url
        self.pipeline: Final = api_tokens.new_secret()
        self.vendor: Final = api_tokens.new_secret()
        self.console: Final = Console(self.url)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.pipeline, self.vendor, self.console.password

    def callback_url(self, region: str) -> str:
        return f"{self.url}/v1/notifications/{region}?secret={self.vendor}"

    def write_files(self, folder: Folder) -> None:
        """Write the files of tokens and of the console's users, which have their hashes."""
        entries = (
            _entry("pipeline", self.pipeline, "enqueue", "read", "deliver"),
            _entry("vendor", self.vendor, "notify"),
        )
        write_secret(folder.tokens, "\n\n".join(entries))
        write_secret(folder.users, self.console.user_entry())

    def start(self, processes: Processes, folder: Folder, **variables: str) -> None:
        """Start it, once the files are written. Raises ``DemoFailed``."""
        self._listener.hand_to(
            processes,
            NAME,
            [*_GUNICORN, "--bind", f"fd://{self._listener.number}"],
            EKYC_API_TOKENS_FILE=str(folder.tokens),
            EKYC_CONSOLE_USERS_FILE=str(folder.users),
            EKYC_CONSOLE_EVIDENCE="on",
            **variables,
        )

    def await_answer(self, processes: Processes) -> None:
        """Return once it answers. Raises ``DemoFailed``."""
        process = processes.named(NAME)
        with requests.Session() as session:
            session.trust_env = False
            for _ in processes.until(time.monotonic() + _START_S):
                try:
                    if session.get(f"{self.url}/healthz", timeout=0.5).ok:
                        return
                except requests.RequestException:
                    continue
        raise process.failure("did not start")


def _entry(name: str, secret: str, *scopes: str) -> str:
    digest = hashlib.sha256(secret.encode()).digest()
    return api_tokens.entry(api_tokens.Token(name, frozenset(scopes), digest, rate=_RATE))
