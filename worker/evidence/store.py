"""The evidence store: the files of every verification, each written once."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import groupby, repeat
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from schemas.errors import SchemaError
from worker.enqueue_request import SIGNATURE_ID
from worker.errors import (
    ConfigError,
    EvidenceConflict,
    EvidenceErased,
    EvidenceKeyUnknown,
    EvidenceUnavailable,
    EvidenceUnsuitable,
    InvalidInput,
)
from worker.evidence import paths
from worker.evidence.data_keys import DataKeys, not_configured, wrapper_of
from worker.evidence.decision_record import dump_record, load_record
from worker.evidence.lifecycle import Lifecycle
from worker.evidence.manifest import dump_manifest, load_manifest
from worker.evidence.review import MOST, dump_review, load_review
from worker.evidence.sealing import NotOpened, Origin, is_sealed
from worker.evidence.storage.backend import PROBE, STAGED, busy, keep_first, unsuitable
from worker.evidence.storage.bucket import ENVIRONMENT, Bucket
from worker.evidence.storage.local import LocalFolder
from worker.evidence.storage.s3 import ObjectLock, S3Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from worker.evidence.decision_record import DecisionRecord
    from worker.evidence.manifest import FileEntry, Manifest
    from worker.evidence.review import Review
    from worker.evidence.sealing import DataKey
    from worker.evidence.storage.backend import Backend, FolderWriter, Found
    from worker.settings import Settings

_NO_OPTIONS: Final = S3Options()

#: Concurrent writers of the probe, and its size, about that of an answer.
PROBE_WRITERS: Final = 4
PROBE_BYTES: Final = 16 * 1024

#: Why a file with the name of a review is none.
_NO_REVIEW: Final = {
    EvidenceConflict.PLAIN_BYTES,
    EvidenceConflict.SEALED_BYTES,
    "REVIEW_UNREADABLE",
}

#: Attempts at encrypting a folder whose key other processes change meanwhile.
TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a verification as the store lists it."""

    name: str
    kept_at: datetime
    #: As it is stored: a file that is encrypted is larger.
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, and who wrote it. Without keys nobody can know that, so all files count as written by us."""

    body: bytes
    origin: Origin

    @property
    def may_be_planted(self) -> bool:
        """Whether it may be of anybody who can write the store: it was plain when a worker with keys came.

        Not: when a rotation encrypted it.
        """
        return self.origin is Origin.FOUND


@dataclass(frozen=True, slots=True)
class Usage:
    """The amount of evidence."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class VerificationEvidence:
    """The evidence of one verification, created by ``Evidence.of``. Thread-safe.

    Each file is written once: writing the same bytes again changes nothing, other bytes are refused. With keys, files
    are encrypted in the store and plain here, also in a folder whose earlier files were written without keys.

    Every method raises ``EvidenceUnavailable`` if the store cannot be read or written, ``EvidenceConflict`` if an
    encrypted file does not open, and ``EvidenceErased`` if it was erased.

    Parameters:
        folder: its path relative to the evidence URL.
    """

    region: str
    signature_id: str
    folder: str
    _backend: Backend
    keys: DataKeys

    @property
    def url(self) -> str:
        """The URL of the folder."""
        return f"{self._backend.url}/{self.folder}"

    def keep_answer(self, raw: bytes) -> bytes:
        """Store the vendor's answer, and return the stored answer, which may be an earlier one.

        Decide by the returned bytes, never by `raw`: then two workers with different answers decide alike.
        """
        return self._keep_first(paths.ANSWER, raw)

    def keep_unreadable(self, raw: bytes) -> str:
        """Store an unreadable answer for a person to look at. Returns its file name."""
        name = f"unreadable-{hashlib.sha256(raw).hexdigest()[:16]}.bin"
        self.keep(name, raw)
        return name

    def keep_decision(self, record: DecisionRecord) -> DecisionRecord:
        """Store the decision, and return the stored one, which may be an earlier one: that one counts.

        One that may be planted gives way if it has the same result. Raises ``EvidenceConflict`` if it has another.
        """
        raw = dump_record(record)
        kept = self._keep_first(paths.DECISION, raw)
        if kept == raw:
            return record
        stored = self._decision(kept)
        if not self.may_be_planted(paths.DECISION):
            return stored
        if (stored.decision.id, stored.region, stored.signature_id, stored.essence) != (
            *(record.decision.id, record.region, record.signature_id, record.essence),
        ):
            raise EvidenceConflict(
                EvidenceConflict.MAY_BE_PLANTED,
                f"{self.url}/{paths.DECISION} has another decision, and was not stored by a worker with keys",
            )
        self.replace_planted(paths.DECISION, raw)
        return record

    def keep_review(self, review: Review) -> Review:
        """Store a review under the next free number, and return the stored one. One with its id is stored only once.

        Raises ``InvalidInput`` if there are too many reviews already.
        """
        self.keys.check_erased(self.folder)
        body = dump_review(review)
        for number in range(1, MOST + 1):
            name = paths.review(number)
            try:
                kept = self._keep_first(name, body, has_ended=True)
                if kept == body:
                    # An erasure may have listed the files before this one was there.
                    self._recheck([name])
                stored = self._review(name, kept)
            except EvidenceConflict as error:
                if error.reason not in _NO_REVIEW:
                    raise
                continue  # a file that is none of ours must not keep others out
            if stored.id == review.id:
                return stored
        raise InvalidInput(f"{self.region}/{self.signature_id} has {MOST} reviews: no more are stored")

    def withdraw_review(self, review: Review) -> None:
        """Remove a stored review of a verification that is being erased. A locked bucket keeps it."""
        with suppress(EvidenceUnavailable):
            self._backend.remove(self._path(paths.review(review.number)))

    @contextmanager
    def adding(self) -> Iterator[Adding]:
        """Store several files in one block, which costs less than one by one. The answer must be stored before.

        The files are durable at the end of the block. If the block raises, they may have to be fetched again.
        Raises ``EvidenceConflict`` at the end if the store holds other bytes under one of the names.
        """
        with self._writing() as files:
            adding = Adding(files)
            yield adding
        for name in files.taken:
            if name == paths.MANIFEST:
                continue
            kept = self._kept(name)
            if hashlib.sha256(kept).hexdigest() != adding.digests[name]:
                raise self._conflict(name)
            if self.may_be_planted(name):
                self.replace_planted(name, kept)
        if adding.manifest is not None and files.taken:
            is_there = paths.MANIFEST in files.taken
            adding.manifest = (self._earlier if is_there else self.keep_manifest)(adding.manifest)

    def keep_manifest(self, manifest: Manifest) -> Manifest:
        """Store the manifest beside the answer, and return the stored manifest, which may be an earlier one."""
        with self._writing() as files:
            files.add(paths.MANIFEST, dump_manifest(manifest))
        return self._earlier(manifest) if files.taken else manifest

    def _earlier(self, manifest: Manifest) -> Manifest:
        """Return the manifest that was there before `manifest`. One that may be planted gives way."""
        if self.may_be_planted(paths.MANIFEST):
            self.replace_planted(paths.MANIFEST, dump_manifest(manifest))
            return manifest
        return self._manifest(self._kept(paths.MANIFEST))

    def keep(self, name: str, body: bytes) -> None:
        """Store one file. Raises ``EvidenceConflict`` if the store holds other bytes under its name."""
        if self._keep_first(name, body) != body:
            raise self._conflict(name)

    def answer(self) -> bytes | None:
        """Return the stored answer of the vendor; None: there is none yet."""
        return self.read(paths.ANSWER)

    def manifest(self) -> Manifest | None:
        """Return the manifest; None: archiving has not ended. Raises ``EvidenceConflict`` if it cannot be parsed."""
        raw = self.read(paths.MANIFEST)
        return None if raw is None else self._manifest(raw)

    def decision(self) -> DecisionRecord | None:
        """Return the decision; None: there is none yet. Raises ``EvidenceConflict`` if it cannot be parsed."""
        raw = self.read(paths.DECISION)
        return None if raw is None else self._decision(raw)

    def reviews(self) -> tuple[Review, ...]:
        """Return all reviews, the newest last. Raises ``EvidenceConflict`` if one cannot be parsed."""
        names = (file.name for file in self.files() if paths.review_number(file.name) is not None)
        return tuple(found for name in names if (found := self.review(name)) is not None)

    def review(self, name: str) -> Review | None:
        """Return the review that a file holds; None: there is no such file. Raises as `reviews`."""
        raw = self.read(name)
        return None if raw is None else self._review(name, raw)

    def read(self, name: str) -> bytes | None:
        """Return the bytes of one file; None: it does not exist.

        Raises ``EvidenceConflict`` for a decision or a review that may be planted beside an answer that a process with
        keys wrote: after that, nobody without keys writes there.
        """
        found = self.content(name)
        if found is None:
            return None
        if found.may_be_planted and (name == paths.DECISION or paths.review_number(name) is not None):
            answer = self.content(paths.ANSWER)
            if answer and answer.origin is Origin.WRITTEN:
                raise EvidenceConflict(
                    EvidenceConflict.MAY_BE_PLANTED,
                    f"{self.url}/{name} was not encrypted, and the answer beside it was: "
                    "remove it, and find out who stored it",
                )
        return found.body

    def content(self, name: str) -> Content | None:
        """Return what one file holds, and who wrote it; None: it does not exist."""
        raw = self._backend.read(self._path(name))
        return None if raw is None else self._looked_at(name, raw)

    def may_be_planted(self, name: str) -> bool:
        """Whether a file exists and may be of anybody who can write the store: see `Content`."""
        if not self.keys.are_on:
            return False
        found = self.content(name)
        return found is not None and found.may_be_planted

    def is_ours(self, name: str) -> bool:
        """Whether a process with keys wrote a file. Without keys, nobody can know that."""
        found = self.content(name) if self.keys.are_on else None
        return found is not None and found.origin is Origin.WRITTEN

    def encrypt_plain(self) -> None:
        """Encrypt plain files, as what may be planted. From now on workers without keys leave this folder to others."""
        self._data_key()

    def replace_planted(self, name: str, body: bytes) -> None:
        """Replace a file that may be planted by other bytes."""
        data_key, raw = self._data_key(), self._raw(name)
        if (
            data_key is None
            or not self._looked_at(name, raw).may_be_planted
            or not self._backend.replace(self._path(name), data_key.seal(name, body), expected=raw)
        ):
            raise busy(f"{self.url}/{name}")

    def files(self) -> tuple[StoredFile, ...]:
        """Return the stored files, sorted by name, without `key.json` and the temporary files of a killed process."""
        return tuple(file for file in self._listed() if file.name != paths.KEY)

    def remove_leftovers(self, *, before: datetime) -> None:
        """Remove temporary files that killed writers left before that time. They may be plain."""
        for file in tuple(self._backend.list(self.folder)):
            if file.path.rpartition("/")[2].startswith(STAGED) and file.kept_at < before:
                self._backend.remove(file.path)

    def sync(self) -> None:
        """Make all visible files durable against a power cut, including those of other processes."""
        self._backend.sync(self.folder)

    def _listed(self) -> list[StoredFile]:
        return sorted(
            (each for file in self._backend.list(self.folder) if (each := _stored(file)) is not None),
            key=lambda file: file.name,
        )

    # Writing.

    def _keep_first(self, name: str, body: bytes, *, has_ended: bool = False) -> bytes:
        """Store one file, and return the stored one, which may be an earlier one.

        `has_ended`: its verification has ended, so that plain files stay as they are until a rotation.
        """
        path = self._path(name)
        data_key, is_new = self._first_key()
        if data_key and data_key.plain and not has_ended:
            data_key = self._encrypted()
        if is_new:
            return self._keep_with_new_key(name, body)
        if not self._backend.create(path, data_key.seal(name, body) if data_key else body):
            return self._kept(name)
        if data_key is None:
            self._recheck([name])
        return body

    def _keep_with_new_key(self, name: str, body: bytes) -> bytes:
        """Store the first file of a verification, and its key. Another writer may be first with either."""
        data_key, wrapped = self.keys.new(self.folder)
        file = (name, data_key.seal(name, body))
        if self.keys.beside:
            # In one block, which waits for the disk once.
            taken = self._backend.create_all(self.folder, [(paths.KEY, wrapped), file])
        elif self.keys.create(self.folder, wrapped):
            taken = self._backend.create_all(self.folder, [file])
        else:
            taken = [paths.KEY]
        if paths.KEY in taken:
            if self.keys.find(self.folder, fresh=True) is None:
                raise busy(f"{self.keys.url}/{self.folder}/{paths.KEY}")
            return self._keep_first(name, body)
        self.keys.remember(self.folder, data_key)
        if not taken:
            return body
        if not is_sealed(self._raw(name)):
            # It was stored in between, by a worker without keys or by somebody else.
            self.keys.replace(self.folder, self.keys.wrapped(data_key.as_plain()), expected=wrapped)
            self._encrypted()
        return self._kept(name)

    @contextmanager
    def _writing(self) -> Iterator[FolderWriter]:
        """Write files, in a block, into a folder in which a file was stored before."""
        with self._backend.writing(self.folder) as files:
            sealing = _SealingWriter(files, self._data_key)
            yield sealing
        sealing.taken = files.taken
        # The last file is not written if another name was taken.
        not_written = {*files.taken, sealing.last} if files.taken else ()
        if written := [name for name in sealing.plain if name not in not_written]:
            self._recheck(written)

    def _data_key(self) -> DataKey | None:
        """Return the key for writing; None: nothing is encrypted here."""
        if not self.keys.are_on:
            return None
        data_key = self.keys.find(self.folder) or self._late_key()
        return self._encrypted() if data_key.plain else data_key

    def _first_key(self) -> tuple[DataKey | None, bool]:
        """Return the key for a file that may be the first of its verification, and whether a new key is needed."""
        if not self.keys.are_on:
            return None, False
        if data_key := self.keys.remembered(self.folder):
            return data_key, False
        if not self.keys.beside and (data_key := self.keys.find(self.folder)):
            self.keys.sync(self.folder)  # in a folder of the evidence, writing the file itself does so
            return data_key, False
        names = {file.name for file in self._listed()} - paths.MARKS
        if paths.KEY in names:
            return self.keys.find(self.folder), False
        return (self._late_key(), False) if names else (None, True)

    def _late_key(self) -> DataKey:
        """Create the key of a folder whose files were written without keys, or planted: what follows is encrypted.

        With its mark the plain files can be read until they are encrypted.
        """
        names = {file.name for file in self._listed()} - paths.MARKS - {paths.KEY}
        if names:
            self.read(min(names))  # raises if the key is not missing, but lost
        data_key, wrapped = self.keys.new(self.folder, plain=bool(names))
        if not self.keys.create(self.folder, wrapped):
            # Of another writer, or a tombstone, for which this raises.
            found = self.keys.find(self.folder, fresh=True)
            if found is None:
                raise busy(f"{self.keys.url}/{self.folder}/{paths.KEY}")
            return found
        self.keys.remember(self.folder, data_key)
        return data_key

    def _recheck(self, names: Sequence[str]) -> None:
        """Look once more after files were written without keys, or late: the folder may have been erased meanwhile.

        It may also have been encrypted. Who erases or encrypts first writes `key.json`, and then lists the files. So
        either that listing has these files, or this look finds `key.json`.
        """
        try:
            self.keys.find(self.folder, fresh=True)
        except (EvidenceErased, EvidenceKeyUnknown):
            for name in names:
                # A bucket with Object Lock does not remove them.
                with suppress(EvidenceUnavailable):
                    self._backend.remove(self._path(name))
            raise

    def _encrypted(self) -> DataKey:
        """Encrypt the plain files of a folder with the mark `plain`, as what may be planted. Returns its key.

        Otherwise the mark would let everybody replace an encrypted file by a plain one.
        """
        for _ in range(TRIES):
            raw = self.keys.read(self.folder)
            data_key = self.keys.find(self.folder, fresh=True)
            if raw is None or data_key is None:
                break
            if not data_key.plain or self.encrypt_all(data_key, raw, Origin.FOUND):
                return data_key.as_plain(plain=False)
        raise busy(f"{self.keys.url}/{self.folder}/{paths.KEY}")

    def encrypt_all(self, data_key: DataKey, record: bytes, origin: Origin) -> bool:
        """Encrypt every plain file, then remove the mark `plain`. False: `key.json` is not `record` any more.

        The marks of retention stay plain: they are read without a key.
        """
        found = True
        while found:  # until nothing plain is left
            names = [file.name for file in self.files() if file.name not in paths.MARKS]
            found = any([self.encrypt(name, data_key, origin) for name in names])  # noqa: C419 - all of them
        return self.keys.replace(
            self.folder, self.keys.wrapped(data_key.as_plain(plain=False)), expected=record
        )

    def encrypt(self, name: str, data_key: DataKey, origin: Origin) -> bool:
        """Replace a plain file by its encrypted form. False: it is encrypted already, or gone."""
        raw = self._backend.read(self._path(name))
        return (
            raw is not None
            and not is_sealed(raw)
            and self._backend.replace(
                self._path(name), data_key.seal(name, raw, origin), expected=raw, keeps_time=True
            )
        )

    def decrypt_marks(self) -> None:
        """Make the marks plain that older workers and commands have encrypted.

        Raises ``EvidenceKeyUnknown`` without the key of one, and ``EvidenceConflict`` for one that does not open.
        """
        for name in (paths.CLOSED, paths.HOLD):
            raw = self._backend.read(self._path(name))
            if raw is not None and is_sealed(raw):
                # If it was changed meanwhile, it is plain already.
                self._backend.replace(self._path(name), self._opened(name, raw), expected=raw)

    # Reading.

    def _raw(self, name: str) -> bytes:
        path = self._path(name)
        raw = self._backend.read(path)
        if raw is None:
            raise busy(f"{self._backend.url}/{path}")
        return raw

    def _kept(self, name: str) -> bytes:
        return self._opened(name, self._raw(name))

    def _opened(self, name: str, raw: bytes) -> bytes:
        return self._looked_at(name, raw).body

    def _looked_at(self, name: str, raw: bytes) -> Content:
        if not self.keys.are_on:
            record = self.keys.check_erased(self.folder)
            if is_sealed(raw):
                raise not_configured(self._path(name), record)
            return Content(raw, Origin.WRITTEN)
        try:
            return self._opened_with(self.keys.find(self.folder), name, raw)
        except EvidenceConflict:
            # The remembered key may be out of date.
            return self._opened_with(self.keys.find(self.folder, fresh=True), name, raw)

    def _opened_with(self, data_key: DataKey | None, name: str, raw: bytes) -> Content:
        place = f"{self._backend.url}/{self._path(name)}"
        if not is_sealed(raw):
            if data_key is None or data_key.plain:
                return Content(raw, Origin.FOUND)
            raise EvidenceConflict(
                EvidenceConflict.PLAIN_BYTES,
                f"{place} is not encrypted, and its {paths.KEY} says that it is: restore it from a backup",
            )
        if data_key is None:
            raise EvidenceConflict(
                EvidenceConflict.KEY_MISSING,
                f"{place} is encrypted, and its key at {self.keys.url}/{self.folder}/{paths.KEY} is gone: "
                "restore that from a backup, or check EKYC_EVIDENCE_KEYS_URL",
            )
        try:
            return Content(*data_key.opened(name, raw))
        except NotOpened as error:
            raise EvidenceConflict(
                EvidenceConflict.SEALED_BYTES,
                f"{place} does not open, because it is {error}: restore it from a backup",
            ) from None

    def _path(self, name: str) -> str:
        return f"{self.folder}/{paths.file_name(name)}"

    def _conflict(self, name: str) -> EvidenceConflict:
        return EvidenceConflict("OTHER_BYTES", f"{self.url}/{name} holds other bytes already")

    def _manifest(self, raw: bytes) -> Manifest:
        try:
            return load_manifest(raw)
        except SchemaError as error:
            raise EvidenceConflict("MANIFEST_UNREADABLE", f"{self.url}/{paths.MANIFEST}: {error}") from None

    def _decision(self, raw: bytes) -> DecisionRecord:
        try:
            return load_record(raw)
        except SchemaError as error:
            raise EvidenceConflict("DECISION_UNREADABLE", f"{self.url}/{paths.DECISION}: {error}") from None

    def _review(self, name: str, raw: bytes) -> Review:
        try:
            found = load_review(raw, paths.review_number(name) or 0)
        except ValueError as error:
            raise EvidenceConflict(
                "REVIEW_UNREADABLE", f"{self.url}/{name} cannot be read ({error}): restore it from a backup"
            ) from None
        if (found.region, found.signature_id) != (self.region, self.signature_id):
            raise EvidenceConflict("REVIEW_UNREADABLE", f"{self.url}/{name} is of another verification")
        return found


class Adding:
    """Adds files to the evidence of one verification, in a block: see ``VerificationEvidence.adding``."""

    def __init__(self, files: FolderWriter) -> None:
        self._files = files
        #: The hashes of the files by their names.
        self.digests: dict[str, str] = {}
        #: After the block, the stored manifest, which may be an earlier one. None: none was added.
        self.manifest: Manifest | None = None

    def __call__(self, entry: FileEntry, body: bytes) -> None:
        """Add a file."""
        self.digests[entry.name] = entry.sha256
        self._files.add(entry.name, body)

    def seal(self, manifest: Manifest) -> None:
        """Add the manifest, as the last file. It is visible once all files are durable."""
        self.manifest = manifest
        self._files.add_last(paths.MANIFEST, dump_manifest(manifest))


class _SealingWriter:
    """Seals files on their way into a folder. The data key is looked for once, when the first file arrives.

    `plain`: the names that were written plain, because there are no keys.
    """

    def __init__(self, files: FolderWriter, data_key: Callable[[], DataKey | None]) -> None:
        self.taken: list[str] = []
        self.plain: list[str] = []
        self.last = ""
        self._files = files
        self._find = data_key
        self._found = False
        self._data_key: DataKey | None = None

    def add(self, name: str, body: bytes) -> None:
        self._files.add(name, self._sealed(name, body))

    def add_last(self, name: str, body: bytes) -> None:
        self.last = name
        self._files.add_last(name, self._sealed(name, body))

    def _sealed(self, name: str, body: bytes) -> bytes:
        paths.file_name(name)
        if not self._found:
            self._data_key, self._found = self._find(), True
        if self._data_key is None:
            self.plain.append(name)
        return self._data_key.seal(name, body) if self._data_key else body


class Evidence:
    """The evidence of all verifications under one URL. Thread-safe.

    Raises ``ConfigError`` for a URL or keys that cannot be used. Every method except `of` raises
    ``EvidenceUnavailable`` if the store cannot be read or written.

    Parameters:
        keys: the text of EKYC_EVIDENCE_KEYS; empty: nothing is encrypted.
        keys_url: where the objects `key.json` are; empty: in the folders of the evidence.
        s3: what S3 does with each object.
        is_patient: a bucket that is busy is asked for a minute: for commands, which hold no lease.
        creates: create a local folder that does not exist, as workers do.
        must_exist: for commands that work on what is stored. A local folder that does not exist raises ``ConfigError``
            and is not created: a mistyped URL must not look like an empty store. Nor must a disk that is not mounted:
            an empty folder raises ``ConfigError``, too.
        may_be_empty: with `must_exist`, for what works on an empty folder as well.
    """

    def __init__(  # noqa: PLR0913 - one a setting
        self,
        url: str,
        *,
        keys: str = "",
        keys_url: str = "",
        s3: S3Options = _NO_OPTIONS,
        is_patient: bool = False,
        creates: bool = True,
        must_exist: bool = False,
        may_be_empty: bool = False,
    ) -> None:
        how = _How(is_patient=is_patient, make=creates and not must_exist)
        self._backend = _backend(url, s3, how)
        if must_exist and isinstance(self._backend, LocalFolder) and self._backend.is_missing:
            raise ConfigError(
                f"EKYC_EVIDENCE_URL: there is no folder {unquote(urlsplit(url).path)}: give the workers' setting"
            )
        if must_exist and not may_be_empty and self.is_empty:
            raise ConfigError(
                f"EKYC_EVIDENCE_URL: the folder {unquote(urlsplit(url).path)} is empty: mount its disk, or give the "
                "workers' setting"
            )
        beside = not keys_url or keys_url.rstrip("/") == url.rstrip("/")
        self._keys_backend = self._backend if beside else _keys_backend(keys_url, s3, how)
        self.keys = DataKeys(self._keys_backend, beside=beside, wrapper=wrapper_of(keys))

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        is_patient: bool = False,
        creates: bool = True,
        must_exist: bool = False,
        may_be_empty: bool = False,
    ) -> Evidence:
        """Return the evidence that the settings name. Raises ``ConfigError``."""
        settings.require_evidence()
        lock = ObjectLock(settings.evidence_lock, days) if (days := settings.evidence_lock_days) else None
        return cls(
            settings.evidence_url,
            keys=settings.evidence_keys,
            keys_url=settings.evidence_keys_url,
            s3=S3Options(settings.evidence_sse, settings.evidence_sse_key, lock),
            is_patient=is_patient,
            creates=creates,
            must_exist=must_exist,
            may_be_empty=may_be_empty,
        )

    @property
    def url(self) -> str:
        return self._backend.url

    @property
    def is_empty(self) -> bool:
        """Whether it is a local folder that holds nothing, as that under a disk which is not mounted."""
        return isinstance(self._backend, LocalFolder) and self._backend.is_empty

    @property
    def backend(self) -> Backend:
        """The files themselves, for what is no evidence of one verification: the log."""
        return self._backend

    def of(self, region: str, signature_id: str) -> VerificationEvidence:
        """Return the evidence of one verification. Raises ``InvalidInput`` for an id that could leave its folder."""
        folder = paths.folder(region, signature_id)
        return VerificationEvidence(region, signature_id, folder, self._backend, self.keys)

    def lifecycle(self, region: str, signature_id: str) -> Lifecycle:
        """Return the marks and the erasure of one verification. Raises ``InvalidInput``, as `of`."""
        return Lifecycle(region, signature_id, paths.folder(region, signature_id), self._backend, self.keys)

    def ids(self, region: str) -> Iterator[str]:
        """Yield the signature ids of all verifications of a region that have evidence, in their order."""
        for name in self._backend.folders(paths.region_folder(region)):
            if SIGNATURE_ID.fullmatch(name):
                yield name

    def walk(
        self, region: str, after: str = ""
    ) -> Iterator[tuple[VerificationEvidence, Sequence[StoredFile]]]:
        """Yield each verification of a region that has a folder, in an order that stays, with its files.

        The files are sorted by name, `key.json` among them. `after`: the id after which to begin. It takes one request
        for about two hundred verifications, and the memory of one of them; a local folder also takes that of all ids.
        """
        found = self._backend.walk(paths.region_folder(region), after)
        for folder, files in groupby(found, key=lambda file: file.path.rpartition("/")[0]):
            signature_id = folder.rpartition("/")[2]
            if folder.count("/") == 1 and SIGNATURE_ID.fullmatch(signature_id):
                stored = [each for file in files if (each := _stored(file)) is not None]
                yield self.of(region, signature_id), stored

    def usage(self) -> Usage:
        """Return the amount of evidence, as it is stored. Lists every file: for the demo's report alone."""
        sizes = [
            file.size_bytes
            for file in self._backend.list()
            if paths.FILE_NAME.fullmatch(name := file.path.rpartition("/")[2]) and name != paths.KEY
        ]
        return Usage(files=len(sizes), size_bytes=sum(sizes))

    def keep_table(self, version: str, text: str) -> None:
        """Store the text of a decision table, unless one of this version is stored: an audit needs it years later."""
        path = paths.table(version)
        if path is not None:
            self._backend.prepare()
            keep_first(self._backend, path, text.encode())

    def table(self, version: str) -> str | None:
        """Return the text of a decision table as some process stored it, which proves nothing; None: there is none."""
        path = paths.table(version)
        raw = None if path is None else self._backend.read(path)
        return None if raw is None else raw.decode(errors="replace")

    def ledgers(self, region: str) -> tuple[str, ...]:
        """Return the identities of a region's ledgers, the newest last. See ``worker.evidence.ledger_identity``."""
        found: list[str] = []
        while (body := self._backend.read(paths.ledger(region, len(found) + 1))) is not None:
            found.append(body.decode(errors="replace"))
        return tuple(found)

    def has_ledger(self, region: str) -> bool:
        """Whether the identity of any ledger of a region is noted. In a local folder that does not exist: False."""
        is_missing = isinstance(self._backend, LocalFolder) and self._backend.is_missing
        return not is_missing and self._backend.read(paths.ledger(region, 1)) is not None

    def keep_ledger(self, region: str, identity: str) -> str:
        """Store the identity of a region's newest ledger, and return the stored one, possibly of another worker."""
        found = self.ledgers(region)
        if found[-1:] == (identity,):
            return identity
        self._backend.prepare()
        path = paths.ledger(region, len(found) + 1)
        return keep_first(self._backend, path, identity.encode()).decode()

    def check_answers(self) -> None:
        """Read what is of no verification. Raises ``EvidenceUnavailable`` if the store or that of its keys is away.

        After an error about one object it tells a store that is away from an object that cannot be read.
        """
        self._backend.read(paths.KEYS_PLACE)
        if not self.keys.beside:
            with self.keys.naming():
                self._keys_backend.read(paths.KEYS_IDENTITY)

    def check(self, *, note: bool = True) -> None:
        """Check that files can be written and read back, and are written once; then remove the probe.

        Several writers create one name at once, and one of them must succeed. A later writer must be refused, without a
        change. The keys are checked, too, and their place, if it is another. `note`: note keys that were never used.

        Raises ``EvidenceUnavailable`` if the store does not work, ``EvidenceUnsuitable`` if it replaces files, or if a
        key is not the one that was used under its id before.
        """
        _probe(self._backend)
        if self.keys.are_on:
            if not self.keys.beside:
                with self.keys.naming():
                    _probe(self._keys_backend)
            if self._keys_backend.keeps_versions:
                raise EvidenceUnsuitable(
                    f"{self._keys_backend.url} keeps old versions, so keys of evidence cannot be destroyed there: "
                    "set EKYC_EVIDENCE_KEYS_URL to a bucket without versioning"
                )
            self.keys.check(self._backend, note=note)


def _stored(file: Found) -> StoredFile | None:
    """Return a file of a listing; None: it is left over from a killed process."""
    name = file.path.rpartition("/")[2]
    return StoredFile(name, file.kept_at, file.size_bytes) if paths.FILE_NAME.fullmatch(name) else None


def _probe(backend: Backend) -> None:
    backend.prepare()
    path = f"{PROBE}{uuid4().hex}"
    bodies = [f"ekyc probe {number}\n".encode().ljust(PROBE_BYTES) for number in range(PROBE_WRITERS + 1)]
    with ThreadPoolExecutor(PROBE_WRITERS) as writers:
        created = list(writers.map(backend.create, repeat(path), bodies[:PROBE_WRITERS]))
    try:
        _prove_written_once(backend, path, bodies, created)
    finally:
        # A bucket with Object Lock does not remove the probe, but is suitable for evidence.
        with suppress(EvidenceUnavailable):
            backend.remove(path)


def _prove_written_once(
    backend: Backend, path: str, bodies: Sequence[bytes], created: Sequence[bool]
) -> None:
    if created.count(True) > 1:
        raise unsuitable(backend.url, "more than one of several concurrent writes of one name succeeded")
    kept = backend.read(path)
    if kept not in bodies or (any(created) and kept != bodies[created.index(True)]):
        raise EvidenceUnavailable(f"evidence written at {backend.url} cannot be read back")
    accepted = backend.create(path, bodies[-1])
    if accepted or backend.read(path) != kept:
        raise unsuitable(backend.url, "a second write of one name is accepted")


@dataclass(frozen=True, slots=True)
class _How:
    """How a place is used. `make`: create a local folder that does not exist."""

    is_patient: bool = False
    make: bool = True


def _keys_backend(url: str, s3: S3Options, how: _How) -> Backend:
    """The place of keys, which are never locked, because they must be replaced and destroyed."""
    options = replace(s3, lock=None) if url.startswith("s3:") else _NO_OPTIONS
    return _backend(url, options, how, "EKYC_EVIDENCE_KEYS_URL")


def _backend(url: str, s3: S3Options, how: _How, setting: str = "EKYC_EVIDENCE_URL") -> Backend:
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(f"{setting}: give the location only; secrets belong in the environment")
    if parts.scheme not in {"file", *ENVIRONMENT}:
        raise ConfigError(f"{setting}: give a file:///, s3://, gs:// or az:// URL")
    if s3 and parts.scheme != "s3":
        raise ConfigError(
            f"EKYC_EVIDENCE_SSE and EKYC_EVIDENCE_LOCK need an s3:// URL as {setting}: unset them, "
            "and set up encryption and locks in the store itself"
        )
    try:
        if parts.scheme == "file":
            return LocalFolder(url, parts.netloc, parts.path, make=how.make)
        return Bucket(url, parts.scheme, s3, is_patient=how.is_patient)
    except ConfigError as error:
        raise ConfigError(str(error).replace("EKYC_EVIDENCE_URL", setting)) from None
