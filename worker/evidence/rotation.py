"""Rotation: wrap the data keys of verifications under the current key, and encrypt what was stored without keys.

One small object is replaced for each verification; its other objects stay as they are. A folder without `key.json` is
encrypted in three steps, and can be read at every moment in between, also by other processes:

1. `key.json` is created with the mark `plain`, which allows plain objects beside encrypted ones;
2. each plain object is replaced by its encrypted form;
3. the mark is removed.

Marks are never encrypted: what judges or erases a verification reads them without a key. Older workers and commands
did encrypt them; a rotation makes those plain again.

Everything may be repeated: after a kill, and by several processes at once. Each replacement happens only if the object
is still the one that was read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from worker.errors import EvidenceUnavailable
from worker.evidence import paths
from worker.evidence.keys import Tombstone
from worker.evidence.sealing import Origin

if TYPE_CHECKING:
    from worker.evidence.data_keys import DataKeys
    from worker.evidence.sealing import DataKey
    from worker.evidence.store import VerificationEvidence

#: Attempts at one verification that other processes change meanwhile.
TRIES: Final = 5

#: The age of what a killed writer left behind, before it is removed. It may be plain.
LEFT_FOR: Final = timedelta(hours=1)


class Rotated(StrEnum):
    """What became of one verification."""

    #: It is under the current key already.
    CURRENT = "current"
    #: Its data key is now wrapped under the current key.
    REWRAPPED = "rewrapped"
    #: Its objects are now encrypted.
    ENCRYPTED = "encrypted"
    #: It is erased: there is no key.
    ERASED = "erased"


def rotate(evidence: VerificationEvidence) -> Rotated:
    """Bring one verification under the current key.

    Raises ``EvidenceUnavailable``, ``EvidenceKeyUnknown`` and ``EvidenceConflict``.
    """
    keys = evidence.keys
    for _ in range(TRIES):
        raw = keys.read(evidence.folder)
        if raw is None:
            names = [file.name for file in evidence.files() if file.name not in paths.MARKS]
            if not names:
                return Rotated.CURRENT
            evidence.read(names[0])  # raises if the key is not missing, but lost
            data_key, record = keys.new(evidence.folder, plain=True)
            if keys.create(evidence.folder, record) and _encrypt(evidence, data_key, record):
                return Rotated.ENCRYPTED
            continue
        found = keys.record(evidence.folder, raw)
        if isinstance(found, Tombstone):
            return Rotated.ERASED
        evidence.decrypt_marks()
        if found.plain:
            if _encrypt(evidence, _unwrapped(keys, evidence.folder), raw):
                return Rotated.ENCRYPTED
        elif keys.is_current(found):
            return Rotated.CURRENT
        elif keys.replace(evidence.folder, keys.wrapped(_unwrapped(keys, evidence.folder)), expected=raw):
            return Rotated.REWRAPPED
    raise EvidenceUnavailable(
        f"{keys.url}/{evidence.folder}/{paths.KEY} is changed by other processes again and again"
    )


def _encrypt(evidence: VerificationEvidence, data_key: DataKey, record: bytes) -> bool:
    """Encrypt the plain objects of a folder, then remove the mark `plain`. False: `key.json` was changed meanwhile."""
    evidence.remove_leftovers(before=datetime.now(UTC) - LEFT_FOR)
    return evidence.encrypt_all(data_key, record, Origin.ROTATED)


def _unwrapped(keys: DataKeys, folder: str) -> DataKey:
    data_key = keys.find(folder, fresh=True)
    if data_key is None:
        raise EvidenceUnavailable(f"another process is removing {keys.url}/{folder}/{paths.KEY}")
    return data_key
