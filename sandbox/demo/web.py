"""The demo's `web`: on a free port of this machine, with tokens that are made for one run."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from typing import TYPE_CHECKING, Final

import requests

from worker.policy import api_tokens

if TYPE_CHECKING:
    from sandbox.demo.folder import Folder
    from sandbox.demo.listener import Listener
    from sandbox.demo.processes import Processes

NAME: Final = "web"

#: Requests per second of a token: more than a demo makes, because all its pipelines share one.
_RATE: Final = 100_000.0

_START_S: Final = 45.0

_GUNICORN: Final = (sys.executable, "-m", "gunicorn", "-c", "python:worker.web.gunicorn_conf")


class Web:
    """Its address, and the tokens of its callers: `pipeline` may do all but what `vendor` does, send callbacks."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.url: Final = listener.url
        self.pipeline: Final = api_tokens.new_secret()
        self.vendor: Final = api_tokens.new_secret()

    @property
    def secrets(self) -> tuple[str, ...]:
        return self.pipeline, self.vendor

    def callback_url(self, region: str) -> str:
        return f"{self.url}/v1/notifications/{region}?secret={self.vendor}"

    def write_tokens(self, folder: Folder) -> None:
        """Write the file of tokens, which has their hashes."""
        entries = (
            _entry("pipeline", self.pipeline, "enqueue", "read", "deliver"),
            _entry("vendor", self.vendor, "notify"),
        )
        descriptor = os.open(folder.tokens, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("\n\n".join(entries) + "\n")

    def start(self, processes: Processes, folder: Folder, **variables: str) -> None:
        """Start it. Raises ``DemoFailed``."""
        self.write_tokens(folder)
        self._listener.hand_to(
            processes,
            NAME,
            [*_GUNICORN, "--bind", f"fd://{self._listener.number}"],
            EKYC_API_TOKENS_FILE=str(folder.tokens),
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
