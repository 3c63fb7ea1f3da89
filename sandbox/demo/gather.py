"""Collects the outcome of a demo from all places, once nothing is in flight any more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import requests

from sandbox.demo import leaks
from sandbox.demo.endpoint import received
from sandbox.demo.erasing import erase_one
from sandbox.demo.findings import Findings, Kept, Leaks, Logged
from worker.decisions.delivery import QUEUE
from worker.evidence.log.audit import Audit
from worker.evidence.log.commits import RegionLog
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.log.sequencer import Sequencer
from worker.evidence.paths import MANIFEST
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.ledger import Stats
from worker.ledger.evidence_log import EvidenceLogQueue, LogLedger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis import Redis

    from sandbox.demo.api import Seen
    from sandbox.demo.console import Shown
    from sandbox.demo.deliveries import Deliveries
    from sandbox.demo.folder import Folder
    from sandbox.demo.handover import HandedOver
    from sandbox.demo.parts import Parts
    from sandbox.demo.plan import Plan
    from sandbox.demo.processes import Processes
    from worker.evidence.store import VerificationEvidence
    from worker.ledger import Ledger

#: The queues of a demo, and the key in which kombu keeps messages that are received and not acknowledged.
_QUEUES: Final = (QUEUE.name, "celery")
_UNACKED: Final = "unacked"

#: What a log has in it after an unexpected failure.
_FAILURE: Final = re.compile(
    rb"^Traceback |verification_failed|dispatcher_failed|raised unexpected", re.MULTILINE
)


def gather(  # noqa: PLR0913 - a demo's whole
    plan: Plan,
    handed_over: HandedOver,
    deliveries: Deliveries,
    seen: Seen,
    *,
    shown: Shown,
    ledger: Ledger,
    redis: Redis,
    parts: Parts,
    folder: Folder,
    processes: Processes,
    exit_codes: Mapping[str, int],
) -> Findings:
    """Return the findings. Call it after the workers have ended, while Valkey and the sandbox still run.

    The last of them erases a person. Raises ``DemoFailed`` if that fails.
    """
    evidence = Evidence(parts.environment["EKYC_EVIDENCE_URL"], keys=folder.evidence_keys.read_text())
    tracks = _ask_sandbox(parts, "verifications")
    log_keys = LogKeys.parse(parts.log_key)
    kept = {
        planned.signature_id: _kept(evidence.of(planned.region, planned.signature_id)) for planned in plan.all
    }
    return Findings(
        plan=plan,
        accepted=handed_over.accepted,
        http=handed_over.http,
        seen=seen,
        shown=shown,
        webhooks=received(folder.webhooks),
        callbacks=_ask_sandbox(parts, "stats")["callbacks"],
        deliveries=deliveries.by_id(),
        statuses={
            planned.signature_id: ledger.status(planned.region, planned.signature_id) for planned in plan.all
        },
        counts=Stats(redis).total(plan.regions),
        ready_at_ms={name: track["ready_at_ms"] for name, track in tracks.items()},
        kept=kept,
        usage=evidence.usage(),
        log=_logged(plan, redis, evidence, log_keys),
        messages_left=_messages_left(redis),
        leaks=_leaks(plan, redis, folder, evidence, parts.secrets),
        failures=tuple(
            path.name for path in sorted(folder.logs.iterdir()) if _FAILURE.search(path.read_bytes())
        ),
        exit_codes=exit_codes,
        erased=erase_one(
            plan,
            kept,
            deliveries.by_id(),
            evidence=evidence,
            ledger=ledger,
            parts=parts,
            processes=processes,
            audited=lambda: _logged(plan, redis, evidence, log_keys),
        ),
    )


def _logged(plan: Plan, redis: Redis, evidence: Evidence, keys: LogKeys) -> Logged:
    """Add what the stopped workers have left, then audit the log of each region."""
    entries, faults = 0, list[str]()
    for region in plan.regions:
        log = RegionLog(evidence.backend, region, keys)
        Sequencer(log, evidence, EvidenceLogQueue(redis)).turn()
        report = Audit(evidence, log, LogLedger(redis, region)).whole()
        entries += report.size
        faults += [f"{finding.kind} {finding.path} {finding.said}" for finding in report.findings]
    return Logged(entries, tuple(faults))


def _leaks(plan: Plan, redis: Redis, folder: Folder, evidence: Evidence, secrets: Iterable[str]) -> Leaks:
    return Leaks(
        logs=tuple(leaks.in_files(folder.logs, secrets)),
        # The append-only file has every write, also of keys that no longer exist.
        redis=(*leaks.in_redis(redis), *leaks.in_files(folder.ledger, secrets)),
        decisions=any(
            path.exists() and leaks.holds(path.read_bytes()) for path in (folder.deliveries, folder.webhooks)
        ),
        stored=tuple(leaks.in_files(folder.evidence, secrets)),
        evidence=any(
            leaks.holds(evidence.of(planned.region, planned.signature_id).answer() or b"")
            for planned in plan.all
        ),
    )


def _ask_sandbox(parts: Parts, what: str) -> dict[str, Any]:
    """Return the sandbox's figures, such as those of every id."""
    with requests.Session() as session:
        # Ignore a proxy that the environment names: the sandbox is on this machine.
        session.trust_env = False
        figures: dict[str, Any] = session.get(f"{parts.vendor_url}/sandbox/{what}", timeout=10).json()
    return figures


def _kept(evidence: VerificationEvidence) -> Kept:
    files = tuple(file.name for file in evidence.files())
    if MANIFEST not in files:
        return Kept(files)
    faults = tuple(verify(evidence))
    manifest = None if faults else evidence.manifest()
    if manifest is None:
        return Kept(files, faults=faults)
    size_bytes = sum(file.size_bytes for file in manifest.files)
    return Kept(files, len(manifest.files), size_bytes, manifest.complete)


def _messages_left(redis: Any) -> int:
    return int(sum(redis.llen(name) for name in _QUEUES) + redis.hlen(_UNACKED))
