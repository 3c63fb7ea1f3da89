"""The evidence store: the files of every verification, each written once."""

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
    from worker.evidence.storage.backend import Backend

#: Concurrent writers of the probe, and its size, about that of an answer.
PROBE_WRITERS: Final = 4
PROBE_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a verification as the store lists it."""

    name: str
    kept_at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """The amount of evidence."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class VerificationEvidence:
    """The evidence of one verification, created by ``Evidence.of``. Thread-safe.

    Each file is written once: writing the same bytes again changes nothing, other bytes are refused.
    Every method raises ``EvidenceUnavailable`` if the store cannot be read or written.

    Parameters:
        folder: its path relative to the evidence URL.
    """

    region: str
    signature_id: str
    folder: str
    _backend: Backend

    @property
    def url(self) -> str:
        """The URL of the folder."""
        return f"{self._backend.url}/{self.folder}"

    def keep_answer(self, raw: bytes) -> bytes:
        """Store the vendor's answer, and return the stored answer, which may be an earlier one.

        Decide by the returned bytes, never by `raw`: then two workers with different answers decide alike.
        """
        return _keep_first(self._backend, self._path(paths.ANSWER), raw)

    def keep_unreadable(self, raw: bytes) -> str:
        """Store an unreadable answer for a person to look at. Returns its file name."""
        name = f"unreadable-{hashlib.sha256(raw).hexdigest()[:16]}.bin"
        self.keep(name, raw)
        return name

    @contextmanager
    def adding(self) -> Iterator[Callable[[FileEntry, bytes], None]]:
        """Store several files in one block, which costs less than one by one. The answer must be stored before.

        The files are durable at the end of the block. If the block raises, they may have to be fetched again.
        Raises ``EvidenceConflict`` at the end if the store holds other bytes under one of the names.
        """
        digests: dict[str, str] = {}
        with self._backend.writing(self.folder) as files:

            def add(entry: FileEntry, body: bytes) -> None:
                self._path(entry.name)
                digests[entry.name] = entry.sha256
                files.add(entry.name, body)

            yield add
        for name in files.taken:
            path = self._path(name)
            if hashlib.sha256(_kept(self._backend, path)).hexdigest() != digests[name]:
                raise self._conflict(path)

    def keep_manifest(self, manifest: Manifest) -> Manifest:
        """Store the manifest beside the answer, and return the stored manifest, which may be an earlier one."""
        with self._backend.writing(self.folder) as files:
            files.add(paths.MANIFEST, dump_manifest(manifest))
        return self._manifest(_kept(self._backend, self._path(paths.MANIFEST))) if files.taken else manifest

    def keep(self, name: str, body: bytes) -> None:
        """Store one file. Raises ``EvidenceConflict`` if the store holds other bytes under its name."""
        path = self._path(name)
        if _keep_first(self._backend, path, body) != body:
            raise self._conflict(path)

    def answer(self) -> bytes | None:
        """Return the stored answer of the vendor; None: there is none yet."""
        return self.read(paths.ANSWER)

    def manifest(self) -> Manifest | None:
        """Return the manifest; None: archiving has not ended. Raises ``EvidenceConflict`` if it cannot be parsed."""
        raw = self.read(paths.MANIFEST)
        return None if raw is None else self._manifest(raw)

    def read(self, name: str) -> bytes | None:
        """Return the bytes of one file; None: it does not exist."""
        return self._backend.read(self._path(name))

    def files(self) -> tuple[StoredFile, ...]:
        """Return the stored files, sorted by name, without the temporary files of a killed process."""
        found = (
            StoredFile(file.path.removeprefix(f"{self.folder}/"), file.kept_at)
            for file in self._backend.list(self.folder)
        )
        kept = (file for file in found if paths.FILE_NAME.fullmatch(file.name))
        return tuple(sorted(kept, key=lambda file: file.name))

    def sync(self) -> None:
        """Make all visible files durable against a power cut, including those of other processes."""
        self._backend.sync(self.folder)

    def _path(self, name: str) -> str:
        return f"{self.folder}/{paths.file_name(name)}"

    def _conflict(self, path: str) -> EvidenceConflict:
        return EvidenceConflict("OTHER_BYTES", f"{self._backend.url}/{path} holds other bytes already")

    def _manifest(self, raw: bytes) -> Manifest:
        try:
            return load_manifest(raw)
        except SchemaError as error:
            raise EvidenceConflict("MANIFEST_UNREADABLE", f"{self.url}/{paths.MANIFEST}: {error}") from None


class Evidence:
    """The evidence of all verifications under one URL. Thread-safe.

    Raises ``ConfigError`` for a URL that cannot be used. Every method except `of` raises ``EvidenceUnavailable`` if the
    store cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        self._backend = _backend(url)

    def of(self, region: str, signature_id: str) -> VerificationEvidence:
        """Return the evidence of one verification. Raises ``InvalidInput`` for an id that could leave its folder."""
        folder = paths.folder(region, signature_id)
        return VerificationEvidence(region, signature_id, folder, self._backend)

    def usage(self) -> Usage:
        """Return the amount of evidence. Lists every file: for the demo's report, not for production."""
        sizes = [
            file.size_bytes
            for file in self._backend.list()
            if paths.FILE_NAME.fullmatch(file.path.rpartition("/")[2])
        ]
        return Usage(files=len(sizes), size_bytes=sum(sizes))

    def ledgers(self, region: str) -> tuple[str, ...]:
        """Return the identities of a region's ledgers, the newest last. See ``worker.evidence.ledger_identity``."""
        found: list[str] = []
        while (body := self._backend.read(paths.ledger(region, len(found) + 1))) is not None:
            found.append(body.decode(errors="replace"))
        return tuple(found)

    def keep_ledger(self, region: str, identity: str) -> str:
        """Store the identity of a region's newest ledger, and return the stored one, possibly of another worker."""
        found = self.ledgers(region)
        if found[-1:] == (identity,):
            return identity
        self._backend.prepare()
        path = paths.ledger(region, len(found) + 1)
        return _keep_first(self._backend, path, identity.encode()).decode()

    def check(self) -> None:
        """Check that files can be written and read back, and are written once; then remove the probe.

        Several writers create one name at once, and one of them must succeed. A later writer must be refused, without a
        change. Raises ``EvidenceUnavailable`` if the store does not work, ``EvidenceUnsuitable`` if it replaces files.
        """
        self._backend.prepare()
        path = f"probe-{uuid4().hex}"
        bodies = [f"ekyc probe {number}\n".encode().ljust(PROBE_BYTES) for number in range(PROBE_WRITERS + 1)]
        with ThreadPoolExecutor(PROBE_WRITERS) as writers:
            created = list(writers.map(self._backend.create, repeat(path), bodies[:PROBE_WRITERS]))
        try:
            self._prove_written_once(path, bodies, created)
        finally:
            # A bucket with Object Lock does not remove the probe, but is suitable for evidence.
            with suppress(EvidenceUnavailable):
                self._backend.remove(path)

    def _prove_written_once(self, path: str, bodies: Sequence[bytes], created: Sequence[bool]) -> None:
        if created.count(True) > 1:
            raise unsuitable(
                self._backend.url, "more than one of several concurrent writes of one name succeeded"
            )
        kept = self._backend.read(path)
        if kept not in bodies or (any(created) and kept != bodies[created.index(True)]):
            raise EvidenceUnavailable(f"evidence written at {self._backend.url} cannot be read back")
        accepted = self._backend.create(path, bodies[-1])
        if accepted or self._backend.read(path) != kept:
            raise unsuitable(self._backend.url, "a second write of one name is accepted")


def _keep_first(backend: Backend, path: str, body: bytes) -> bytes:
    return body if backend.create(path, body) else _kept(backend, path)


def _kept(backend: Backend, path: str) -> bytes:
    kept = backend.read(path)
    if kept is None:
        raise EvidenceUnavailable(f"another process is writing or removing {backend.url}/{path}")
    return kept


def _backend(url: str) -> Backend:
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError("EKYC_EVIDENCE_URL: give the location only; secrets belong in the environment")
    if parts.scheme == "file":
        return LocalFolder(url, parts.netloc, parts.path)
    if parts.scheme not in ENVIRONMENT:
        raise ConfigError("EKYC_EVIDENCE_URL: give a file:///, s3://, gs:// or az:// URL")
    return Bucket(url, parts.scheme)
