"""What the evidence store has, one verification after the other, without reading a file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from worker.evidence import paths
from worker.evidence.keys import Tombstone

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from worker.evidence.store import Evidence, StoredFile, VerificationEvidence


#: Files that are no evidence.
_NO_EVIDENCE: Final = paths.MARKS | {paths.KEY}


class Kept(StrEnum):
    """How far the evidence of a verification is."""

    #: Its manifest names all its files.
    ARCHIVED = "archived"
    #: It has no manifest: archiving goes on, or there was no answer to archive.
    OPEN = "open"
    #: It was erased.
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Listed:
    """A verification in the store.

    Parameters:
        kept_at: when the first of its files was stored, as the store says.
        files: the names of its evidence, without its key, marks and certificate.
        size_bytes: of these files, as they are stored.
    """

    evidence: VerificationEvidence
    kept_at: datetime
    state: Kept
    files: tuple[str, ...]
    size_bytes: int

    @property
    def region(self) -> str:
        return self.evidence.region

    @property
    def signature_id(self) -> str:
        return self.evidence.signature_id


@dataclass(frozen=True, slots=True)
class Period:
    """A time from `since` to before `until`. None: no limit."""

    since: datetime | None = None
    until: datetime | None = None

    def has(self, moment: datetime) -> bool:
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


def listed(
    evidence: Evidence, regions: Sequence[str], period: Period, after: tuple[str, str] | None = None
) -> Iterator[Listed]:
    """Yield the verifications of some regions whose first file was stored in a period.

    `after`: region and id of the one after which to begin; regions before it are left out.
    """
    for region in regions[regions.index(after[0]) if after else 0 :]:
        start = after[1] if after and after[0] == region else ""
        for one, files in evidence.walk(region, start):
            found = _listed(evidence, one, files)
            if found is not None and period.has(found.kept_at):
                yield found


def found_in(evidence: Evidence, regions: Sequence[str], signature_id: str) -> list[str]:
    """Return the regions that have evidence of an id, also if it was erased."""

    def has(region: str) -> bool:
        one = evidence.of(region, signature_id)
        return bool(one.files()) or evidence.keys.read(one.folder) is not None

    return [region for region in regions if has(region)]


def _listed(evidence: Evidence, one: VerificationEvidence, files: Sequence[StoredFile]) -> Listed | None:
    if not files:
        return None
    names = tuple(file.name for file in files)
    # A locked bucket keeps the manifest of an erased verification.
    if paths.CERTIFICATE in names or (
        _NO_EVIDENCE.issuperset(names) and isinstance(evidence.keys.stored(one.folder), Tombstone)
    ):
        state = Kept.ERASED
    elif paths.MANIFEST in names:
        state = Kept.ARCHIVED
    else:
        state = Kept.OPEN
    return Listed(
        one,
        min(file.kept_at for file in files),
        state,
        tuple(name for name in names if name not in _NO_EVIDENCE),
        sum(file.size_bytes for file in files if file.name not in _NO_EVIDENCE),
    )
