"""What becomes of the evidence of a verification after the decision: its marks, and its erasure object by object.

Marks, plan and certificate are plain objects beside the evidence. The order of the steps: ``worker.records.erasure``.
A mark that older workers have encrypted is read with its key. It is plain again after a change, and after
`ekyc evidence rotate`.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from worker.errors import EvidenceConflict, EvidenceErased, EvidenceUnavailable, InvalidInput
from worker.evidence import marks, paths
from worker.evidence.keys import Tombstone, WrappedKey, dump_key
from worker.evidence.sealing import NotOpened, is_sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from worker.evidence.data_keys import DataKeys
    from worker.evidence.marks import ErasurePlan, LegalHolds
    from worker.evidence.storage.backend import Backend, Found

_Mark = TypeVar("_Mark")

#: What stays of an erased verification, and tells nothing about the person.
LEFT: Final = frozenset({paths.KEY, paths.PLAN, paths.CERTIFICATE})

#: How often a mark is written if another process changes it at the same time.
TRIES: Final = 10


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The marks and the objects of one verification, created by ``Evidence.lifecycle``. Thread-safe.

    Every method raises ``EvidenceUnavailable`` if the store cannot be read or written, and ``EvidenceConflict`` for a
    mark that cannot be parsed: a hold that cannot be read must stop an erasure. A mark that is encrypted under a key
    that is missing here raises ``EvidenceKeyUnknown``.
    """

    region: str
    signature_id: str
    folder: str
    _backend: Backend
    _keys: DataKeys

    @property
    def url(self) -> str:
        return f"{self._backend.url}/{self.folder}"

    @property
    def keys_beside(self) -> bool:
        """Whether the data key lies in the same store as the evidence."""
        return self._keys.beside

    # Marks.

    def closed(self) -> datetime | None:
        """Return when the business relationship ended; None: nobody has said so."""
        return self._mark(paths.CLOSED, marks.load_closed)

    def close(self, at: datetime) -> datetime:
        """Store when it ended, and return the time that counts: the latest one."""
        return self._change(
            paths.CLOSED,
            marks.load_closed,
            marks.dump_closed,
            lambda known: at if known is None else max(known, at),
        )

    def holds(self) -> LegalHolds:
        return self._mark(paths.HOLD, marks.load_holds) or marks.LegalHolds()

    def change_holds(self, change: Callable[[LegalHolds], LegalHolds]) -> LegalHolds:
        """Store changed holds, and return them. Raises ``InvalidInput`` if they are too many to be read or released."""

        def changed(known: LegalHolds | None) -> LegalHolds:
            before = known or marks.LegalHolds()
            after = change(before)
            if len(after.holds) > len(before.holds) and (
                len(after.all_in_force) > marks.MOST_IN_FORCE
                or len(marks.dump_holds(after)) > marks.MOST_HELD_BYTES
            ):
                raise InvalidInput(
                    f"{self.region}/{self.signature_id} has {len(before.all_in_force)} holds in force and "
                    f"{len(before.holds)} on record: no more can be stored"
                )
            return after

        return self._change(paths.HOLD, marks.load_holds, marks.dump_holds, changed)

    # Erasure.

    def key(self) -> WrappedKey | Tombstone | None:
        """Return what `key.json` says; None: there is none."""
        return self._keys.stored(self.folder)

    def objects(self) -> tuple[Found, ...]:
        """Return everything that an erasure removes, also what a killed process left."""
        return tuple(found for found in self._backend.list(self.folder) if self.name(found) not in LEFT)

    def name(self, found: Found) -> str:
        return found.path.removeprefix(f"{self.folder}/")

    def locked_until(self, found: Found) -> datetime | None:
        """Return when the bucket's lock on an object ends; None: it has none."""
        return self._backend.locked_until(found.path, found.kept_at)

    def keep_plan(self, plan: ErasurePlan) -> ErasurePlan:
        """Store the plan of an erasure, and return the stored one, which may be an earlier one."""
        self._backend.create(self._path(paths.PLAN), marks.dump_plan(plan))
        stored = self.plan()
        if stored is None:
            raise EvidenceUnavailable(f"another process is removing {self.url}/{paths.PLAN}")
        return stored

    def replace_plan(self, plan: ErasurePlan) -> None:
        """Replace a plan that is none of ours."""
        self._backend.replace(self._path(paths.PLAN), marks.dump_plan(plan))

    def plan(self) -> ErasurePlan | None:
        return self._mark(paths.PLAN, marks.load_plan)

    def has_plan(self) -> bool:
        """Whether there is a plan that `end_plan` can remove. In a locked bucket the plan of an ended erasure stays."""
        found = next(
            (each for each in self._backend.list(self.folder) if self.name(each) == paths.PLAN), None
        )
        return found is not None and self.locked_until(found) is None

    def end_plan(self) -> None:
        """Remove the plan, which the certificate replaces. A locked bucket keeps it; it has nothing personal."""
        with suppress(EvidenceUnavailable):
            self._backend.remove(self._path(paths.PLAN))

    def entomb(self, tombstone: Tombstone) -> None:
        """Destroy the data key: a tombstone takes the place of `key.json`, for good. A finished one stays as it is."""
        for _ in range(TRIES):
            raw = self._keys.read(self.folder)
            found = None if raw is None else self._keys.record(self.folder, raw)
            if isinstance(found, Tombstone) and found.certificate is not None:
                return
            if raw is None:
                done = self._keys.create(self.folder, dump_key(tombstone))
            else:
                done = self._keys.replace(self.folder, dump_key(tombstone), expected=raw)
            if done:
                return
        raise EvidenceUnavailable(f"another process keeps writing the key of {self.folder}: run it again")

    def remove(self, found: Found) -> None:
        """Remove an object. One that is gone already is no error."""
        try:
            self._backend.remove(found.path)
        except EvidenceUnavailable:
            if any(each.path == found.path for each in self._backend.list(self.folder)):
                raise

    def keep_certificate(self, text: str) -> str:
        """Store the certificate, and return the stored one, which may be that of a concurrent erasure."""
        self._backend.create(self._path(paths.CERTIFICATE), text.encode())
        stored = self.certificate()
        if stored is None:
            raise EvidenceUnavailable(f"another process is removing {self.url}/{paths.CERTIFICATE}")
        return stored

    def replace_certificate(self, text: str) -> None:
        """Replace a certificate that is none of ours."""
        self._backend.replace(self._path(paths.CERTIFICATE), text.encode())

    def certificate(self) -> str | None:
        raw = self._backend.read(self._path(paths.CERTIFICATE))
        return None if raw is None else raw.decode(errors="replace")

    def _mark(self, name: str, load: Callable[[bytes], _Mark]) -> _Mark | None:
        return self._loaded(name, self._backend.read(self._path(name)), load)

    def _change(
        self,
        name: str,
        load: Callable[[bytes], _Mark],
        dump: Callable[[Any], bytes],
        change: Callable[[_Mark | None], _Mark],
    ) -> _Mark:
        for _ in range(TRIES):
            raw = self._backend.read(self._path(name))
            known = self._loaded(name, raw, load)
            changed = change(known)
            if changed == known:
                return changed
            body = dump(changed)
            if (
                self._backend.create(self._path(name), body)
                if raw is None
                else self._backend.replace(self._path(name), body, expected=raw)
            ):
                return changed
        raise EvidenceUnavailable(f"other processes keep writing {self.url}/{name}: run it again")

    def _loaded(self, name: str, raw: bytes | None, load: Callable[[bytes], _Mark]) -> _Mark | None:
        if raw is None:
            return None
        try:
            return load(self._opened(name, raw) if is_sealed(raw) else raw)
        except (ValueError, KeyError, TypeError, NotOpened, EvidenceErased) as error:
            raise EvidenceConflict(
                "MARK_UNREADABLE", f"{self.url}/{name} cannot be read ({error}): restore it from a backup"
            ) from None

    def _opened(self, name: str, raw: bytes) -> bytes:
        data_key = self._keys.find(self.folder, fresh=True)
        if data_key is None:
            raise ValueError("it is encrypted, and its key is gone")
        return data_key.open(name, raw)

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}"


def fingerprint(certificate: str) -> str:
    """Return the SHA-256 of a certificate, as tombstone and log name it."""
    return hashlib.sha256(certificate.encode()).hexdigest()
