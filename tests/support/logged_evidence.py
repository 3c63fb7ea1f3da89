"""A region's evidence with its log, on a real store and a real ledger, without workers."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.decision import Decision, EvidenceRef, decision_id
from worker.evidence.decision_record import DecisionRecord, dump_record
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.lifecycle import fingerprint
from worker.evidence.log.audit import Audit
from worker.evidence.log.commits import RegionLog
from worker.evidence.log.log_keys import LogKeys, new_log_key
from worker.evidence.log.sequencer import Sequencer
from worker.evidence.manifest import FileEntry, Manifest
from worker.evidence.marks import Act, ErasurePlan
from worker.evidence.store import Evidence
from worker.ledger.evidence_log import EvidenceLogQueue, LogLedger
from worker.records.certificate import VendorOutcome, certificate_text

if TYPE_CHECKING:
    from redis import Redis

    from worker.evidence.log.audit import Report
    from worker.evidence.marks import StoredObject

REGION = "ph"
NAME = "kyc.example/evidence"
PRIVATE, PUBLIC = new_log_key(NAME)
ANSWER = b'{"code":"SUCCESS"}'
IMAGE = b"\xff\xd8\xff image"


@dataclass
class LoggedEvidence:
    """The parts of the log of one region. Each `sequencer()` is that of another worker."""

    redis: Redis
    url: str
    keys: str = ""
    log_key: str = PRIVATE
    region: str = REGION
    evidence: Evidence = field(init=False)
    queue: EvidenceLogQueue = field(init=False)
    log: RegionLog = field(init=False)

    def __post_init__(self) -> None:
        self.evidence = Evidence(self.url, keys=self.keys)
        self.queue = EvidenceLogQueue(self.redis)
        self.log = RegionLog(self.evidence.backend, self.region, LogKeys.parse(self.log_key))

    @property
    def root(self) -> Path:
        """The folder of a local store."""
        return Path(self.url.removeprefix("file://"))

    @property
    def folder(self) -> Path:
        """The folder of the log in a local store."""
        return self.root / "log" / self.region

    def sequencer(self) -> Sequencer:
        return Sequencer(self.log, Evidence(self.url, keys=self.keys), self.queue)

    def store(self, *signature_ids: str, images: bool = True, decided_at: datetime | None = None) -> None:
        """Store the evidence of verifications, as archiving and deciding do."""
        for signature_id in signature_ids:
            kept = self.evidence.of(self.region, signature_id)
            decision = record(self.region, signature_id, decided_at or datetime.now(UTC))
            if not images and not self.keys and self.url.startswith("file:"):
                # Many small files need not wait for the disk here.
                folder = self.root / kept.folder
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "decision.json").write_bytes(dump_record(decision))
                continue
            if images:
                kept.keep_answer(ANSWER)
                with kept.adding() as add:
                    add(entry_of("front.jpg", IMAGE), IMAGE)
                kept.keep_manifest(manifest(self.region, signature_id))
            kept.keep_decision(decision)

    def end(self, *signature_ids: str, images: bool = True, decided_at: datetime | None = None) -> None:
        """Store the evidence of verifications, and queue them for the log."""
        self.store(*signature_ids, images=images, decided_at=decided_at)
        self.queue.add(self.region, signature_ids)

    def certificate(self, signature_id: str, *locked: StoredObject) -> str:
        """Return a certificate of erasure, signed with the key of the log."""
        act = Act(datetime.now(UTC), "maria", "asked by the person")
        plan = ErasurePlan(act, None, locked)
        vendor = VendorOutcome(cleared=False)
        text = certificate_text(self.region, signature_id, plan, vendor, url=self.url, at=plan.act.at)
        return self.log.keys.signer(self.region).sign(text)

    def erase(self, signature_id: str, certificate: str | None = None) -> None:
        """Leave in a local store what an erasure leaves, and do not queue it for the log."""
        folder, text = self.root / self.region / signature_id, certificate or self.certificate(signature_id)
        for file in folder.iterdir():
            file.unlink()
        (folder / "certificate.txt").write_text(text)
        (folder / "key.json").write_bytes(dump_key(Tombstone("2026-11-30T00:00:00Z", fingerprint(text))))

    def audit(self, *, offline: bool = False, public: bool = True) -> Report:
        """Audit everything, with the public key alone."""
        log = RegionLog(self.evidence.backend, self.region, LogKeys.parse(PUBLIC if public else self.log_key))
        ledger = None if offline else LogLedger(self.redis, self.region)
        return Audit(self.evidence, log, ledger).whole()

    def logged_ids(self) -> list[str]:
        """The verification of each entry, in the order of the log, read from the commits."""
        ids: list[str] = []
        seq = 1
        while (commit := self.log.commit(seq)) is not None:
            assert commit.first == len(ids)
            ids += commit.ids
            seq += 1
        return ids


def names(count: int, start: int = 0) -> list[str]:
    return [f"id{number:06}" for number in range(start, start + count)]


def entry_of(name: str, body: bytes) -> FileEntry:
    role = name.partition(".")[0]
    digest = hashlib.sha256(body).hexdigest()
    return FileEntry(name, role, len(body), digest, "image/jpeg", "2026-11-30T00:00:00.000Z")


def manifest(region: str, signature_id: str) -> Manifest:
    return Manifest(
        signature_id=signature_id,
        region=region,
        overall_result="PASS",
        error_code="SUCCESS",
        transaction_id=None,
        archived_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        complete=True,
        files=(entry_of("answer.json", ANSWER), entry_of("front.jpg", IMAGE)),
        salt=secrets.token_hex(16),
    )


def record(region: str, signature_id: str, decided_at: datetime) -> DecisionRecord:
    return DecisionRecord.of(
        Decision(
            id=decision_id(region, signature_id),
            signature_id=signature_id,
            region=region,
            decision="approve",
            overall_result="PASS",
            error_code="SUCCESS",
            reason=None,
            decided_at=decided_at,
            evidence=EvidenceRef("file:///e", complete=True),
            context=None,
            polls=1,
            table="default@12345678",
        )
    )
