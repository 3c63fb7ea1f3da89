"""Opens encrypted evidence by the description in `docs/encryption.md`, without the product's own code."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from pathlib import Path

MAGIC: Final = b"EKYCE1\n"


class NotOpened(Exception):
    """Raised for a file that is not encrypted, or does not open in its place."""


class Folder:
    """The folder of one verification.

    Parameters:
        keys: the secrets of the named keys.
    """

    def __init__(self, path: Path, keys: dict[str, bytes]) -> None:
        self._path = path
        self._place = (path.parent.name, path.name)
        document: dict[str, Any] = json.loads((path / "key.json").read_bytes())
        self._id: str = document["id"]
        mark = "plain" if document.get("plain") else ""
        context = (*self._place, "key.json", document["key"], self._id, mark)
        raw = base64.b64decode(document["wrapped"])
        self._secret = _opened(raw, keys[document["key"]], "key.json", context)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file. Raises ``NotOpened``."""
        return _opened((self._path / name).read_bytes(), self._secret, name, (*self._place, name, self._id))


def _opened(raw: bytes, secret: bytes, name: str, context: tuple[str, ...]) -> bytes:
    derived = HKDF(SHA256(), 64, salt=None, info=b"ekyc object v1\0" + name.encode()).derive(secret)
    if not raw.startswith(MAGIC + derived[32:]):
        raise NotOpened(f"{name} is not encrypted under its key")
    rest = raw[len(MAGIC) + 32 :]
    associated = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in context)
    try:
        return AESGCM(derived[:32]).decrypt(rest[:12], rest[12:], associated)
    except InvalidTag:
        raise NotOpened(f"{name} does not open in its place") from None
