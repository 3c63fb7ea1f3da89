"""`key.json`: the wrapped data key of a verification, or the tombstone that erasure leaves in its place.

    {"version":1,"id":"9f…","key":"2027","wrapped":"RUtZ…"}         the data key 9f…, sealed under the named key 2027
    {"version":1,"id":"9f…","key":"2027","wrapped":"…","plain":true}   … of a folder that is being encrypted
    {"version":1,"erased":{"at":"2027-…","certificate":"5c…"}}         the verification is erased
    {"version":1,"erased":{"at":"2027-…","certificate":null}}          its key is destroyed, and its erasure goes on

It is the only object that is ever replaced. `KeyWrapper` is the place for another keeper of keys, such as a KMS.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from worker.errors import EvidenceConflict, EvidenceKeyUnknown
from worker.evidence import paths
from worker.evidence.sealing import ID_DIGITS, DataKey, NotOpened, Sealer, associated
from worker.keyring import KEY_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.keyring import Keyring

VERSION: Final = 1

_DATA_KEY_ID: Final = re.compile(rf"[0-9a-f]{{{ID_DIGITS}}}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

#: The largest `key.json` that is parsed, in bytes; one of ours has less than 400.
_MAX_BYTES: Final = 4096

#: One encoder for all: `json.dumps` would make one for each.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

#: What the check value of a named key is derived for.
_CHECK: Final = "ekyc key check v1"


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The data key of a verification, sealed under a named key. `plain`: the folder may hold plain objects."""

    data_key_id: str
    key_id: str
    wrapped: bytes = field(repr=False)
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What erasure leaves. `at`: RFC 3339 UTC; `certificate`: the SHA-256 of the certificate; None: it goes on."""

    at: str
    certificate: str | None


def dump_key(record: WrappedKey | Tombstone) -> bytes:
    """Return the bytes of `key.json`."""
    document: dict[str, Any] = {"version": VERSION}
    if isinstance(record, Tombstone):
        document["erased"] = {"at": record.at, "certificate": record.certificate}
    else:
        document |= {
            "id": record.data_key_id,
            "key": record.key_id,
            "wrapped": base64.b64encode(record.wrapped).decode("ascii"),
        }
        if record.plain:
            document["plain"] = True
    return f"{_encode(document)}\n".encode()


def load_key(raw: bytes) -> WrappedKey | Tombstone:
    """Parse `key.json`. Raises ``ValueError``, which quotes nothing of it."""
    if len(raw) > _MAX_BYTES:
        raise ValueError("is too long")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise ValueError("is not of version 1")
    return _tombstone(document["erased"]) if "erased" in document else _wrapped(document)


def _tombstone(erased: Any) -> Tombstone:
    if not isinstance(erased, dict):
        raise ValueError("erased is not an object")  # noqa: TRY004 - of the file, not of the caller
    at = erased.get("at")
    if not isinstance(at, str) or not at.isprintable() or len(at) > 40:  # noqa: PLR2004 - an RFC 3339 time
        raise ValueError("erased.at is not a time")
    if erased.get("certificate", "") is None:
        return Tombstone(at, None)
    return Tombstone(at, _text(erased, "certificate", _SHA256))


def _wrapped(document: Mapping[str, Any]) -> WrappedKey:
    plain = document.get("plain", False)
    if not isinstance(plain, bool):
        raise ValueError("plain is neither true nor false")  # noqa: TRY004
    try:
        wrapped = base64.b64decode(document.get("wrapped", None), validate=True)
    except (TypeError, binascii.Error, ValueError):
        raise ValueError("wrapped is not base64") from None
    return WrappedKey(_text(document, "id", _DATA_KEY_ID), _text(document, "key", KEY_ID), wrapped, plain)


def _text(document: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    found = document.get(name)
    if not isinstance(found, str) or not form.fullmatch(found):
        raise ValueError(f"{name} is missing or malformed")
    return found


class KeyWrapper(Protocol):
    """Wraps data keys under named keys. Thread-safe."""

    def wrap(self, data_key: DataKey) -> WrappedKey:
        """Return a data key, sealed under the current key."""

    def unwrap(self, record: WrappedKey, region: str, signature_id: str) -> DataKey:
        """Return the data key of a verification. Raises ``EvidenceKeyUnknown`` and ``EvidenceConflict``."""

    def is_current(self, record: WrappedKey) -> bool:
        """Whether a data key is wrapped under the current key."""

    def checks(self) -> Mapping[str, bytes]:
        """Return a value for each named key, by its id. It shows whether two keys of one id are the same."""


class LocalWrapper(KeyWrapper):
    """Wraps with the keys of EKYC_EVIDENCE_KEYS, in the memory of this process."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._sealers = {key.id: Sealer(key.secret, paths.KEY) for key in keyring.keys}

    def __repr__(self) -> str:
        return f"LocalWrapper({self._keyring.ids})"

    def wrap(self, data_key: DataKey) -> WrappedKey:
        record = WrappedKey(data_key.id, self._keyring.current.id, b"", data_key.plain)
        context = _context(record, data_key.region, data_key.signature_id)
        return replace(record, wrapped=data_key.wrapped(self._sealers[record.key_id], context))

    def unwrap(self, record: WrappedKey, region: str, signature_id: str) -> DataKey:
        place = f"{region}/{signature_id}/{paths.KEY}"
        sealer = self._sealers.get(record.key_id)
        if sealer is None:
            raise EvidenceKeyUnknown(
                f"{place} is wrapped under the key {record.key_id}, and EKYC_EVIDENCE_KEYS has only "
                f"{self._keyring.ids}: add that key there"
            )
        try:
            secret = sealer.open(record.wrapped, _context(record, region, signature_id))
        except NotOpened as error:
            if error.wrong_key:
                raise EvidenceConflict(
                    EvidenceConflict.WRONG_KEY,
                    f"{place} does not open under the key {record.key_id} of EKYC_EVIDENCE_KEYS: "
                    "it is another key under the same id, or the file was changed; restore either",
                ) from None
            raise EvidenceConflict(
                EvidenceConflict.SEALED_BYTES,
                f"{place} was changed, or belongs to another verification: restore it from a backup",
            ) from None
        return DataKey(record.data_key_id, secret, region, signature_id, plain=record.plain)

    def is_current(self, record: WrappedKey) -> bool:
        return record.key_id == self._keyring.current.id

    def checks(self) -> Mapping[str, bytes]:
        return {key.id: f"{key.derive(_CHECK).hex()}\n".encode() for key in self._keyring.keys}


def _context(record: WrappedKey, region: str, signature_id: str) -> bytes:
    # The flag is protected, too: otherwise plain objects would be accepted after a change of this file.
    mark = "plain" if record.plain else ""
    return associated(region, signature_id, paths.KEY, record.key_id, record.data_key_id, mark)
