"""The demo's endpoint for webhooks: its files, its receiver, and what that received."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from sandbox.demo.folder import write_secret
from worker import signatures
from worker.decisions.table import PACKAGED

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.demo.folder import Folder
    from sandbox.demo.listener import Listener
    from sandbox.demo.processes import Processes

#: The name of the receiver's process, and of the endpoint.
RECEIVER: Final = "receiver"
ENDPOINT: Final = "risk"

#: The decisions that go to the endpoint, too: those that people look at.
DECISIONS: Final = ("recapture", "reject", "review")


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request that the receiver got. `refused`: why its signature is wrong; "": it is right."""

    received_at_ms: int
    id: str
    body: str
    refused: str

    @classmethod
    def read(cls, line: str) -> Self:
        return cls(**json.loads(line))


class Endpoint:
    """An endpoint with a secret that is made for one run."""

    def __init__(self, listener: Listener, folder: Folder) -> None:
        self._listener = listener
        self._folder = folder
        self.secret: Final = signatures.format_secret(signatures.new_secret())

    @property
    def environment(self) -> dict[str, str]:
        """The variables for workers and `web`."""
        return {
            "EKYC_ENDPOINTS_FILE": str(self._folder.endpoints),
            "EKYC_DECISIONS_FILE": str(self._folder.decisions),
        }

    def write_files(self) -> None:
        """Write the secret, the endpoints, and the packaged decision table with deliveries to the endpoint."""
        write_secret(self._folder.webhook_secret, self.secret)
        # JSON's strings are TOML's, too.
        secret, url, origin = (
            json.dumps(text)
            for text in (str(self._folder.webhook_secret), f"{self._listener.url}/ekyc", self._listener.url)
        )
        self._folder.endpoints.write_text(
            f"origins = [{origin}]\n\n[endpoints.{ENDPOINT}]\nurl = {url}\nsecrets = [{{ file = {secret} }}]\n"
        )
        deliveries = "".join(f'{name} = ["celery", "webhook:{ENDPOINT}"]\n' for name in DECISIONS)
        self._folder.decisions.write_text(f"{PACKAGED.read_text()}\n[deliveries]\n{deliveries}")

    def start(self, processes: Processes) -> None:
        """Start the receiver, once the files are written. Raises ``DemoFailed``."""
        self._listener.hand_to(
            processes,
            RECEIVER,
            [sys.executable, "-m", "sandbox.demo.receiver", str(self._listener.number)],
            WEBHOOK_SECRET_FILE=str(self._folder.webhook_secret),
            WEBHOOK_FILE=str(self._folder.webhooks),
        )


def received(path: Path) -> tuple[Webhook, ...]:
    """Return what a receiver wrote, in order."""
    try:
        return tuple(map(Webhook.read, path.read_text().splitlines()))
    except FileNotFoundError:
        return ()
