"""The evidence store: what is kept of every verification, each file written once."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from schemas.errors import SchemaError
from worker.errors import EvidenceConflict, EvidenceUnavailable
from worker.evidence import layout
from worker.evidence.manifest import dump_manifest, load_manifest
from worker.evidence.objects import Objects

if TYPE_CHECKING:
    from datetime import datetime

    from worker.evidence.manifest import Manifest


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a verification as the store lists it."""

    name: str
    kept_at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """How much evidence there is."""

    files: int
    size_bytes: int


class Evidence:
    """The evidence of all verifications under one URL; safe to share between threads.

    Every file is written once: the same bytes again change nothing, other bytes are refused.

    Raises ``ConfigError`` for a URL that cannot be used. Every method raises ``EvidenceUnavailable`` where
    the store cannot be read or written, and ``InvalidInput`` for an id that could leave its folder.
    """

    def __init__(self, url: str) -> None:
        self._objects = Objects(url)

    def url(self, region: str, signature_id: str) -> str:
        """Where the evidence of a verification lies."""
        return f"{self._objects.url}/{layout.folder(region, signature_id)}"

    def keep_answer(self, region: str, signature_id: str, raw: bytes) -> bytes:
        """Keep the vendor's answer, and return what is kept, which may be an answer that came earlier.

        Decide on what this returns, never on `raw`: then two workers that got two answers decide alike.
        """
        return self._keep_first(layout.path(region, signature_id, layout.ANSWER), raw)

    def keep_unreadable(self, region: str, signature_id: str, raw: bytes) -> str:
        """Keep an answer that nobody could read, for a person to look at. Returns the name of its file."""
        name = f"unreadable-{hashlib.sha256(raw).hexdigest()[:16]}.bin"
        self.keep(region, signature_id, name, raw)
        return name

    def keep_manifest(self, manifest: Manifest) -> Manifest:
        """Keep the manifest, and return the one that is kept, which may be one that came earlier."""
        path = layout.path(manifest.region, manifest.signature_id, layout.MANIFEST)
        return self._manifest(path, self._keep_first(path, dump_manifest(manifest)))

    def keep(self, region: str, signature_id: str, name: str, body: bytes) -> None:
        """Keep one file. Raises ``EvidenceConflict`` where other bytes lie under its name."""
        path = layout.path(region, signature_id, name)
        if self._keep_first(path, body) != body:
            raise EvidenceConflict("OTHER_BYTES", f"{self._objects.url}/{path} holds other bytes already")

    def answer(self, region: str, signature_id: str) -> bytes | None:
        """The vendor's answer as it was kept, None: there is none yet."""
        return self.read(region, signature_id, layout.ANSWER)

    def manifest(self, region: str, signature_id: str) -> Manifest | None:
        """The manifest, None: archiving is not over. Raises ``EvidenceConflict`` where it cannot be read."""
        path = layout.path(region, signature_id, layout.MANIFEST)
        raw = self._objects.read(path)
        return None if raw is None else self._manifest(path, raw)

    def read(self, region: str, signature_id: str, name: str) -> bytes | None:
        """The bytes of one file, None: it is not there."""
        return self._objects.read(layout.path(region, signature_id, name))

    def files(self, region: str, signature_id: str) -> tuple[StoredFile, ...]:
        """What is kept of one verification, by name; not what a killed process left half written."""
        folder = layout.folder(region, signature_id)
        found = (
            StoredFile(file.path.removeprefix(f"{folder}/"), file.kept_at)
            for file in self._objects.list(folder)
        )
        kept = (file for file in found if layout.FILE_NAME.fullmatch(file.name))
        return tuple(sorted(kept, key=lambda file: file.name))

    def usage(self) -> Usage:
        """How much evidence there is. Lists every file: for the demo's report, not for production."""
        sizes = [
            file.size_bytes
            for file in self._objects.list()
            if layout.FILE_NAME.fullmatch(file.path.rpartition("/")[2])
        ]
        return Usage(files=len(sizes), size_bytes=sum(sizes))

    def check(self) -> None:
        """Write a probe, read it back, remove it. Raises ``EvidenceUnavailable`` where that fails."""
        path, body = f"probe-{uuid4().hex}", b"ekyc probe\n"
        self._objects.create(path, body)
        read = self._objects.read(path)
        # A bucket that locks what is written does not let go of a probe either, and is a good place.
        with suppress(EvidenceUnavailable):
            self._objects.remove(path)
        if read != body:
            raise EvidenceUnavailable(f"evidence written at {self._objects.url} cannot be read back")

    def _keep_first(self, path: str, body: bytes) -> bytes:
        if self._objects.create(path, body):
            return body
        kept = self._objects.read(path)
        if kept is None:
            raise EvidenceUnavailable(f"{self._objects.url}/{path} is being written or removed by others")
        return kept

    def _manifest(self, path: str, raw: bytes) -> Manifest:
        try:
            return load_manifest(raw)
        except SchemaError as error:
            raise EvidenceConflict("MANIFEST_UNREADABLE", f"{self._objects.url}/{path}: {error}") from None
