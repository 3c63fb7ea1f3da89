"""The objects that the tasks use, made once per process and shared by its threads."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from threading import Event
from typing import TYPE_CHECKING, Final

from worker.advance.client import Client
from worker.concurrency.blocking import run_blocking
from worker.concurrency.executor import EventLoop, Executor
from worker.decisions.authenticity import Authenticity, DeliveryCheck
from worker.decisions.endpoints import load as load_endpoints
from worker.decisions.table import Table
from worker.decisions.webhooks import Sender
from worker.errors import EvidenceUnavailable, LedgerUnavailable
from worker.evidence.admission import PLACES, Admissions
from worker.evidence.breaker import Breakers
from worker.evidence.images import Images
from worker.evidence.ledger_identity import LedgerIdentity
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.recent_answers import RecentAnswers
from worker.evidence.store import Evidence
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.ledger.models import Stage
from worker.ledger.webhooks import Webhooks
from worker.observability.setup import set_up
from worker.policy.outcome_seal import Sealer
from worker.policy.rules import Policy
from worker.policy.webhooks import LIMITS
from worker.runtime.delivery_runner import Lanes, Places
from worker.runtime.in_flight import InFlight
from worker.runtime.outage import DependencyLog
from worker.runtime.region_holds import RegionHolds
from worker.settings import current
from worker.signatures import key_signer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.decisions.endpoints import Endpoint
    from worker.ledger.models import Verification
    from worker.observability.hook import Interceptor
    from worker.settings import Settings
    from worker.signatures import Signer

#: Verifications of one region that a process has in flight at a time, by stage. Polls of 0.5 s in this number keep a
#: core busy; images take more CPU and memory, so there are fewer of them (``worker.evidence.admission``). A decision
#: only waits until its record is stored.
CALLS: Final = {Stage.POLLING: 512, Stage.ARCHIVING: PLACES, Stage.ROUTING: 256}

#: Batches in flight at a time, until the worker's number of threads is known.
BATCHES: Final = 56


@cache
def process_event_loop() -> EventLoop:
    """Return the event loop of this process: one thread for its whole life, even if services are built again."""
    return EventLoop()


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a worker process. Build one with ``Services.build``, or use ``services()``."""

    settings: Settings
    ledger: Ledger
    client: Client
    evidence: Evidence
    #: What this process has stored last.
    recent_answers: RecentAnswers
    #: The circuit breakers of the evidence store.
    breakers: Breakers
    images: Images
    table: Table
    #: Applied beside `table`, and never acted on. None: there is none.
    shadow: Table | None
    #: Signs Celery deliveries. None: they are not signed.
    signer: Signer | None
    #: Makes the MACs of what is acted on later, and checks them.
    sealer: Sealer
    authenticity: Authenticity
    #: Where webhooks go, by name.
    endpoints: Mapping[str, Endpoint]
    #: Sends webhooks.
    sender: Sender
    webhooks: Webhooks
    delivery_lanes: Lanes
    delivery_places: Places
    policy: Policy
    event_loop: EventLoop
    executors: Mapping[Stage, Executor]
    in_flight: InFlight
    region_holds: RegionHolds
    #: Traces and error reports, if they are switched on.
    intercept: Interceptor
    #: Set when the worker stops, so that nothing new begins.
    stopping: Event
    dependency_log: DependencyLog
    identity: LedgerIdentity
    #: Sign the log of evidence. None: no log is kept.
    log_keys: LogKeys | None

    @classmethod
    def build(cls, settings: Settings) -> Services:
        """Build the services without connecting to anything. Raises ``ConfigError``."""
        settings.require_vendor()
        settings.require_evidence()
        endpoints = load_endpoints(settings.endpoints_file)
        redis = connect(settings.redis_url)
        event_loop, signer = process_event_loop(), key_signer(settings.signing_key)
        name = f"{os.getpid()}@{socket.gethostname()}"
        ledger = Ledger(
            redis,
            lease_s=settings.lease_s,
            rate=settings.rate,
            retention_s=settings.retention_s,
            worker=name,
            logs=bool(settings.log_key),
        )
        # The folder is created by the first check, after `check_store`: the ledger may know another.
        evidence = Evidence.from_settings(settings, creates=False)
        identity = LedgerIdentity(ledger, evidence)
        log_keys = LogKeys.for_signing(settings.log_key)
        table, sealer = Table.load(settings.decisions_file, endpoints), Sealer.from_settings(settings)
        authenticity = Authenticity(sealer, evidence, table)
        return cls(
            settings=settings,
            ledger=ledger,
            client=Client(settings, redis, ledger.spend),
            evidence=evidence,
            recent_answers=RecentAnswers(),
            breakers=Breakers(_store_check(identity, evidence, settings.regions), settings.regions),
            images=Images(
                settings.image_origins,
                Admissions(settings.regions),
                proxy=settings.proxy,
                ca_bundle=settings.ca_bundle,
            ),
            table=table,
            sealer=sealer,
            authenticity=authenticity,
            endpoints=endpoints,
            shadow=Table.load(settings.decisions_shadow) if settings.decisions_shadow else None,
            signer=signer,
            sender=Sender(
                endpoints,
                signer.private_keys if signer else (),
                is_genuine=DeliveryCheck(authenticity, endpoints, _reader(ledger)),
                proxy=settings.proxy,
                ca_bundle=settings.ca_bundle,
            ),
            webhooks=Webhooks(
                redis,
                lease_s=settings.lease_s,
                retention_s=settings.retention_s,
                worker=name,
                limits=LIMITS,
            ),
            delivery_lanes=Lanes(tuple(endpoints), event_loop),
            delivery_places=Places(tuple(endpoints)),
            policy=Policy.from_settings(settings),
            event_loop=event_loop,
            executors={stage: Executor(most, event_loop, settings.regions) for stage, most in CALLS.items()},
            in_flight=InFlight(CALLS[Stage.POLLING], BATCHES, settings.regions),
            region_holds=RegionHolds(),
            intercept=set_up(settings, redis),
            stopping=Event(),
            dependency_log=DependencyLog(),
            identity=identity,
            log_keys=log_keys,
        )


def _store_check(identity: LedgerIdentity, evidence: Evidence, regions: Sequence[str]) -> Callable[[], None]:
    """A function that probes the evidence store, unless the ledger knows another store."""

    def check() -> None:
        try:
            identity.check_store(regions)
        except LedgerUnavailable as error:
            raise EvidenceUnavailable(f"evidence is not used before the ledger is read: {error}") from None
        evidence.check()

    return check


def _reader(ledger: Ledger) -> Callable[[str, str], Verification | None]:
    """A function for the event loop that reads a verification, by region and signature id."""

    def read(region: str, signature_id: str) -> Verification | None:
        status = run_blocking(ledger.status, region, signature_id)
        return status.verification if status else None

    return read


@cache
def services() -> Services:
    """Return the services of this process. Raises ``ConfigError``."""
    return Services.build(current())
