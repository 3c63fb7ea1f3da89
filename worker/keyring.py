"""The keys of EKYC_EVIDENCE_KEYS: named secrets, of which the first is the current one.

    EKYC_EVIDENCE_KEYS=2027:kYx…=,2026:8Qp…=

Each entry is `id:base64` of 32 random bytes; entries are separated by commas or line ends. The id is not secret: it is
stored beside what its key wraps. No message quotes a key or a part of one.

Importing this module needs only the standard library; deriving a key needs `cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_BYTES: Final = 32

#: The most keys in use at the same time.
MAX_KEYS: Final = 16

#: The form of an id: it becomes a name in the evidence store.
KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class NamedKey:
    """One key. Its `repr` does not show the secret."""

    id: str
    secret: bytes = field(repr=False)

    def derive(self, purpose: str, size_bytes: int = KEY_BYTES) -> bytes:
        """Return a key for another purpose, by HKDF-SHA256. Equal purposes give equal keys."""
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - settings need no cryptography
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        return HKDF(SHA256(), size_bytes, salt=None, info=purpose.encode()).derive(self.secret)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The configured keys, the current one first."""

    keys: tuple[NamedKey, ...]

    @property
    def current(self) -> NamedKey:
        """The key for everything new."""
        return self.keys[0]

    @property
    def ids(self) -> str:
        """The ids in their order, with commas, for people."""
        return ", ".join(key.id for key in self.keys)


def parse_keys(text: str) -> Keyring | None:
    """Return the keys of a setting or a file; None if it is empty. Raises ``ValueError``, which quotes no key."""
    entries = [entry.strip() for entry in text.replace(",", "\n").splitlines() if entry.strip()]
    if not entries:
        return None
    if len(entries) > MAX_KEYS:
        raise ValueError(f"give 1 to {MAX_KEYS} keys, separated by commas or line ends")
    keys = tuple(_parsed(entries))
    if len({key.id for key in keys}) < len(keys):
        raise ValueError("two entries have the same id: give each key an id of its own")
    if len({key.secret for key in keys}) < len(keys):
        raise ValueError("one key is given twice, under two ids: `ekyc evidence keygen` makes another")
    return Keyring(keys)


def key_ids(text: str) -> str:
    """Return the ids of the keys of a setting in their order, with commas. Raises ``ValueError``."""
    keyring = parse_keys(text)
    return ",".join(key.id for key in keyring.keys) if keyring else ""


def new_key(key_id: str) -> NamedKey:
    """Return a new random key. Raises ``ValueError`` for an id that cannot be used."""
    if not KEY_ID.fullmatch(key_id):
        raise ValueError("an id is 1 to 32 of letters, digits, - and _, and begins with a letter or a digit")
    return NamedKey(key_id, secrets.token_bytes(KEY_BYTES))


def format_key(key: NamedKey) -> str:
    """Return the entry of a key for EKYC_EVIDENCE_KEYS."""
    return f"{key.id}:{base64.b64encode(key.secret).decode('ascii')}"


def _parsed(entries: list[str]) -> Iterator[NamedKey]:
    for number, entry in enumerate(entries, start=1):
        where = f"entry {number}: " if len(entries) > 1 else ""
        key_id, colon, encoded = entry.partition(":")
        if not colon or not KEY_ID.fullmatch(key_id):
            raise ValueError(
                f"{where}give id:base64, where the id is 1 to 32 of letters, digits, - and _: "
                "`ekyc evidence keygen` makes one"
            )
        try:
            secret = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"{where}the key is not base64: copy all of it") from None
        if len(secret) != KEY_BYTES:
            raise ValueError(f"{where}a key has {KEY_BYTES} bytes, this one has {len(secret)}")
        yield NamedKey(key_id, secret)
