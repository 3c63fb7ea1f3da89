"""An export: one archive with the evidence of some verifications, and what shows that it was not changed.

README.md, VERIFY.md           what is in it and what is not; how to verify it without our software
SHA256SUMS                     of every other member
<region>/<id>/…                the files as they were stored, not encrypted; among them reviews of the decision
<region>/<id>/export.json      what the archive has of the verification, and what it lacks
<region>/<id>/entry.json       its entry in the log
<region>/<id>/entry.tlog-proof the proof that the log has the entry
log/<region>/…                 the public keys of the log, its newest checkpoint, and timestamps of checkpoints
tables/<version>.toml          the decision tables
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from schemas.errors import SchemaError
from worker.errors import EvidenceConflict, EvidenceErased, EvidenceKeyUnknown, EvidenceUnavailable
from worker.evidence import paths
from worker.evidence.decision_record import load_record
from worker.evidence.keys import Tombstone
from worker.records.tar import TarStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from worker.evidence.store import VerificationEvidence

VERIFY: Final = resources.files("worker.records") / "verify.md"

#: The file of a proof, in the format of c2sp.org/tlog-proof.
PROOF: Final = "entry.tlog-proof"

#: The entry of the log, byte for byte.
ENTRY: Final = "entry.json"

#: Verifications whose proofs are made together.
PAGE: Final = 200

#: Files of a verification that are no evidence.
_OURS: Final = paths.MARKS | {paths.KEY}


class State(StrEnum):
    """What an export has of a verification."""

    #: Everything that the store has.
    EXPORTED = "exported"
    #: Nothing: it was erased; or the files that were read before it was erased during the export.
    ERASED = "erased"
    #: A file cannot be read, does not open, cannot be parsed, or is gone.
    DAMAGED = "damaged"


class LoggedProof(Protocol):
    """The proof that the log has a verification."""

    @property
    def index(self) -> int:
        """The index of its entry."""

    @property
    def entry(self) -> bytes:
        """The entry."""

    def text(self) -> str:
        """The proof in the format of c2sp.org/tlog-proof."""


class Log(Protocol):
    """The log, as an export needs it."""

    def proofs(self, region: str, signature_ids: Sequence[str]) -> Mapping[str, LoggedProof]:
        """Return the proof of each verification that the log has."""

    def files(self, region: str) -> Iterable[tuple[str, bytes]]:
        """Yield `key.txt` (public keys), `checkpoint`, and `timestamps/…`."""


@dataclass(frozen=True, slots=True)
class Lacks:
    """What an export cannot have, for README.md."""

    #: Evidence is not encrypted in the store.
    keys: bool
    #: There is no log.
    log: bool


@dataclass(slots=True)
class Export:
    """Builds one archive. Each instance is used once.

    Parameters:
        log: None: there is none.
        certificate: returns the certificate of an erasure, by region and id; None: there is none.
        table: returns the text of a decision table by its version; None: it is not at hand.
        note: called with each fault, as a line for people.
        check_answers: raises ``EvidenceUnavailable`` if the store is away.
    """

    lacks: Lacks
    log: Log | None
    certificate: Callable[[str, str], str | None]
    table: Callable[[str], str | None]
    note: Callable[[str], None]
    check_answers: Callable[[], None]
    #: How many verifications are in which state.
    counts: Counter[State] = field(default_factory=Counter)
    _tables: dict[str, bool] = field(default_factory=dict)
    _unproved: Counter[str] = field(default_factory=Counter)
    _left_out: int = 0
    _reviewed: int = 0
    _erased_meanwhile: int = 0

    def pieces(
        self,
        chosen: Iterable[VerificationEvidence],
        before: Callable[[Sequence[VerificationEvidence]], None],
        advance: Callable[[int], None],
    ) -> Iterator[bytes]:
        """Yield the archive. Raises ``EvidenceUnavailable``, and ``EvidenceKeyUnknown`` if a key is missing here.

        Parameters:
            before: called with the verifications of one region, before they are read.
            advance: called with the number of verifications so far.
        """
        with tempfile.TemporaryFile() as sums:
            tar = TarStream(sums)
            yield from tar.member("VERIFY.md", VERIFY.read_bytes())
            regions: dict[str, int] = {}
            for region, page in _pages(chosen):
                before(page)
                proofs = self.log.proofs(region, [one.signature_id for one in page]) if self.log else {}
                for one in page:
                    yield from self._verification(tar, one, proofs.get(one.signature_id))
                    regions[region] = regions.get(region, 0) + 1
                    advance(sum(regions.values()))
            for region in sorted(regions):
                for name, body in self.log.files(region) if self.log else ():
                    yield from tar.member(f"log/{region}/{name}", body)
            yield from self._tables_of(tar)
            yield from tar.member("README.md", self._readme().encode())
            yield from tar.sums_member("SHA256SUMS")
            yield from tar.end()

    def _verification(
        self, tar: TarStream, evidence: VerificationEvidence, proof: LoggedProof | None
    ) -> Iterator[bytes]:
        folder = f"{evidence.region}/{evidence.signature_id}"
        about: dict[str, Any] = {"region": evidence.region, "signature_id": evidence.signature_id}
        state = State.EXPORTED
        members: dict[str, bytes] = {}
        exported: list[str] = []
        names = self._names(evidence, about)
        if not names and isinstance(evidence.keys.stored(evidence.folder), Tombstone):
            state = State.ERASED
        for name in names:
            try:
                body = self._body(evidence, name)
            except EvidenceErased:
                state, members = State.ERASED, {}
                break
            except EvidenceConflict as error:
                state = State.DAMAGED
                about.setdefault("damaged", []).append({"name": name, "cause": error.reason})
                self.note(f"{folder}/{name} is damaged and not exported: {error}")
                continue
            yield from tar.member(f"{folder}/{name}", body)
            exported.append(name)
            if name in {paths.MANIFEST, paths.DECISION}:
                members[name] = body
        if state is State.ERASED:
            if exported:
                about["exported_before_erasure"] = exported
                self._erased_meanwhile += 1
                self.note(f"{folder} was erased during the export, which has {len(exported)} of its files")
            # It proves files that are not here.
            proof = proof if proof and json.loads(proof.entry)["type"] == "erased" else None
            certificate = self.certificate(evidence.region, evidence.signature_id)
            if certificate is not None:
                yield from tar.member(f"{folder}/{paths.CERTIFICATE}", certificate.encode())
        about |= self._decided(folder, members.get(paths.DECISION))
        yield from self._proved(tar, evidence, proof, about)
        self.counts[state] += 1
        about["state"] = state.value
        yield from tar.member(f"{folder}/export.json", _json(about))

    def _body(self, evidence: VerificationEvidence, name: str) -> bytes:
        try:
            return _read(evidence, name)
        except EvidenceKeyUnknown:
            raise
        except EvidenceUnavailable as error:
            # One object that cannot be read must not stop the others.
            self.check_answers()
            raise EvidenceConflict("unreadable", str(error)) from None

    def _names(self, evidence: VerificationEvidence, about: dict[str, Any]) -> list[str]:
        names = [file.name for file in evidence.files() if file.name not in _OURS]
        # An answer that was refused may be about another person.
        left_out = [name for name in names if name.startswith("unreadable-")]
        about["left_out"] = left_out
        about["reviews"] = [name for name in names if paths.review_number(name) is not None]
        self._reviewed += bool(about["reviews"])
        self._left_out += len(left_out)
        # The manifest comes last, so that it never names files that an erasure has removed meanwhile.
        return sorted(
            (name for name in names if name not in left_out), key=lambda name: name == paths.MANIFEST
        )

    def _decided(self, folder: str, raw: bytes | None) -> dict[str, Any]:
        if raw is None:
            return {"table": None}
        try:
            version = load_record(raw).decision.table
        except SchemaError as error:
            self.note(f"{folder}/{paths.DECISION}: {error}")
            return {"table": None}
        self._tables.setdefault(version, False)
        return {"table": version}

    def _proved(
        self,
        tar: TarStream,
        evidence: VerificationEvidence,
        proof: LoggedProof | None,
        about: dict[str, Any],
    ) -> Iterator[bytes]:
        about["log_index"] = proof.index if proof else None
        if proof is None:
            self._unproved[evidence.region] += self.log is not None
            return
        folder = f"{evidence.region}/{evidence.signature_id}"
        yield from tar.member(f"{folder}/{ENTRY}", proof.entry)
        yield from tar.member(f"{folder}/{PROOF}", proof.text().encode())

    def _tables_of(self, tar: TarStream) -> Iterator[bytes]:
        for version in sorted(self._tables):
            path, text = paths.table(version), self.table(version)
            if path is not None and text is not None:
                self._tables[version] = True
                yield from tar.member(path, text.encode())

    def _readme(self) -> str:
        return "".join(f"{line}\n" for line in self._readme_lines())

    def _readme_lines(self) -> Iterator[str]:
        yield "# Evidence of identity verifications"
        yield ""
        yield "This archive holds personal data. VERIFY.md says how to verify it with standard tools."
        yield ""
        for state, count in sorted(self.counts.items()):
            yield f"- verifications, {state.value}: {count}"
        missing = sorted(version for version, found in self._tables.items() if not found)
        yield f"- decision tables: {len(self._tables) - len(missing)} in `tables/`, {len(missing)} not at hand"
        yield ""
        yield "## What this archive does not have"
        yield ""
        yield from self._absent(missing)

    def _absent(self, missing: list[str]) -> Iterator[str]:  # noqa: C901 - one an absence
        if self.lacks.log:
            yield "- A log: none was kept, or its key was not at hand. Nothing here shows when a file was stored, or"
            yield "  that it was not replaced before this export. VERIFY.md, steps 4 to 6 have nothing to do."
        for region, count in sorted(self._unproved.items()):
            if count:
                what = "a verification" if count == 1 else f"{count} verifications"
                yield f"- Proofs of {what} of {region}: the log does not have them as they are here."
        if self.lacks.keys:
            yield "- Encryption at rest: the store held these files as they are here."
        if self._reviewed:
            of = _decisions(self._reviewed)
            yield f"- Proofs of reviews (`review-….json`, of {of}): no manifest or log has them."
        if self._left_out:
            yield f"- Answers that were refused: {self._left_out}. They may be about other people."
        if self.counts[State.ERASED]:
            count = self.counts[State.ERASED]
            files = "a verification that was" if count == 1 else f"{count} verifications that were"
            yield f"- Files of {files} erased: certificate.txt says when and why."
        if self._erased_meanwhile:
            yield f"- The rest of {self._erased_meanwhile} verifications that were erased during the export: the files"
            yield "  in `exported_before_erasure` of their export.json are here, and not in the store. Delete this"
            yield "  archive, and export the others again."
        if self.counts[State.DAMAGED]:
            yield "- Files that were damaged in the store: `damaged` in the export.json of a verification names them."
        for version in missing:
            yield f"- The text of the decision table {version}."
        yield "- The context that the pipeline gave with a verification: it is not evidence."


def _decisions(count: int) -> str:
    return "one decision" if count == 1 else f"{count} decisions"


def _read(evidence: VerificationEvidence, name: str) -> bytes:
    """Return a file that was listed. Raises ``EvidenceErased``, and ``EvidenceConflict`` if it is gone."""
    body = evidence.read(name)
    if body is None:
        if isinstance(evidence.keys.stored(evidence.folder), Tombstone):
            raise EvidenceErased("ERASED", f"{evidence.url} was erased")
        raise EvidenceConflict("missing", f"{evidence.url}/{name} is gone: restore it from a backup")
    return body


def _pages(
    chosen: Iterable[VerificationEvidence],
) -> Iterator[tuple[str, Sequence[VerificationEvidence]]]:
    for region, ones in groupby(chosen, key=lambda one: one.region):
        while page := list(islice(ones, PAGE)):
            yield region, page


def _json(document: dict[str, Any]) -> bytes:
    return f"{json.dumps(document, sort_keys=True, indent=1)}\n".encode()
