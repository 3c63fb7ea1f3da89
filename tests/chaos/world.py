"""All parts of a run, and their files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING, Self

from tests.chaos.crew import Crew, spawn
from tests.chaos.disk import Disk
from tests.chaos.population import REGIONS
from tests.chaos.valkey import Valkey
from tests.chaos.vendor import Vendor
from tests.chaos.watch import Watch
from tests.support.paths import ROOT
from tests.support.ports import free_port
from worker.errors import LedgerUnavailable
from worker.evidence.log.log_keys import new_log_key
from worker.keyring import format_key, new_key
from worker.ledger import Ledger, Stats
from worker.ledger.connection import connect
from worker.ledger.evidence_log import EvidenceLogQueue

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tests.chaos.profile import Profile
    from worker.keyring import NamedKey
    from worker.ledger.models import Counts


class Stopped(Exception):
    """Raised in a sleeping part of the run when the run is stopped or has failed."""


@dataclass(slots=True)
class World:
    """Valkey, the vendor, the evidence's disk, the pipeline, and the workers.

    A context manager: at its end no process and no mount is left, whatever happens.
    """

    profile: Profile
    seed: int
    folder: Path
    valkey: Valkey = field(init=False)
    vendor: Vendor = field(init=False)
    disk: Disk = field(init=False)
    crew: Crew = field(init=False)
    watch: Watch = field(init=False)
    #: The ledger as an onboarding pipeline uses it.
    ledger: Ledger = field(init=False)
    census: Stats = field(init=False)
    lost_writes: int = 0
    #: The named key of the evidence, and the key of its log.
    evidence_key: NamedKey = field(default_factory=lambda: new_key("chaos"))
    log_key: str = field(default_factory=lambda: new_log_key("chaos.example")[0])
    stopped: Event = field(default_factory=Event)
    #: A lock for each fault, the same for all of a lane: a strike that waits for a target delays the next one.
    turns: dict[str, Lock] = field(init=False)
    _pipeline: subprocess.Popen[bytes] = field(init=False)
    _ends: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.turns = {
            name: turn
            for lane, turn in ((lane, Lock()) for lane in self.profile.lanes)
            for name, _ in lane.faults
        }

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._ends.close()

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    def pause(self, seconds: float) -> None:
        """Sleep. Raises ``Stopped`` if the run ends meanwhile."""
        if self.stopped.wait(seconds):
            raise Stopped

    def counts(self) -> Counts:
        """Return the figures of both regions. Raises ``LedgerUnavailable``."""
        return self.census.total(REGIONS)

    def await_log(self, patience_s: float) -> bool:
        """Wait until the log has all that has ended. Return whether it has."""
        queue = EvidenceLogQueue(connect(self.valkey.url))
        give_up_at = time.monotonic() + patience_s
        while time.monotonic() < give_up_at:
            with suppress(LedgerUnavailable):
                if not any(queue.state(region).pending for region in REGIONS):
                    return True
            self.pause(0.5)
        return False

    def verify_log(self) -> list[str]:
        """Run `ekyc evidence verify --all` as an auditor with the ledger does. Return its findings, a line each."""
        command = [sys.executable, "-m", "worker.cli", "evidence", "verify", "--all", "--json"]
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment() | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            report = json.loads(ended.stdout)
        except ValueError:
            return [f"ekyc evidence verify ended with {ended.returncode}: {ended.stderr.strip()[:500]}"]
        return [f"{each['kind']}: {each['path']} {each['said']}" for each in report["findings"]]

    def await_pipeline(self) -> None:
        """Wait until the pipeline has taken all messages from its queue, then terminate it."""
        give_up_at = time.monotonic() + 30.0
        with self.valkey.client() as client:
            while client.llen("onboarding") and time.monotonic() < give_up_at:
                self.pause(0.05)
        self._pipeline.terminate()
        self._pipeline.wait(10)

    def _start(self) -> None:
        """Start all parts. Each registers a callback that ends it, whatever its state."""
        # For a person who looks at what a run has left.
        (self.folder / "keys").write_text(f"{format_key(self.evidence_key)}\n{self.log_key}\n")
        self.disk = Disk(self.folder / "disk")
        self._ends.callback(self.disk.remove)
        self.valkey = Valkey(self.folder / "valkey", free_port())
        self._ends.callback(self.valkey.end)
        self.valkey.start()
        self.vendor = Vendor(free_port(), seed=self.seed, fault_rate=self.profile.fault_rate)
        self.vendor.start()
        self._ends.callback(self.vendor.stop)
        self.ledger = Ledger(connect(self.valkey.url))
        self.census = Stats(connect(self.valkey.url))
        self.watch = Watch(self.valkey)
        self.watch.start()
        self._ends.callback(self.watch.end)
        command = ("tests.chaos.pipeline", self.valkey.url, str(self.journal))
        self._pipeline = spawn(command, self.folder / "pipeline.log", {})
        self._ends.callback(self._pipeline.kill)
        self.crew = Crew(self.folder, self._environment())
        self._ends.callback(self.crew.end)
        self.crew.start(range(self.profile.workers))
        self.crew.await_ready()

    def _environment(self) -> dict[str, str]:
        return {
            **self.vendor.environment(),
            **self.profile.poll,
            "REDIS_URL": self.valkey.url,
            "ADVANCE_REGIONS": ",".join(REGIONS),
            "EKYC_EVIDENCE_URL": self.disk.url,
            "EKYC_EVIDENCE_KEYS": format_key(self.evidence_key),
            "EKYC_LOG_KEY": self.log_key,
            "EKYC_LEASE": str(self.profile.lease_s),
        }
