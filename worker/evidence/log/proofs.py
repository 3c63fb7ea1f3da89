"""Proofs from a region's log: that it has the evidence of a verification, offline and by anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.errors import LogDamaged
from worker.evidence.log.checkpoint import Checkpoint, Proof
from worker.evidence.log.commits import CHECKPOINT
from worker.evidence.log.leaf_indexes import LeafIndexes
from worker.evidence.log.merkle import consistency_proof, inclusion_proof
from worker.evidence.log.notes import NoteRefused
from worker.evidence.log.sequencer import candidate_of
from worker.evidence.log.tiles import HEIGHT, WIDTH, hashes_of, tile_name, top_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.evidence.log.commits import RegionLog
    from worker.evidence.store import Evidence

#: Tiles that a reader remembers: paths of neighbours share most of theirs.
REMEMBERED: Final = 512


class TileReader:
    """Reads nodes of a region's tree from its tiles. Not thread-safe."""

    def __init__(self, log: RegionLog, size: int) -> None:
        self._files = log
        self._size = size
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a node. Raises ``LogDamaged`` if its tile is not there."""
        height, below = level % HEIGHT, level // HEIGHT
        first = index << height
        row = self._tile(below, first // WIDTH)[first % WIDTH :][: 1 << height]
        if len(row) < 1 << height:
            raise self._missing(below, first // WIDTH)
        return top_of(row)

    def _tile(self, level: int, index: int) -> list[bytes]:
        row = self._tiles.get((level, index))
        if row is None:
            width = min(WIDTH, (self._size >> level * HEIGHT) - index * WIDTH)
            # The partial tile may be gone once the full one is there.
            raw = self._files.read(tile_name(level, index, width)) or self._files.read(
                tile_name(level, index)
            )
            try:
                row = hashes_of(raw or b"")[:width]
            except ValueError:
                raise self._missing(level, index) from None
            if len(self._tiles) >= REMEMBERED:
                self._tiles.clear()
            self._tiles[level, index] = row
        return row

    def _missing(self, level: int, index: int) -> LogDamaged:
        return LogDamaged(
            f"{self._files.url}/{tile_name(level, index)} is missing or cut off: "
            "run `ekyc evidence sequence`, which makes it again"
        )


def proofs_of(
    log: RegionLog, evidence: Evidence, signature_ids: Sequence[str], indexes: LeafIndexes | None = None
) -> dict[str, Proof]:
    """Return a proof for each verification whose evidence, as it is in the store, the published log has.

    Pass the same `indexes` for each part of many. They remember about 200 bytes for each entry that they read.
    Raises ``EvidenceUnavailable``, ``EvidenceConflict`` for evidence that cannot be opened, and ``LogDamaged``.
    """
    found = [(each, candidate_of(evidence, log.region, each)) for each in dict.fromkeys(signature_ids)]
    leaves = {each: candidate for each, candidate in found if candidate is not None}
    note = log.read(CHECKPOINT)
    if note is None or not leaves:
        return {}
    # From the same bytes: workers replace the file every few seconds.
    checkpoint = log.opened(note)
    wanted = {candidate.leaf for candidate in leaves.values()}
    found_at = (indexes or LeafIndexes(log)).find(checkpoint.size, wanted)
    tiles, proofs = TileReader(log, checkpoint.size), dict[str, Proof]()
    for signature_id, candidate in leaves.items():
        index = found_at.get(candidate.leaf)
        if index is not None:
            hashes = inclusion_proof(index, checkpoint.size, tiles.node)
            proof = Proof(index, candidate.entry.raw, hashes, note.decode())
            proofs[signature_id] = _checked(log, proof)
    return proofs


def proof_of(log: RegionLog, evidence: Evidence, signature_id: str) -> Proof | None:
    """Return the proof for one verification; None: the log has no entry for its evidence, or not yet."""
    return proofs_of(log, evidence, [signature_id]).get(signature_id)


def consistency_of(log: RegionLog, old: Checkpoint, new: Checkpoint) -> tuple[bytes, ...]:
    """Return the proof that the log of `new` begins with that of `old`. Raises ``LogDamaged``."""
    return consistency_proof(old.size, new.size, TileReader(log, new.size).node)


def _checked(log: RegionLog, proof: Proof) -> Proof:
    try:
        proof.proves(log.keys.verifiers(log.region), log.origin)
    except NoteRefused as error:
        raise LogDamaged(
            f"{log.url}: entry {proof.index} cannot be proved: {error}: "
            f"run `ekyc evidence verify --region {log.region}`"
        ) from None
    return proof
