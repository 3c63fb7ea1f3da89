r"""Sealing: the encrypted form of an evidence object.

    EKYCE1\n | commitment, 32 bytes | nonce, 12 bytes | ciphertext | tag, 16 bytes

It is AES-256-GCM. Each object has a key of its own: HKDF-SHA256 derives 64 bytes from the secret and the object's name,
32 for the key and 32 for the commitment. AES-GCM by itself allows a ciphertext that opens under two keys; the
commitment, which depends on the key, does not. The associated data names the place of the object, so that it opens
nowhere else.
"""

from __future__ import annotations

import os
import secrets
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

#: The first bytes of every sealed object. None of our plain objects begins with them.
MAGIC: Final = b"EKYCE1\n"

KEY_BYTES: Final = 32
_COMMITMENT_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_NONCE_AT: Final = len(MAGIC) + _COMMITMENT_BYTES
_BODY_AT: Final = _NONCE_AT + _NONCE_BYTES

#: The bytes that sealing adds.
OVERHEAD: Final = _BODY_AT + _TAG_BYTES

#: The purpose of a derived key. The name of the object follows.
_INFO: Final = b"ekyc object v1\x00"

#: The digits of a data key's id.
ID_DIGITS: Final = 16


class Origin(StrEnum):
    """Who wrote what an object holds. It is part of the name under which the object is sealed."""

    #: A process with keys.
    WRITTEN = ""
    #: It lay plain in the folder when `ekyc evidence rotate` encrypted it, as what was stored before there were keys.
    ROTATED = "rotated"
    #: It lay plain in the folder when a worker stored its first object there: somebody may have planted it.
    FOUND = "found"

    def named(self, name: str) -> str:
        """Return the name under which an object of this origin is sealed."""
        return f"{self}/{name}" if self else name


class NotOpened(Exception):
    """Raised when sealed bytes do not open. `wrong_key`: they were sealed under another key."""

    def __init__(self, *, wrong_key: bool) -> None:
        super().__init__("sealed under another key" if wrong_key else "changed, cut or moved")
        self.wrong_key = wrong_key


class Sealer:
    """Seals and opens the objects of one name under one secret. Thread-safe.

    Parameters:
        secret: 32 bytes, uniformly random.
        name: the object's name.
    """

    __slots__ = ("_cipher", "_head")

    def __init__(self, secret: bytes, name: str) -> None:
        derived = HKDF(SHA256(), KEY_BYTES + _COMMITMENT_BYTES, salt=None, info=_INFO + name.encode()).derive(
            secret
        )
        self._cipher = AESGCM(derived[:KEY_BYTES])
        self._head = MAGIC + derived[KEY_BYTES:]

    def seal(self, body: bytes, context: bytes) -> bytes:
        """Return the sealed form of `body`, which opens only with the same associated data, `context`."""
        nonce = os.urandom(_NONCE_BYTES)
        return b"".join((self._head, nonce, self._cipher.encrypt(nonce, body, context)))

    def fits(self, raw: bytes) -> bool:
        """Whether the commitment is that of this secret and name."""
        return bytes_eq(raw[:_NONCE_AT], self._head)

    def open(self, raw: bytes, context: bytes) -> bytes:
        """Return what was sealed. Raises ``NotOpened``."""
        if len(raw) < OVERHEAD or not is_sealed(raw):
            raise NotOpened(wrong_key=False)
        if not self.fits(raw):
            raise NotOpened(wrong_key=True)
        try:
            return self._cipher.decrypt(raw[_NONCE_AT:_BODY_AT], memoryview(raw)[_BODY_AT:], context)
        except InvalidTag:
            raise NotOpened(wrong_key=False) from None


class DataKey:
    """The key of one verification. Its `repr` shows the id only.

    Parameters:
        data_key_id: 16 hexadecimal digits, which is not secret.
        secret: 32 random bytes.
        region: where the verification belongs, together with `signature_id`.
        plain: the folder holds objects from before, which are not encrypted yet.
    """

    __slots__ = ("_secret", "id", "plain", "region", "signature_id")

    def __init__(
        self, data_key_id: str, secret: bytes, region: str, signature_id: str, *, plain: bool = False
    ) -> None:
        self.id = data_key_id
        self.region = region
        self.signature_id = signature_id
        self.plain = plain
        self._secret = secret

    def __repr__(self) -> str:
        return f"DataKey({self.id!r})"

    @classmethod
    def new(cls, region: str, signature_id: str, *, plain: bool = False) -> DataKey:
        return cls(
            secrets.token_hex(ID_DIGITS // 2),
            os.urandom(KEY_BYTES),
            region,
            signature_id,
            plain=plain,
        )

    def as_plain(self, *, plain: bool = True) -> DataKey:
        """Return the same key with another flag."""
        return DataKey(self.id, self._secret, self.region, self.signature_id, plain=plain)

    def seal(self, name: str, body: bytes, origin: Origin = Origin.WRITTEN) -> bytes:
        """Return the sealed form of an object."""
        sealed_as = origin.named(name)
        return Sealer(self._secret, sealed_as).seal(body, self._context(sealed_as))

    def open(self, name: str, raw: bytes) -> bytes:
        """Return the bytes of a sealed object, no matter who wrote them. Raises ``NotOpened``."""
        return self.opened(name, raw)[0]

    def opened(self, name: str, raw: bytes) -> tuple[bytes, Origin]:
        """Return the bytes of a sealed object, and who wrote them. Raises ``NotOpened``."""
        for origin in Origin:
            sealed_as = origin.named(name)
            sealer = Sealer(self._secret, sealed_as)
            if sealer.fits(raw):
                return sealer.open(raw, self._context(sealed_as)), origin
        raise NotOpened(wrong_key=len(raw) >= OVERHEAD and is_sealed(raw))

    def wrapped(self, sealer: Sealer, context: bytes) -> bytes:
        """Return the secret, sealed under a named key."""
        return sealer.seal(self._secret, context)

    def _context(self, name: str) -> bytes:
        return associated(self.region, self.signature_id, name, self.id)


def is_sealed(raw: bytes) -> bool:
    return raw.startswith(MAGIC)


def associated(*parts: str) -> bytes:
    """Return associated data: each part after its length, so that no two lists of parts give the same bytes."""
    encoded = [part.encode() for part in parts]
    return b"".join([piece for part in encoded for piece in (len(part).to_bytes(4, "big"), part)])
