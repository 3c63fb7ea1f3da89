"""The links of images, archives and videos: each is signed, is for one object, and expires."""

from __future__ import annotations

import time
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: As documented for other products of the vendor; for this one the lifetime is unknown.
LIFETIME_S: Final = 86_400

#: The file behind the link of each role.
FILES: Final = {
    **{
        role: f"{role}.jpg"
        for role in ("front", "back", "face", "face_far", "face_near", "silent", "address")
    },
    "audit": "audit.zip",
    "video": "video.mp4",
}


class Verdict(StrEnum):
    """Whether a link is valid."""

    LIVE = "live"
    EXPIRED = "expired"
    FORGED = "forged"


class LinkSigner:
    """Signs links and checks them. Links outlive the process: the key is derived from `secret`."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._key = blake2b(secret.encode(), digest_size=32).digest()
        self._clock = clock

    def link(self, origin: str, signature_id: str, side: str, *, dead: bool = False) -> str:
        """Return a link that is valid for a day or, if `dead`, expired a second ago."""
        expires_s = int(self._clock()) + (-1 if dead else LIFETIME_S)
        signature = self._sign(signature_id, side, str(expires_s))
        return f"{origin}/images/{signature_id}/{FILES[side]}?expires={expires_s}&sig={signature}"

    def judge(self, signature_id: str, side: str, *, expires_s: str, signature: str) -> Verdict:
        if signature != self._sign(signature_id, side, expires_s):
            return Verdict.FORGED
        return Verdict.LIVE if self._clock() < int(expires_s) else Verdict.EXPIRED

    def _sign(self, signature_id: str, side: str, expires_s: str) -> str:
        text = f"{signature_id}/{side}/{expires_s}"
        return blake2b(text.encode(), digest_size=8, key=self._key).hexdigest()
