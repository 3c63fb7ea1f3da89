"""The parts of a demo, each a process.

Valkey, the stand-in for the vendor, two workers, `web`, a pipeline and a receiver of webhooks.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from celery import Celery

from sandbox.demo import valkey
from sandbox.demo.failure import DemoFailed
from sandbox.demo.folder import write_secret
from sandbox.demo.plan import CALLBACK_REGIONS, CALLBACKS
from worker import keyring
from worker.decisions.table import Table
from worker.evidence.log.log_keys import new_log_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.demo.endpoint import Endpoint
    from sandbox.demo.folder import Folder
    from sandbox.demo.journal import Journal
    from sandbox.demo.processes import Process, Processes
    from sandbox.demo.web import Web

SANDBOX: Final = "sandbox"
WORKERS: Final = ("worker1", "worker2")
PIPELINE: Final = "pipeline"

#: Prefixes of variables that would configure what the demo starts; those of the caller are removed.
_OURS: Final = (
    *("ADVANCE_", "CELERY", "EKYC_", "ONBOARDING_", "REDIS"),
    *("FLASK_", "GUNICORN_", "WEB_CONCURRENCY", "WEBHOOK_"),
)

#: Short countdowns, for people who watch. The vendor requires far longer ones, which are the default.
_COUNTDOWNS: Final = {"EKYC_POLL_FIRST": "0.1", "EKYC_POLL_FACTOR": "1.5", "EKYC_POLL_CAP": "3"}

_START_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that run, and how to reach them."""

    redis_url: str
    vendor_url: str
    #: The variables for a worker and for any `ekyc` command.
    environment: Mapping[str, str]
    #: A Celery application that sends tasks by name, as a pipeline does.
    celery: Celery
    web: Web
    endpoint: Endpoint
    #: The key of the evidence, in base64.
    evidence_key: str
    #: The private key of the log of evidence.
    log_key: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no log may have in it."""
        # `PRIVATE+KEY+<name>+<id>+<key>`; the key itself may have a + in it.
        return (*self.web.secrets, self.endpoint.secret, self.evidence_key, self.log_key.split("+", 4)[4])


def forget_environment() -> None:
    """Remove the caller's variables for workers from this process's environment: the demo's children inherit it.

    Celery reads the environment in this process, too: a broker in it takes precedence over the argument.
    """
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]


def start(  # noqa: PLR0913 - a demo's whole
    processes: Processes,
    folder: Folder,
    server: Path,
    regions: Sequence[str],
    journal: Journal,
    *,
    web: Web,
    endpoint: Endpoint,
) -> Parts:
    """Start all parts, and return once all of them answer. Raises ``DemoFailed``."""
    sandbox = processes.start(
        SANDBOX,
        [
            *(sys.executable, "-m", "sandbox", "--host", "127.0.0.1", "--port", "0", "--json-log"),
            *("--callback-lost", str(CALLBACKS.lost)),
            *(f"--callback-url={web.callback_url(region)}" for region in CALLBACK_REGIONS),
        ],
    )
    endpoint.write_files()
    web.write_files(folder)
    redis_url = valkey.start(processes, folder, server)
    journal.tell(f"Valkey answers at {redis_url}")
    vendor = _listening(processes, sandbox)
    journal.tell(f"the stand-in for the vendor answers at {vendor['ADVANCE_BASE_URL']}")
    environment = {
        "REDIS_URL": redis_url,
        **vendor,
        "ADVANCE_REGIONS": ",".join(regions),
        "EKYC_EVIDENCE_URL": folder.evidence.as_uri(),
        "EKYC_EVIDENCE_KEYS_FILE": str(folder.evidence_keys),
        "EKYC_LOG_KEY_FILE": str(folder.log_key),
        **endpoint.environment,
        **_COUNTDOWNS,
    }
    evidence_key = _make_key(folder.evidence_keys)
    log_key, _ = new_log_key("demo.example/evidence")
    write_secret(folder.log_key, log_key)
    folder.tell_environment(environment)
    celery = Celery("demo", broker=redis_url, set_as_current=False)
    parts = Parts(
        redis_url, vendor["ADVANCE_BASE_URL"], environment, celery, web, endpoint, evidence_key, log_key
    )
    start_fleet(parts, processes, folder)
    journal.tell(f"the HTTP API answers at {web.url}")
    journal.tell(f"the console: {web.console.login}")
    journal.tell("two workers and a pipeline are ready")
    return parts


def start_fleet(parts: Parts, processes: Processes, folder: Folder) -> None:
    """Start all parts but Valkey and the vendor, and return once they answer. Raises ``DemoFailed``."""
    parts.endpoint.start(processes)
    parts.web.start(processes, folder, **parts.environment)
    for name in WORKERS:
        processes.start(name, _celery("worker", f"{name}@%h"), **parts.environment)
    processes.start(
        PIPELINE,
        [*_celery("sandbox.demo.pipeline", f"{PIPELINE}@%h"), "-Q", "onboarding", "-P", "threads", "-c", "2"],
        BROKER_URL=parts.redis_url,
        ONBOARDING_FILE=str(folder.deliveries),
        ONBOARDING_DECISIONS=",".join(_decisions()),
    )
    parts.web.await_answer(processes)
    _await_workers(processes, parts.celery)


def _make_key(file: Path) -> str:
    """Write a key of evidence for this run to a file for its owner. Returns the key in base64."""
    text = keyring.format_key(keyring.new_key("demo"))
    write_secret(file, text)
    return text.partition(":")[2]


def _celery(app: str, name: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", app, "worker", "-n", name, "-l", "INFO"]


def _decisions() -> list[str]:
    return sorted(Table.load(None).decisions)


def _listening(processes: Processes, sandbox: Process) -> dict[str, str]:
    """Return the variables for a worker from the first line of the sandbox."""
    for _ in processes.until(time.monotonic() + _START_S):
        line, newline, _rest = sandbox.log.read_bytes().partition(b"\n")
        if newline:
            environment: dict[str, str] = json.loads(line)["environment"]
            return environment
    raise sandbox.failure("did not start")


def _await_workers(processes: Processes, celery: Celery) -> None:
    missing = {*WORKERS, PIPELINE}
    for _ in processes.until(time.monotonic() + _START_S):
        for answer in celery.control.ping(timeout=0.5, limit=len(missing)) or []:
            missing -= {name.partition("@")[0] for name in answer}
        if not missing:
            return
    raise DemoFailed(f"{' and '.join(sorted(missing))} did not become ready within {_START_S:.0f} s")
