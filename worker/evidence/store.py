"""The evidence store: what is kept of every verification, each file written once."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import uuid4

from schemas.errors import SchemaError
from worker.errors import ConfigError, EvidenceConflict, EvidenceUnavailable
from worker.evidence import paths
from worker.evidence.manifest import dump_manifest, load_manifest
from worker.evidence.storage.backend import unsuitable
from worker.evidence.storage.bucket import ENVIRONMENT, Bucket
from worker.evidence.storage.local import LocalFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from worker.evidence.manifest import FileEntry, Manifest
    from worker.evidence.storage.backend import Objects

#: Writers of the probe that begin at once, and its size: about that of an answer.
PROBE_WRITERS: Final = 4
PROBE_BYTES: Final = 16 * 1024


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
        self._objects = _objects(url)

    def url(self, region: str, signature_id: str) -> str:
        """Where the evidence of a verification lies."""
        return f"{self._objects.url}/{paths.folder(region, signature_id)}"

    def keep_answer(self, region: str, signature_id: str, raw: bytes) -> bytes:
        """Keep the vendor's answer, and return what is kept, which may be an answer that came earlier.

        Decide on what this returns, never on `raw`: then two workers that got two answers decide alike.
        """
        return self._keep_first(paths.path(region, signature_id, paths.ANSWER), raw)

    def keep_unreadable(self, region: str, signature_id: str, raw: bytes) -> str:
        """Keep an answer that nobody could read, for a person to look at. Returns the name of its file."""
        name = f"unreadable-{hashlib.sha256(raw).hexdigest()[:16]}.bin"
        self.keep(region, signature_id, name, raw)
        return name

    @contextmanager
    def adding(self, region: str, signature_id: str) -> Iterator[Callable[[FileEntry, bytes], None]]:
        """Keep, in a block, files of a verification whose answer is kept: together, which costs less.

        They are kept at the end of the block. Where it raises, they may have to be brought again.
        Raises ``EvidenceConflict`` at the end where other bytes lie under one of their names.
        """
        folder, digests = paths.folder(region, signature_id), {}
        with self._objects.together(folder) as files:

            def add(entry: FileEntry, body: bytes) -> None:
                digests[paths.path(region, signature_id, entry.name)] = entry.sha256
                files.add(entry.name, body)

            yield add
        for path in (f"{folder}/{name}" for name in files.taken):
            if hashlib.sha256(self._kept(path)).hexdigest() != digests[path]:
                raise self._conflict(path)

    def keep_manifest(self, manifest: Manifest) -> Manifest:
        """Keep the manifest beside the answer, and return the one that is kept, which may have come earlier."""
        path = paths.path(manifest.region, manifest.signature_id, paths.MANIFEST)
        with self._objects.together(paths.folder(manifest.region, manifest.signature_id)) as files:
            files.add(paths.MANIFEST, dump_manifest(manifest))
        return self._manifest(path, self._kept(path)) if files.taken else manifest

    def keep(self, region: str, signature_id: str, name: str, body: bytes) -> None:
        """Keep one file. Raises ``EvidenceConflict`` where other bytes lie under its name."""
        path = paths.path(region, signature_id, name)
        if self._keep_first(path, body) != body:
            raise self._conflict(path)

    def answer(self, region: str, signature_id: str) -> bytes | None:
        """The vendor's answer as it was kept, None: there is none yet."""
        return self.read(region, signature_id, paths.ANSWER)

    def manifest(self, region: str, signature_id: str) -> Manifest | None:
        """The manifest, None: archiving is not over. Raises ``EvidenceConflict`` where it cannot be read."""
        path = paths.path(region, signature_id, paths.MANIFEST)
        raw = self._objects.read(path)
        return None if raw is None else self._manifest(path, raw)

    def read(self, region: str, signature_id: str, name: str) -> bytes | None:
        """The bytes of one file, None: it is not there."""
        return self._objects.read(paths.path(region, signature_id, name))

    def files(self, region: str, signature_id: str) -> tuple[StoredFile, ...]:
        """What is kept of one verification, by name; not what a killed process left half written."""
        folder = paths.folder(region, signature_id)
        found = (
            StoredFile(file.path.removeprefix(f"{folder}/"), file.kept_at)
            for file in self._objects.list(folder)
        )
        kept = (file for file in found if paths.FILE_NAME.fullmatch(file.name))
        return tuple(sorted(kept, key=lambda file: file.name))

    def settle(self, region: str, signature_id: str) -> None:
        """Make sure that what can be seen of a verification stays, also what another process put there."""
        self._objects.settle(paths.folder(region, signature_id))

    def usage(self) -> Usage:
        """How much evidence there is. Lists every file: for the demo's report, not for production."""
        sizes = [
            file.size_bytes
            for file in self._objects.list()
            if paths.FILE_NAME.fullmatch(file.path.rpartition("/")[2])
        ]
        return Usage(files=len(sizes), size_bytes=sum(sizes))

    def ledgers(self, region: str) -> tuple[str, ...]:
        """Identities of the ledgers that a region had, the newest last. See ``worker.evidence.ledger_identity``."""
        found: list[str] = []
        while (body := self._objects.read(paths.ledger(region, len(found) + 1))) is not None:
            found.append(body.decode(errors="replace"))
        return tuple(found)

    def keep_ledger(self, region: str, identity: str) -> str:
        """Keep the identity of a region's newest ledger, and return what is kept, which may be another's."""
        found = self.ledgers(region)
        if found[-1:] == (identity,):
            return identity
        self._objects.prepare()
        return self._keep_first(paths.ledger(region, len(found) + 1), identity.encode()).decode()

    def check(self) -> None:
        """Prove that files can be written, read back, and are written once; then remove the probe.

        Several writers create one name at once: one of them succeeds. A later writer is refused, and changes nothing.
        Raises ``EvidenceUnavailable`` where the store does not work, ``EvidenceUnsuitable`` where it replaces files.
        """
        self._objects.prepare()
        path = f"probe-{uuid4().hex}"
        bodies = [f"ekyc probe {number}\n".encode().ljust(PROBE_BYTES) for number in range(PROBE_WRITERS + 1)]
        with ThreadPoolExecutor(PROBE_WRITERS) as writers:
            created = list(writers.map(self._objects.create, repeat(path), bodies[:PROBE_WRITERS]))
        try:
            self._prove_written_once(path, bodies, created)
        finally:
            # A bucket with Object Lock keeps the probe, too, and is fit for evidence.
            with suppress(EvidenceUnavailable):
                self._objects.remove(path)

    def _prove_written_once(self, path: str, bodies: Sequence[bytes], created: Sequence[bool]) -> None:
        if created.count(True) > 1:
            raise unsuitable(
                self._objects.url, "of several writes of one name at once more than one succeeded"
            )
        kept = self._objects.read(path)
        if kept not in bodies or (any(created) and kept != bodies[created.index(True)]):
            raise EvidenceUnavailable(f"evidence written at {self._objects.url} cannot be read back")
        accepted = self._objects.create(path, bodies[-1])
        if accepted or self._objects.read(path) != kept:
            raise unsuitable(self._objects.url, "a second write of one name is accepted")

    def _keep_first(self, path: str, body: bytes) -> bytes:
        return body if self._objects.create(path, body) else self._kept(path)

    def _kept(self, path: str) -> bytes:
        kept = self._objects.read(path)
        if kept is None:
            raise EvidenceUnavailable(f"{self._objects.url}/{path} is being written or removed by others")
        return kept

    def _conflict(self, path: str) -> EvidenceConflict:
        return EvidenceConflict("OTHER_BYTES", f"{self._objects.url}/{path} holds other bytes already")

    def _manifest(self, path: str, raw: bytes) -> Manifest:
        try:
            return load_manifest(raw)
        except SchemaError as error:
            raise EvidenceConflict("MANIFEST_UNREADABLE", f"{self._objects.url}/{path}: {error}") from None


def _objects(url: str) -> Objects:
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError("EKYC_EVIDENCE_URL: give the place alone; secrets belong in the environment")
    if parts.scheme == "file":
        return LocalFolder(url, parts.netloc, parts.path)
    if parts.scheme not in ENVIRONMENT:
        raise ConfigError("EKYC_EVIDENCE_URL: give a file:///, s3://, gs:// or az:// URL")
    return Bucket(url, parts.scheme)
