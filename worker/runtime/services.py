"""What the tasks stand on, made once per process and shared by its threads."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from threading import Event
from typing import TYPE_CHECKING, Final

from worker.advance.client import Client
from worker.concurrency.executor import EventLoop, Executor
from worker.decisions.table import Table
from worker.evidence.admission import PLACES, Admissions
from worker.evidence.breaker import Breakers
from worker.evidence.images import Images
from worker.evidence.ledger_identity import LedgerIdentity
from worker.evidence.store import Evidence
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.ledger.models import Stage
from worker.observability.setup import set_up
from worker.policy.rules import Policy
from worker.runtime.in_flight import InFlight
from worker.runtime.outage import DependencyLog
from worker.runtime.region_holds import RegionHolds
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.observability.hook import Interceptor
    from worker.settings import Settings

#: Verifications of one region that one process has under way at a time. A core has enough to do with as many polls that
#: take 0.5 s each; images take more of it, so fewer of these, and memory: ``worker.evidence.admission``.
CALLS: Final = {Stage.POLLING: 512, Stage.ARCHIVING: PLACES}

#: Batches that wait for calls at a time, until a worker says how many threads it has.
BATCHES: Final = 56


@cache
def process_event_loop() -> EventLoop:
    """The event loop of this process: one thread for as long as the process lives, also if services are built again."""
    return EventLoop()


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a worker process. Build one with ``Services.build``, or use ``services()``."""

    settings: Settings
    ledger: Ledger
    client: Client
    evidence: Evidence
    #: Of the evidence store.
    breakers: Breakers
    images: Images
    table: Table
    policy: Policy
    event_loop: EventLoop
    executors: Mapping[Stage, Executor]
    in_flight: InFlight
    region_holds: RegionHolds
    #: Traces and error reports, where they are switched on.
    intercept: Interceptor
    #: Set when the worker has been told to stop: nothing new is begun.
    stopping: Event
    dependency_log: DependencyLog
    identity: LedgerIdentity

    @classmethod
    def build(cls, settings: Settings) -> Services:
        """Raises ``ConfigError``; connects to nothing yet."""
        settings.require_vendor()
        settings.require_evidence()
        redis = connect(settings.redis_url)
        event_loop = process_event_loop()
        ledger = Ledger(
            redis,
            lease_s=settings.lease_s,
            rate=settings.rate,
            retention_s=settings.retention_s,
            worker=f"{os.getpid()}@{socket.gethostname()}",
        )
        evidence = Evidence(settings.evidence_url)
        return cls(
            settings=settings,
            ledger=ledger,
            client=Client(settings, redis, ledger.spend),
            evidence=evidence,
            breakers=Breakers(evidence.check, settings.regions),
            images=Images(
                settings.image_origins,
                Admissions(settings.regions),
                proxy=settings.proxy,
                ca_bundle=settings.ca_bundle,
            ),
            table=Table.load(settings.decisions_file),
            policy=Policy.from_settings(settings),
            event_loop=event_loop,
            executors={stage: Executor(most, event_loop, settings.regions) for stage, most in CALLS.items()},
            in_flight=InFlight(CALLS[Stage.POLLING], BATCHES, settings.regions),
            region_holds=RegionHolds(),
            intercept=set_up(settings, redis),
            stopping=Event(),
            dependency_log=DependencyLog(),
            identity=LedgerIdentity(ledger, evidence),
        )


@cache
def services() -> Services:
    """The services of this process. Raises ``ConfigError``."""
    return Services.build(current())
