"""Looks at evidence: how many a user may take, and what a look opens, for how long.

A look is opened after it is recorded, and belongs to one user and one session. Its id is in the URLs of its images; in
Redis its key has the SHA-256 of it only. Its value has a MAC under a key that Redis does not have: a client that can
write to Redis makes no look, and makes none last longer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import secrets
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from worker.errors import EkycError
from worker.keyring import NamedKey
from worker.ledger.connection import translated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

#: Looks of one user within an hour and within a day. One look shows one verification.
MOST_AN_HOUR: Final = 60
MOST_A_DAY: Final = 500

#: Seconds for which a look shows evidence.
VALID_S: Final = 300

_PREFIX: Final = "ekyc:console:"

_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")

_PURPOSE: Final = "ekyc console look v1"

#: Characters of a MAC. The rest of a value is JSON.
_MAC_SIZE: Final = 64

#: Milliseconds by which the clock of Redis may have been set back since a look was recorded.
_CLOCK_MS: Final = 1000


class TooManyLooks(EkycError):
    """Raised for a look beyond the limit of its user."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            f"you have looked at {MOST_AN_HOUR} verifications within an hour, or at {MOST_A_DAY} within a day"
        )
        self.wait_s = wait_s


class ForeignLook(EkycError):
    """Raised for a look of another user or another session."""


@dataclass(frozen=True, slots=True)
class Look:
    """An open look. `at_ms`: when it was recorded, by Redis's clock."""

    id: str
    region: str
    signature_id: str
    who: str
    at_ms: int
    why: str

    @property
    def until_ms(self) -> int:
        return self.at_ms + VALID_S * 1000


class LookRegister:
    """Counts, opens and finds looks. Every method raises ``LedgerUnavailable`` when Redis cannot be used.

    Parameters:
        secrets_: those of the processes of `web`, the current one first. Without one, a look is found only by the
            process that opened it.
    """

    def __init__(self, redis: Redis, secrets_: Iterable[bytes]) -> None:
        self._redis = redis
        known = [secret for secret in secrets_ if secret] or [secrets.token_bytes(32)]
        self._keys = [NamedKey("", secret).derive(_PURPOSE) for secret in known]
        self._count = redis.register_script((files("worker.web.console") / "looks.lua").read_text())

    def count(self, who: str) -> int:
        """Count a look of a user, and return its moment in ms. Raises ``TooManyLooks``."""
        with translated():
            at_ms, wait_ms = self._count(
                keys=[f"{_PREFIX}looks:{who}"], args=[secrets.token_hex(8), MOST_AN_HOUR, MOST_A_DAY]
            )
        if wait_ms:
            raise TooManyLooks(math.ceil(wait_ms / 1000))
        return int(at_ms)

    def open(  # noqa: PLR0913 - the parts of a look
        self, region: str, signature_id: str, *, who: str, session: str, at_ms: int, why: str
    ) -> Look:
        """Open a look that was recorded."""
        look = Look(secrets.token_urlsafe(32), region, signature_id, who, at_ms, why)
        body = json.dumps(
            {
                "region": region,
                "signature_id": signature_id,
                "who": who,
                "session": _digest(session),
                "at_ms": at_ms,
                "why": why,
            }
        ).encode()
        with translated():
            self._redis.set(_key(look.id), _mac(self._keys[0], look.id, body).encode() + body, ex=VALID_S)
        return look

    def find(self, look_id: str, *, who: str, session: str) -> Look | None:
        """Return an open look; None: there is none of this id, or it has ended. Raises ``ForeignLook``."""
        if not _ID.fullmatch(look_id):
            return None
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.get(_key(look_id))
            pipe.time()
            raw, (now_s, micros) = pipe.execute()
        body = self._proven(look_id, raw or b"")
        if body is None:
            return None
        found = json.loads(body)
        age_ms = now_s * 1000 + micros // 1000 - found["at_ms"]
        # The expiry of the key is not enough: a client of Redis can take it away.
        if not -_CLOCK_MS <= age_ms < VALID_S * 1000:
            return None
        if (found["who"], found["session"]) != (who, _digest(session)):
            raise ForeignLook("this look is of another user or another session")
        return Look(look_id, found["region"], found["signature_id"], who, found["at_ms"], found["why"])

    def _proven(self, look_id: str, raw: bytes) -> bytes | None:
        """Return the JSON of a look that a process of `web` opened under this id; None: it is none."""
        mac, body = raw[:_MAC_SIZE], raw[_MAC_SIZE:]
        known = (_mac(key, look_id, body).encode() for key in self._keys)
        return body if any(hmac.compare_digest(each, mac) for each in known) else None


def _mac(key: bytes, look_id: str, body: bytes) -> str:
    return hmac.digest(key, look_id.encode() + body, "sha256").hex()


def _key(look_id: str) -> str:
    return f"{_PREFIX}look:{_digest(look_id)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
