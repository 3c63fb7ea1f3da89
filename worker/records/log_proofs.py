"""Proofs for an export, each against a checkpoint that an independent authority has stamped, where there is one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import EvidenceConflict, EvidenceKeyUnknown, EvidenceUnavailable, LogDamaged
from worker.evidence.log.checkpoint import Checkpoint, Proof
from worker.evidence.log.commits import CHECKPOINT, RegionLog
from worker.evidence.log.leaf_indexes import LeafIndexes
from worker.evidence.log.merkle import inclusion_proof
from worker.evidence.log.notes import NoteRefused
from worker.evidence.log.proofs import TileReader, proofs_of
from worker.evidence.log.timestamps import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.evidence.log.log_keys import LogKeys
    from worker.evidence.store import Evidence


@dataclass(frozen=True, slots=True)
class _Stamped:
    """A checkpoint with a timestamp."""

    size: int
    note: str


class LogProofs:
    """The logs of all regions, as an export needs them. Every method raises ``EvidenceUnavailable``."""

    def __init__(self, evidence: Evidence, keys: LogKeys) -> None:
        self._evidence = evidence
        self._keys = keys
        self._stamped: dict[str, list[_Stamped]] = {}
        self._tiles: dict[tuple[str, int], TileReader] = {}
        self._indexes: dict[str, LeafIndexes] = {}

    def proofs(self, region: str, signature_ids: Sequence[str]) -> Mapping[str, Proof]:
        """Return the proof of each verification that the log has. Raises ``LogDamaged``."""
        log = self._log(region)
        try:
            indexes = self._indexes.setdefault(region, LeafIndexes(log))
            found = proofs_of(log, self._evidence, signature_ids, indexes)
        except (LogDamaged, EvidenceKeyUnknown):
            raise
        except (EvidenceConflict, EvidenceUnavailable) as error:
            if isinstance(error, EvidenceUnavailable):
                self._evidence.check_answers()
            # Damaged evidence has no proof, and the rest still has.
            if len(signature_ids) == 1:
                return {}
            return {
                name: proof for each in signature_ids for name, proof in self.proofs(region, [each]).items()
            }
        return {name: self._oldest(log, proof) for name, proof in found.items()}

    def files(self, region: str) -> Iterator[tuple[str, bytes]]:
        """Yield the public keys, the newest checkpoint, and the stamped checkpoints with their timestamps."""
        log = self._log(region)
        keys = "".join(f"{each}\n" for each in self._keys.verifiers(region))
        yield "key.txt", keys.encode()
        for name in (CHECKPOINT, *sorted(log.names(FOLDER.rstrip("/")))):
            body = log.read(name)
            if body is not None:
                yield name, body

    def _oldest(self, log: RegionLog, proof: Proof) -> Proof:
        """Return the proof against the first stamped checkpoint that has the entry; without one, the given proof."""
        for stamped in self._stamped_of(log):
            if stamped.size > proof.index:
                with suppress(LogDamaged, NoteRefused):
                    tiles = self._tiles.setdefault((log.region, stamped.size), TileReader(log, stamped.size))
                    hashes = inclusion_proof(proof.index, stamped.size, tiles.node)
                    older = Proof(proof.index, proof.entry, hashes, stamped.note)
                    older.proves(self._keys.verifiers(log.region), log.origin)
                    return older
                return proof
        return proof

    def _stamped_of(self, log: RegionLog) -> list[_Stamped]:
        found = self._stamped.get(log.region)
        if found is None:
            found = self._stamped[log.region] = sorted(self._read_stamped(log), key=lambda each: each.size)
        return found

    def _read_stamped(self, log: RegionLog) -> Iterator[_Stamped]:
        names = set(log.names(FOLDER.rstrip("/")))
        for name in names:
            stem, _, kind = name.rpartition(".")
            note = log.read(name) if kind == "checkpoint" and f"{stem}.tsr" in names else None
            # `ekyc evidence verify` reports one that cannot be read.
            with suppress(NoteRefused):
                if note is not None:
                    checkpoint = Checkpoint.opened(note, self._keys.verifiers(log.region), log.origin)
                    yield _Stamped(checkpoint.size, note.decode())

    def _log(self, region: str) -> RegionLog:
        return RegionLog(self._evidence.backend, region, self._keys)
