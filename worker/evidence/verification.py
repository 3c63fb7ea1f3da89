"""Comparing the stored evidence of a verification with its manifest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from worker.errors import EvidenceConflict
from worker.evidence import paths

if TYPE_CHECKING:
    from worker.evidence.manifest import FileEntry, Manifest
    from worker.evidence.store import Evidence


def verify(evidence: Evidence, region: str, signature_id: str) -> list[str]:
    """Compare what lies in the store with the manifest, and say each fault in a line; none: all is as it was.

    Raises ``EvidenceUnavailable`` where the store cannot be read, which proves nothing either way.
    """
    try:
        manifest = evidence.manifest(region, signature_id)
    except EvidenceConflict:
        return [f"{paths.MANIFEST} cannot be read"]
    if manifest is None:
        return [f"{paths.MANIFEST} is missing"]
    faults = []
    if (manifest.region, manifest.signature_id) != (region, signature_id):
        faults.append(f"{paths.MANIFEST} belongs to another verification")
    for entry in manifest.files:
        faults += _faults(entry, evidence.read(region, signature_id, entry.name))
    return faults + _strangers(manifest, evidence, region, signature_id)


def _faults(entry: FileEntry, body: bytes | None) -> list[str]:
    if body is None:
        return [f"{entry.name} is missing"]
    if len(body) != entry.size_bytes:
        return [f"{entry.name} has {len(body)} bytes, not {entry.size_bytes}"]
    if hashlib.sha256(body).hexdigest() != entry.sha256:
        return [f"{entry.name} has other bytes than were kept"]
    return []


def _strangers(manifest: Manifest, evidence: Evidence, region: str, signature_id: str) -> list[str]:
    # Unreadable answers are kept beside the evidence, before or after the one that counted.
    known = {paths.MANIFEST, *(entry.name for entry in manifest.files)}
    found = (file.name for file in evidence.files(region, signature_id))
    return [
        f"{name} is not in the manifest"
        for name in found
        if name not in known and not name.startswith("unreadable-")
    ]
