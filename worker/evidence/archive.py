"""Archiving: store what the answer of a settled verification links to beside it, then the manifest.

It is called an image here, also if it is an archive or a video.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schemas.envelope import load_envelope
from schemas.errors import SchemaError
from schemas.result import load_outcome
from worker.errors import EvidenceConflict, EvidenceLost
from worker.evidence import paths
from worker.evidence.decision_record import new_salt
from worker.evidence.image_collector import Links, collect, entry_of
from worker.evidence.manifest import Manifest
from worker.evidence.marks import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schemas.result import Result
    from worker.evidence.image_collector import Collection
    from worker.evidence.images import Images
    from worker.evidence.manifest import FileEntry, Missing
    from worker.evidence.recent_answers import RecentAnswers
    from worker.evidence.store import StoredFile, VerificationEvidence


@dataclass(frozen=True, slots=True)
class Archived:
    """The progress of archiving.

    Parameters:
        complete: the answer and every image that it links to are stored.
        pending: images are outstanding, so call again later. Otherwise the manifest is written.
        files: the number of stored files without the manifest; `size_bytes`: their total size.
        missing: the images that are not stored, and why.
        busy: some images were not requested, because their host has reached its limit of fetches.
    """

    complete: bool
    pending: bool
    files: int
    size_bytes: int
    missing: tuple[Missing, ...]
    busy: bool = False


def archive(
    evidence: VerificationEvidence,
    images: Images,
    *,
    refresh: Callable[[], Result | None],
    final: bool = False,
    recent: RecentAnswers | None = None,
) -> Archived:
    """Store the images that the stored answer links to, then the manifest. Repeating it changes nothing.

    A stored image is not fetched again. While an image is unavailable there is no manifest, and the next call fetches
    it; with `final` it is given up, and the manifest lists it as missing. A refused image is given up at once.
    `refresh` asks the vendor for fresh links, at most once; it returns None if it cannot ask now. An answer that
    `recent` knows is not parsed again.

    Takes up to 15 s plus the time of the store, in the calling thread. Raises ``EvidenceUnavailable``;
    ``EvidenceLost`` if the store answers but stored files are gone; ``EvidenceConflict`` if a stored file has other
    bytes or cannot be read.
    """
    files = {file.name: file for file in evidence.files()}
    if (
        paths.MANIFEST in files
        and not evidence.may_be_planted(paths.MANIFEST)
        and (manifest := evidence.manifest())
    ):
        if gone := {entry.name for entry in manifest.files} - files.keys():
            raise EvidenceLost(
                EvidenceLost.FILES_GONE,
                f"{len(gone)} files that the manifest at {evidence.url} names are gone: "
                "restore them from a backup of the evidence store",
            )
        # The writer may have been killed before the name of the manifest was on the disk.
        evidence.sync()
        return _archived(manifest.files, manifest.missing)

    answer = _answer(evidence, files.pop(paths.ANSWER, None), recent)
    links = Links(answer.result, refresh)

    def manifest_of(found: Collection) -> Manifest | None:
        if found.pending and not final:
            return None
        return Manifest(
            signature_id=evidence.signature_id,
            region=evidence.region,
            overall_result=answer.result.overall_result if answer.result else None,
            error_code=answer.result.error_code if answer.result else None,
            transaction_id=answer.transaction_id,
            archived_at=rfc3339(datetime.now(UTC)),
            complete=not found.missing,
            files=_kept(answer, found),
            missing=tuple(found.missing),
            salt=new_salt(),
        )

    found = collect(evidence, images, links, files.values(), manifest_of)
    if found.manifest is None:
        return replace(_archived(_kept(answer, found), found.missing, pending=True), busy=found.busy)
    return _archived(found.manifest.files, found.manifest.missing)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The stored answer. For an id that the vendor does not know it has no result."""

    entry: FileEntry
    transaction_id: str | None
    result: Result | None


def _answer(evidence: VerificationEvidence, file: StoredFile | None, recent: RecentAnswers | None) -> _Answer:
    found = evidence.content(paths.ANSWER) if file else None
    if file is None or found is None:
        raise EvidenceLost(
            EvidenceLost.ANSWER_GONE,
            f"the answer stored at {evidence.url} is gone: check that EKYC_EVIDENCE_URL "
            "is the same store for all workers, that its disk is mounted, and what was restored or removed there",
        )
    if found.may_be_planted:
        evidence.encrypt_plain()
        raise EvidenceLost(
            EvidenceLost.ANSWER_GONE,
            f"the answer stored at {evidence.url} was not encrypted, so anybody may have stored it: "
            "the vendor is asked again",
        )
    raw = found.body
    known = recent.take(evidence.region, evidence.signature_id, raw) if recent is not None else None
    if known:
        return _Answer(entry_of(file, raw), known.transaction_id, known.result)
    try:
        envelope = load_envelope(raw)
        settled = envelope.code == "SUCCESS" and envelope.data is not None
        result = load_outcome(envelope.data, signature_id=evidence.signature_id) if settled else None
    except SchemaError as error:
        raise EvidenceConflict("ANSWER_UNREADABLE", f"the answer stored at {evidence.url}: {error}") from None
    return _Answer(entry_of(file, raw), envelope.transaction_id, result)


def _kept(answer: _Answer, found: Collection) -> tuple[FileEntry, ...]:
    return (answer.entry, *sorted(found.files, key=lambda file: file.name))


def _archived(files: Sequence[FileEntry], missing: Sequence[Missing], *, pending: bool = False) -> Archived:
    return Archived(
        complete=not pending and not missing,
        pending=pending,
        files=len(files),
        size_bytes=sum(file.size_bytes for file in files),
        missing=tuple(missing),
    )
