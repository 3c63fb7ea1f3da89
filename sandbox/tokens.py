"""The vendor's token API: which requests get a token, and how long it is valid."""

from __future__ import annotations

import re
import time
from hashlib import sha256
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: The default keys of the sandbox: those in the vendor's own example of a signature.
ACCESS_KEY: Final = "sampleaccesskey"
SECRET_KEY: Final = "samplesecretkey"  # noqa: S105 - public

#: How far a timestamp may differ from the vendor's clock, as its page suggests.
MAX_SKEW_S: Final = 300
#: `periodSecond`: its default, and its documented bounds.
PERIOD_S: Final = 3600
MIN_PERIOD_S: Final = 60
MAX_PERIOD_S: Final = 86_400

#: Tokens that are remembered. Beyond it the oldest is forgotten and no longer valid.
MAX_TOKENS: Final = 10_000


_MILLIS: Final = re.compile(r"[0-9]{13}")
_SECONDS: Final = re.compile(r"[0-9]{1,5}")


class TokenRefused(Exception):
    """Raised when a token request is refused. `code` is the envelope code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Tokens:
    """The tokens that were issued. Several are valid at a time; a new token does not revoke the old ones.

    Parameters:
      token_s: the lifetime of tokens, whatever the request asks for; None: as it asks.
      clock: returns the epoch in seconds.
    """

    def __init__(
        self,
        access_key: str = ACCESS_KEY,
        secret_key: str = SECRET_KEY,
        *,
        token_s: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._access_key = access_key
        self._secret_key = secret_key
        self._token_s = token_s
        self._clock = clock
        self._lock = Lock()
        self._ends_at_s: dict[str, float] = {}
        self.issued = 0

    def generate(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `data` of the answer to a request with `fields`. Raises ``TokenRefused``."""
        self._check(fields)
        period_s = _period_s(fields.get("periodSecond", PERIOD_S))
        ends_at_s = self._clock() + (period_s if self._token_s is None else self._token_s)
        token = token_hex(16)
        with self._lock:
            self.issued += 1
            self._ends_at_s[token] = ends_at_s
            if len(self._ends_at_s) > MAX_TOKENS:
                del self._ends_at_s[next(iter(self._ends_at_s))]
        return {"token": token, "expiredTime": round(ends_at_s * 1000)}

    def valid(self, token: str | None) -> bool:
        return self._clock() < self._ends_at_s.get(token or "", 0.0)

    def revoke(self, token: str | None) -> None:
        with self._lock:
            self._ends_at_s.pop(token or "", None)

    def _check(self, fields: Mapping[str, Any]) -> None:
        access_key, timestamp, signature = (
            str(fields.get(name) or "") for name in ("accessKey", "timestamp", "signature")
        )
        if not (access_key and timestamp and signature):
            raise TokenRefused("PARAMETER_ERROR", "Parameter should not be empty")
        if not _MILLIS.fullmatch(timestamp) or abs(self._clock() - int(timestamp) / 1000) > MAX_SKEW_S:
            raise TokenRefused("PARAMETER_ERROR", "Timestamp error")
        signed = sha256(f"{self._access_key}{self._secret_key}{timestamp}".encode()).hexdigest()
        if (access_key, signature) != (self._access_key, signed):
            raise TokenRefused("PARAMETER_ERROR", "Signature error")


def _period_s(value: Any) -> int:
    text = str(value)
    if not (_SECONDS.fullmatch(text) and MIN_PERIOD_S <= int(text) <= MAX_PERIOD_S):
        raise TokenRefused("PARAMETER_ERROR", "Parameter periodSecond error")
    return int(text)
