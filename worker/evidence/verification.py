"""Comparing the stored evidence of a verification with its manifest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from worker.errors import EvidenceConflict
from worker.evidence import paths

if TYPE_CHECKING:
    from worker.evidence.manifest import FileEntry, Manifest
    from worker.evidence.store import VerificationEvidence


def verify(evidence: VerificationEvidence) -> list[str]:
    """Return the differences between the store and the manifest, one line each; empty: the evidence is unchanged.

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
    return faults + _strangers(manifest, evidence)


def _faults(entry: FileEntry, body: bytes | None) -> list[str]:
    if body is None:
        return [f"{entry.name} is missing"]
    if len(body) != entry.size_bytes:
        return [f"{entry.name} has {len(body)} bytes, not {entry.size_bytes}"]
    if hashlib.sha256(body).hexdigest() != entry.sha256:
        return [f"{entry.name} has other bytes than the manifest says"]
    return []


def _strangers(manifest: Manifest, evidence: VerificationEvidence) -> list[str]:
    # Unreadable answers are stored beside the evidence, before or after the answer that counted.
    known = {paths.MANIFEST, *(entry.name for entry in manifest.files)}
    found = (file.name for file in evidence.files())
    return [
        f"{name} is not in the manifest"
        for name in found
        if name not in known and not name.startswith("unreadable-")
    ]
