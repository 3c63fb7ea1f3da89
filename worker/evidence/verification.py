"""Comparing the stored evidence of a verification with its manifest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from worker.errors import EvidenceConflict
from worker.evidence import paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.evidence.manifest import FileEntry, Manifest
    from worker.evidence.store import VerificationEvidence


def verify(evidence: VerificationEvidence, recorded: Mapping[int, str] | None = None) -> list[str]:
    """Return the differences between the store and the manifest, one line each; empty: the evidence is unchanged.

    `recorded`: number and verdict of the reviews that the audit log has.
    Raises ``EvidenceUnavailable`` if the store cannot be read; the evidence is then neither proved nor disproved.
    """
    try:
        manifest = evidence.manifest()
    except EvidenceConflict:
        return [f"{paths.MANIFEST} cannot be read"]
    if manifest is None:
        return [f"{paths.MANIFEST} is missing"]
    faults = []
    if (manifest.region, manifest.signature_id) != (evidence.region, evidence.signature_id):
        faults.append(f"{paths.MANIFEST} belongs to another verification")
    for entry in manifest.files:
        faults += _faults(entry, evidence.read(entry.name))
    names = [file.name for file in evidence.files()]
    return faults + _strangers(manifest, names) + _reviews(evidence, names, recorded or {})


def _faults(entry: FileEntry, body: bytes | None) -> list[str]:
    if body is None:
        return [f"{entry.name} is missing"]
    if len(body) != entry.size_bytes:
        return [f"{entry.name} has {len(body)} bytes, not {entry.size_bytes}"]
    if hashlib.sha256(body).hexdigest() != entry.sha256:
        return [f"{entry.name} has other bytes than the manifest says"]
    return []


def _strangers(manifest: Manifest, names: Sequence[str]) -> list[str]:
    # Unreadable answers are stored beside the evidence, before or after the answer that counted.
    known = {entry.name for entry in manifest.files}
    return [
        f"{name} is not in the manifest"
        for name in names
        if name not in known and not paths.is_unlisted(name) and not name.startswith("unreadable-")
    ]


def _reviews(evidence: VerificationEvidence, names: Sequence[str], recorded: Mapping[int, str]) -> list[str]:
    """Return what is wrong with the reviews. No manifest and no log lists them; their numbers have no gap."""
    numbers = {number for name in names if (number := paths.review_number(name)) is not None}
    gaps = set(range(1, max(numbers, default=0) + 1)) - numbers
    faults = [f"{paths.review(number)} is missing" for number in sorted(gaps)]
    gone = recorded.keys() - numbers - gaps
    faults += [f"{paths.review(number)} is in the audit log, and is missing" for number in sorted(gone)]
    for number in sorted(numbers):
        try:
            review = evidence.review(paths.review(number))
        except EvidenceConflict:
            faults.append(f"{paths.review(number)} cannot be read")
            continue
        if review is not None and recorded.get(number, review.verdict) != review.verdict:
            faults.append(f"{paths.review(number)} has another verdict than the audit log")
    return faults
