"""The data keys of verifications: where they are stored, and those that this process used last."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Final

from worker.errors import (
    ConfigError,
    EvidenceConflict,
    EvidenceErased,
    EvidenceKeyUnknown,
    EvidenceUnavailable,
    EvidenceUnsuitable,
)
from worker.evidence import paths
from worker.evidence.keys import LocalWrapper, Tombstone, WrappedKey, dump_key, load_key
from worker.evidence.sealing import DataKey
from worker.evidence.storage.backend import PROBE, STAGED, keep_first
from worker.keyring import parse_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.evidence.keys import KeyWrapper
    from worker.evidence.storage.backend import Backend

#: Unwrapped data keys that a process remembers, and for how many seconds: a verification is polled, archived and
#: decided within moments, and each of the three needs its key.
REMEMBERED: Final = 1024
REMEMBER_S: Final = 60.0


#: Concurrent writers of the probe.
PROBE_WRITERS: Final = 4


class DataKeys:
    """The objects `key.json` of all verifications. Thread-safe, and may be created before a fork.

    Without named keys (`are_on` is false) it only finds out that another process encrypted or erased a verification.
    Every method that reads or writes raises ``EvidenceUnavailable``.

    Parameters:
        backend: where the objects are.
        beside: they lie in the folders of the evidence itself.
        wrapper: the named keys; None: nothing is encrypted.
    """

    def __init__(self, backend: Backend, *, beside: bool, wrapper: KeyWrapper | None) -> None:
        self._backend = backend
        self._wrapper = wrapper
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[float, DataKey]] = OrderedDict()
        self.beside = beside

    def __repr__(self) -> str:
        return f"DataKeys({self._backend.url!r})"

    @property
    def are_on(self) -> bool:
        """Whether new evidence is encrypted."""
        return self._wrapper is not None

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the named keys, the current one first."""
        return () if self._wrapper is None else tuple(self._wrapper.checks())

    @property
    def url(self) -> str:
        return self._backend.url

    def find(self, folder: str, *, fresh: bool = False) -> DataKey | None:
        """Return the data key of a verification; None: there is none. `fresh`: read it from the store.

        Raises ``EvidenceErased``, ``EvidenceKeyUnknown`` and ``EvidenceConflict``.
        """
        if not fresh and (known := self.remembered(folder)):
            return known
        found = self.check_erased(folder)
        if found is None:
            return None
        if self._wrapper is None:
            raise not_configured(folder, found)
        region, _, signature_id = folder.partition("/")
        data_key = self._wrapper.unwrap(found, region, signature_id)
        self.remember(folder, data_key)
        return data_key

    def check_erased(self, folder: str) -> WrappedKey | None:
        """Return what the stored `key.json` says; None: there is none. Raises ``EvidenceErased`` for a tombstone."""
        found = self.stored(folder)
        if isinstance(found, Tombstone):
            self.forget(folder)
            raise EvidenceErased("ERASED", f"the evidence {folder} was erased at {found.at}")
        return found

    def stored(self, folder: str) -> WrappedKey | Tombstone | None:
        """Return what the stored `key.json` says; None: there is none. Raises ``EvidenceConflict``."""
        raw = self.read(folder)
        return None if raw is None else self.record(folder, raw)

    def record(self, folder: str, raw: bytes) -> WrappedKey | Tombstone:
        """Return what a `key.json` says. Raises ``EvidenceConflict``."""
        try:
            return load_key(raw)
        except ValueError as error:
            raise EvidenceConflict(
                EvidenceConflict.KEY_UNREADABLE,
                f"{self.url}/{folder}/{paths.KEY} {error}: restore it from a backup",
            ) from None

    def read(self, folder: str) -> bytes | None:
        """Return the bytes of `key.json`."""
        path = f"{folder}/{paths.KEY}"
        if self.beside:
            return self._backend.read(path)
        with self.naming():
            return self._backend.read(path)

    def new(self, folder: str, *, plain: bool = False) -> tuple[DataKey, bytes]:
        """Return a new data key, and the bytes of its `key.json`, which is not written yet."""
        region, _, signature_id = folder.partition("/")
        data_key = DataKey.new(region, signature_id, plain=plain)
        return data_key, self.wrapped(data_key)

    def wrapped(self, data_key: DataKey) -> bytes:
        """Return the bytes of `key.json` for a data key, wrapped under the current key."""
        if self._wrapper is None:
            raise RuntimeError("there are no named keys to wrap with")
        return dump_key(self._wrapper.wrap(data_key))

    def is_current(self, record: WrappedKey) -> bool:
        return self._wrapper is not None and self._wrapper.is_current(record)

    def create(self, folder: str, raw: bytes) -> bool:
        """Write `key.json`. False: there is one already."""
        with self.naming():
            self._backend.prepare()
            return self._backend.create(f"{folder}/{paths.KEY}", raw)

    def replace(self, folder: str, raw: bytes, *, expected: bytes) -> bool:
        """Replace `key.json` if it still holds `expected`. False: it does not.

        A tombstone also takes away what a killed rotation left there, which may hold the key.
        """
        self.forget(folder)
        with self.naming():
            if not self._backend.replace(f"{folder}/{paths.KEY}", raw, expected=expected):
                return False
            if not self.beside and isinstance(load_key(raw), Tombstone):
                for found in tuple(self._backend.list(folder)):
                    if found.path.rpartition("/")[2].startswith(STAGED):
                        self._backend.remove(found.path)
            return True

    def sync(self, folder: str) -> None:
        """Make a `key.json` that another process may be writing durable, before anything is sealed under it."""
        with self.naming():
            self._backend.sync(folder)

    def remember(self, folder: str, data_key: DataKey) -> None:
        with self._lock:
            self._known[folder] = (time.monotonic() + REMEMBER_S, data_key)
            self._known.move_to_end(folder)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def forget(self, folder: str) -> None:
        with self._lock:
            self._known.pop(folder, None)

    def remembered(self, folder: str) -> DataKey | None:
        """Return a data key that this process used a moment ago."""
        with self._lock:
            until, data_key = self._known.get(folder, (0.0, None))
            if data_key is None or time.monotonic() < until:
                return data_key
            del self._known[folder]
            return None

    def check(self, evidence: Backend, *, note: bool = True) -> None:
        """Check that this is the place of the evidence's keys, and each named key the one that was used before.

        With `note` the first check notes all of them: not for people who try out their settings. Raises
        ``EvidenceUnsuitable``.
        """
        if self._wrapper is None:
            return
        noted = keep_first if note else _known
        with self.naming():
            place = noted(self._backend, paths.KEYS_IDENTITY, secrets.token_hex(8).encode())
            values = {
                key_id: (value, noted(self._backend, paths.key_check(key_id), value))
                for key_id, value in self._wrapper.checks().items()
            }
        if noted(evidence, paths.KEYS_PLACE, place) != place:
            raise EvidenceUnsuitable(
                f"EKYC_EVIDENCE_KEYS_URL: the keys of the evidence at {evidence.url} are not at {self.url}: "
                "set it as it was when they were written"
            )
        for key_id, (ours, before) in values.items():
            if ours != before:
                raise EvidenceUnsuitable(
                    f"EKYC_EVIDENCE_KEYS: the key {key_id} is not the one that was used at {self.url} under this "
                    "id before: restore that one, or give the new key an id of its own"
                )

    def check_replacing(self) -> None:
        """Check that of several concurrent replacements of one object only one succeeds; then remove the probe.

        Otherwise a rotation could undo an erasure. Raises ``EvidenceUnsuitable``.
        """
        path, before = f"{PROBE}{secrets.token_hex(16)}", b"ekyc probe\n"
        bodies = [f"ekyc probe {number}\n".encode() for number in range(PROBE_WRITERS)]
        with self.naming():
            self._backend.create(path, before)
            try:
                with ThreadPoolExecutor(PROBE_WRITERS) as writers:
                    replaced = list(
                        writers.map(lambda body: self._backend.replace(path, body, expected=before), bodies)
                    )
            finally:
                with suppress(EvidenceUnavailable):
                    self._backend.remove(path)
        if replaced.count(True) != 1:
            raise EvidenceUnsuitable(
                f"{self.url} replaces an object that was changed meanwhile (If-Match): "
                "a rotation could undo an erasure there, so put the keys into another store"
            )

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Let errors name the setting of this place."""
        if self.beside:
            yield
            return
        try:
            yield
        except (EvidenceUnavailable, EvidenceUnsuitable) as error:
            raise type(error)(str(error).replace("EKYC_EVIDENCE_URL", "EKYC_EVIDENCE_KEYS_URL")) from None


def _known(backend: Backend, path: str, value: bytes) -> bytes:
    return backend.read(path) or value


def not_configured(place: str, record: WrappedKey | None) -> EvidenceKeyUnknown:
    """Return the error for evidence that is encrypted, where no key is set. `record`: its `key.json`, if known."""
    under = f" under the key {record.key_id}" if record else ""
    return EvidenceKeyUnknown(
        f"the evidence {place} is encrypted{under}, and EKYC_EVIDENCE_KEYS is not set here: "
        "set it as on the other workers"
    )


def wrapper_of(text: str) -> KeyWrapper | None:
    """Return the wrapper for EKYC_EVIDENCE_KEYS; None: it is empty. Raises ``ConfigError``."""
    try:
        keyring = parse_keys(text)
    except ValueError as error:
        raise ConfigError(f"EKYC_EVIDENCE_KEYS: {error}") from None
    return None if keyring is None else LocalWrapper(keyring)
