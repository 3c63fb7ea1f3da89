"""Encrypts the fleet's token for Redis: a client of Redis can neither use it, nor give the fleet another one.

The key is derived from the vendor's secret key, with which anyone can request a token anyway. AES-256-GCM; the region
is associated data.
"""

from __future__ import annotations

import base64
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worker.keyring import NamedKey

#: What the key is derived for. A change makes every stored token unreadable, and a new one is requested.
_PURPOSE: Final = "ekyc token v1"

_NONCE_BYTES: Final = 12


class TokenBox:
    """Seals and opens tokens. Thread-safe."""

    def __init__(self, secret_key: str) -> None:
        self._cipher = AESGCM(NamedKey("", secret_key.encode()).derive(_PURPOSE))

    def seal(self, region: str, token: str) -> str:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, token.encode(), region.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, region: str, text: str) -> str | None:
        """Return the token; None for a text that no holder of the key has sealed for this region."""
        try:
            raw = base64.b64decode(text, altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], region.encode()).decode()
        except (InvalidTag, ValueError):
            return None
