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
    from worker.evidence.storage.backend import Backend

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


@dataclass(frozen=True, slots=True)
class VerificationEvidence:
    """The evidence of one verification; made by ``Evidence.of``, safe to share between threads.

    Each file is written once: writing the same bytes again changes nothing, other bytes are refused.
    Every method raises ``EvidenceUnavailable`` where the store cannot be read or written.

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
        """Keep the vendor's answer, and return what is kept, which may be an answer that came earlier.

        Decide on what this returns, never on `raw`: then two workers that got two answers decide alike.
        """
        return _keep_first(self._backend, self._path(paths.ANSWER), raw)

    def keep_unreadable(self, raw: bytes) -> str:
        """Keep an unreadable answer so that a person can look at it. Returns the name of its file."""
        name = f"unreadable-{hashlib.sha256(raw).hexdigest()[:16]}.bin"
        self.keep(name, raw)
        return name

    @contextmanager
    def adding(self) -> Iterator[Callable[[FileEntry, bytes], None]]:
        """Keep several files in one block, which costs less than one by one. The answer must be kept before.

        The files are kept at the end of the block. Where the block raises, they may have to be fetched again.
        Raises ``EvidenceConflict`` at the end where other bytes lie under one of their names.
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
        """Keep the manifest beside the answer, and return the one that is kept, which may have come earlier."""
        with self._backend.writing(self.folder) as files:
            files.add(paths.MANIFEST, dump_manifest(manifest))
        return self._manifest(_kept(self._backend, self._path(paths.MANIFEST))) if files.taken else manifest

    def keep(self, name: str, body: bytes) -> None:
        """Keep one file. Raises ``EvidenceConflict`` where other bytes lie under its name."""
        path = self._path(name)
        if _keep_first(self._backend, path, body) != body:
            raise self._conflict(path)

    def answer(self) -> bytes | None:
        """The vendor's answer as it was kept; None: there is none yet."""
        return self.read(paths.ANSWER)

    def manifest(self) -> Manifest | None:
        """The manifest; None: archiving has not ended. Raises ``EvidenceConflict`` where it cannot be read."""
        raw = self.read(paths.MANIFEST)
        return None if raw is None else self._manifest(raw)

    def read(self, name: str) -> bytes | None:
        """The bytes of one file; None: it is not there."""
        return self._backend.read(self._path(name))

    def files(self) -> tuple[StoredFile, ...]:
        """The files that are kept, sorted by name, without what a killed process left half written."""
        found = (
            StoredFile(file.path.removeprefix(f"{self.folder}/"), file.kept_at)
            for file in self._backend.list(self.folder)
        )
        kept = (file for file in found if paths.FILE_NAME.fullmatch(file.name))
        return tuple(sorted(kept, key=lambda file: file.name))

    def sync(self) -> None:
        """Make every file that is visible survive a power cut, also where another process wrote it."""
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
    """The evidence of all verifications under one URL; safe to share between threads.

    Raises ``ConfigError`` for a URL that cannot be used. Every method but `of` raises ``EvidenceUnavailable`` where
    the store cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        self._backend = _backend(url)

    def of(self, region: str, signature_id: str) -> VerificationEvidence:
        """The evidence of one verification. Raises ``InvalidInput`` for an id that could leave its folder."""
        folder = paths.folder(region, signature_id)
        return VerificationEvidence(region, signature_id, folder, self._backend)

    def usage(self) -> Usage:
        """How much evidence there is. Lists every file: for the demo's report, not for production."""
        sizes = [
            file.size_bytes
            for file in self._backend.list()
            if paths.FILE_NAME.fullmatch(file.path.rpartition("/")[2])
        ]
        return Usage(files=len(sizes), size_bytes=sum(sizes))

    def ledgers(self, region: str) -> tuple[str, ...]:
        """Identities of the ledgers that a region had, the newest last. See ``worker.evidence.ledger_identity``."""
        found: list[str] = []
        while (body := self._backend.read(paths.ledger(region, len(found) + 1))) is not None:
            found.append(body.decode(errors="replace"))
        return tuple(found)

    def keep_ledger(self, region: str, identity: str) -> str:
        """Keep the identity of a region's newest ledger, and return what is kept, which may be another's."""
        found = self.ledgers(region)
        if found[-1:] == (identity,):
            return identity
        self._backend.prepare()
        path = paths.ledger(region, len(found) + 1)
        return _keep_first(self._backend, path, identity.encode()).decode()

    def check(self) -> None:
        """Prove that files can be written, read back, and are written once; then remove the probe.

        Several writers create one name at once: one of them succeeds. A later writer is refused, and changes nothing.
        Raises ``EvidenceUnavailable`` where the store does not work, ``EvidenceUnsuitable`` where it replaces files.
        """
        self._backend.prepare()
        path = f"probe-{uuid4().hex}"
        bodies = [f"ekyc probe {number}\n".encode().ljust(PROBE_BYTES) for number in range(PROBE_WRITERS + 1)]
        with ThreadPoolExecutor(PROBE_WRITERS) as writers:
            created = list(writers.map(self._backend.create, repeat(path), bodies[:PROBE_WRITERS]))
        try:
            self._prove_written_once(path, bodies, created)
        finally:
            # A bucket with Object Lock keeps the probe, too, and is fit for evidence.
            with suppress(EvidenceUnavailable):
                self._backend.remove(path)

    def _prove_written_once(self, path: str, bodies: Sequence[bytes], created: Sequence[bool]) -> None:
        if created.count(True) > 1:
            raise unsuitable(
                self._backend.url, "of several writes of one name at once more than one succeeded"
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
        raise EvidenceUnavailable(f"{backend.url}/{path} is being written or removed by others")
    return kept


def _backend(url: str) -> Backend:
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError("EKYC_EVIDENCE_URL: give the place alone; secrets belong in the environment")
    if parts.scheme == "file":
        return LocalFolder(url, parts.netloc, parts.path)
    if parts.scheme not in ENVIRONMENT:
        raise ConfigError("EKYC_EVIDENCE_URL: give a file:///, s3://, gs:// or az:// URL")
    return Bucket(url, parts.scheme)
