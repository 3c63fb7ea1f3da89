"""What the evidence store has of one verification, as people see it: nothing personal, and why something is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from worker.errors import (
    EvidenceConflict,
    EvidenceErased,
    EvidenceKeyUnknown,
    EvidenceUnavailable,
    InvalidInput,
)
from worker.evidence import paths
from worker.evidence.keys import Tombstone
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.marks import rfc3339
from worker.evidence.verification import verify
from worker.ledger.scripts import plain
from worker.policy.retention import load
from worker.records.log_proofs import LogProofs
from worker.records.retention import kept, kept_json, until_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schemas.decision import Decision
    from worker.errors import EkycError
    from worker.evidence.decision_record import DecisionRecord
    from worker.evidence.keys import WrappedKey
    from worker.evidence.manifest import Manifest, Missing
    from worker.evidence.review import Review
    from worker.evidence.store import Evidence, StoredFile, VerificationEvidence
    from worker.records.retention import Kept
    from worker.settings import Settings


#: How much of a wrong role an error repeats.
_LONGEST_ROLE: Final = 40


@dataclass(slots=True)
class Overview:
    """All that the store has of one verification, without anything personal.

    `fault`: why something of it could not be read. Everything else is shown first.
    """

    one: VerificationEvidence
    files: Sequence[StoredFile]
    key: WrappedKey | Tombstone | None = None
    #: False: its `key.json` could not be read, so nothing is known of its key.
    is_key_known: bool = True
    manifest: Manifest | None = None
    record: DecisionRecord | None = None
    #: The index of its entry in the log; None: the log does not have it, or there is none.
    log_index: int | None = None
    has_log: bool = False
    #: Until when it is kept; None: it is erased, or nothing is known of it.
    kept: Kept | None = None
    reviews: tuple[Review, ...] = ()
    #: How its files differ from the manifest, a line each, once `compare` was called.
    damaged: Sequence[str] = ()
    fault: EkycError | None = field(default=None, repr=False)

    @classmethod
    def read(cls, evidence: Evidence, one: VerificationEvidence, settings: Settings) -> Overview:
        """Read everything."""
        log_key = settings.log_key
        page = cls(one, one.files(), has_log=bool(log_key))
        readers = (
            page._read_key,
            page._read_manifest,
            page._read_decision,
            page._read_kept,
            page._read_reviews,
        )
        for read in readers:
            try:
                read(evidence, settings)
            except EvidenceErased:
                break
            except (EvidenceConflict, EvidenceUnavailable) as error:
                page.fault = page.fault or error
        if log_key and page.fault is None:
            log = LogProofs(evidence, LogKeys.parse(log_key))
            try:
                found = log.proofs(one.region, [one.signature_id])
            except (EvidenceConflict, EvidenceUnavailable) as error:
                page.fault = error
            else:
                page.log_index = found[one.signature_id].index if found else None
        return page

    def compare(self) -> None:
        """Compare each file with the manifest, which reads all of them."""
        if self.manifest is None or self.fault is not None:
            return
        try:
            self.damaged = verify(self.one)
        except (EvidenceConflict, EvidenceUnavailable) as error:
            self.fault = error

    def names(self, roles: Sequence[str]) -> list[str]:
        """The names of the files with these roles; without roles, of all. Raises ``InvalidInput``."""
        if isinstance(self.key, Tombstone):
            raise InvalidInput(f"{self.title} was erased at {self.key.at}: there is nothing to see")
        by_role = {file.name.partition(".")[0]: file.name for file in self.files}
        for role in roles:
            if role not in by_role:
                given = plain(role)[:_LONGEST_ROLE]
                raise InvalidInput(
                    f"{self.title} has no file of the role {given!r}: use one of {', '.join(sorted(by_role))}"
                )
        return [by_role[role] for role in roles] if roles else sorted(by_role.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "region": self.one.region,
            "signature_id": self.one.signature_id,
            "url": self.one.url,
            "state": self.state,
            "files": [self.file_json(file) for file in self.files],
            "missing": [{"role": each.role, "reason": each.reason} for each in self.missing],
            "manifest": self._parsed(paths.MANIFEST) if self.manifest else None,
            "decision": self._parsed(paths.DECISION) if self.record else None,
            "key": None if self._wrapped is None else _key(self._wrapped),
            "log_index": self.log_index,
            "reviews": [_review(each) for each in self.reviews],
            "retention": None if self.kept is None else kept_json(self.kept),
            "erased": None
            if not isinstance(self.key, Tombstone)
            else {"at": self.key.at, "certificate": self.key.certificate},
            "damaged": list(self.damaged),
            "fault": None if self.fault is None else str(self.fault),
        }

    def about(self) -> Iterator[tuple[str, str]]:
        """Yield the facts about it: a name and a line each."""
        yield "url", self.one.url
        if isinstance(self.key, Tombstone):
            if self.key.certificate is None:
                yield "erased", f"begun {self.key.at}, not ended: run `ekyc evidence erase` again"
            else:
                yield "erased", f"{self.key.at}, certificate {self.key.certificate}"
                yield (
                    "printed by",
                    f"ekyc evidence certificate --region {self.one.region} {self.one.signature_id}",
                )
            yield "log", self._log
            return
        yield "encrypted", self._encrypted
        if self.manifest is not None:
            yield "answer", f"{self.manifest.overall_result} {self.manifest.error_code or ''}".strip()
            yield "complete", "yes" if self.manifest.complete else "no"
            yield "archived", self.manifest.archived_at
        if self.record is not None:
            yield "decision", _decided(self.record.decision, self.record.rule)
        if self.reviews:
            newest = self.reviews[-1]
            yield (
                "reviews",
                f"{len(self.reviews)}, the newest: {newest.verdict} by {newest.who}, {rfc3339(newest.at)}",
            )
        yield "log", self._log
        if self.kept is not None:
            yield "retention", until_text(self.kept)

    @property
    def is_shut(self) -> bool:
        """Whether nothing of it can be opened with the keys that this process has."""
        return isinstance(self.fault, EvidenceKeyUnknown) or (
            isinstance(self.fault, EvidenceConflict) and self.fault.reason == EvidenceConflict.WRONG_KEY
        )

    @property
    def no_digest(self) -> str:
        """Why there is no hash of a file."""
        if self.manifest is not None:
            return "not in the manifest"
        if self.state != "archived":
            return "no manifest yet" if self.state == "open" else "erased"
        return "cannot be opened with the keys here" if self.is_shut else "the manifest cannot be read"

    @property
    def _encrypted(self) -> str:
        if not self.is_key_known:
            return f"unknown: {paths.KEY} cannot be read"
        key = self._wrapped
        if key is None:
            return "no"
        said = f"under the key {key.key_id} (data key {key.data_key_id})"
        if isinstance(self.fault, EvidenceKeyUnknown):
            return f"{said}, which is not among the keys here"
        return f"{said}, and the key of this id here is another one" if self.is_shut else said

    @property
    def _log(self) -> str:
        if not self.has_log:
            return "unknown: EKYC_LOG_KEY is not set here"
        if self.log_index is None and self.fault is not None:
            why = "the evidence cannot be opened with the keys here" if self.is_shut else f"{self.fault}"
            return f"unknown: {why}"
        return "no entry yet" if self.log_index is None else f"entry {self.log_index}"

    @property
    def title(self) -> str:
        return f"{self.one.region}/{self.one.signature_id}"

    @property
    def state(self) -> str:
        """`archived`, `open` or `erased`."""
        if isinstance(self.key, Tombstone):
            return "erased"
        return "archived" if any(file.name == paths.MANIFEST for file in self.files) else "open"

    @property
    def _wrapped(self) -> WrappedKey | None:
        return None if isinstance(self.key, Tombstone) else self.key

    @property
    def missing(self) -> Sequence[Missing]:
        """The linked objects that are not stored, and why."""
        return self.manifest.missing if self.manifest else ()

    def file_json(self, file: StoredFile) -> dict[str, Any]:
        """Return what is known of one file."""
        entries = {entry.name: entry for entry in self.manifest.files} if self.manifest else {}
        entry = entries.get(file.name)
        return {
            "name": file.name,
            "stored_at": rfc3339(file.kept_at),
            "size_bytes": file.size_bytes,
            "role": entry.role if entry else None,
            "sha256": entry.sha256 if entry else None,
        }

    def _parsed(self, name: str) -> Any:
        return json.loads(self.one.read(name) or b"null")

    def _read_key(self, evidence: Evidence, settings: Settings) -> None:
        del settings
        self.is_key_known = False
        self.key = evidence.keys.stored(self.one.folder)
        self.is_key_known = True

    def _read_manifest(self, evidence: Evidence, settings: Settings) -> None:
        del evidence, settings
        self.manifest = self.one.manifest()

    def _read_decision(self, evidence: Evidence, settings: Settings) -> None:
        del evidence, settings
        self.record = self.one.decision()

    def _read_kept(self, evidence: Evidence, settings: Settings) -> None:
        rules = load(settings.retain)
        self.kept = kept(evidence, rules, self.one.region, self.one.signature_id)

    def _read_reviews(self, evidence: Evidence, settings: Settings) -> None:
        del evidence, settings
        self.reviews = self.one.reviews()


def _decided(decision: Decision, rule: int | None) -> str:
    by = f"rule {rule}" if rule else "no rule"
    return f"{decision.decision} by table {decision.table}, {by}, {decision.decided_at.isoformat(timespec='seconds')}"


def _key(key: WrappedKey) -> dict[str, str]:
    return {"key_id": key.key_id, "data_key_id": key.data_key_id}


def _review(review: Review) -> dict[str, Any]:
    return {
        "number": review.number,
        "at": rfc3339(review.at),
        "who": review.who,
        "verdict": review.verdict.value,
        "note": review.note,
    }
