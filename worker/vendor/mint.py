"""Asking the vendor for a token. Who should ask, and when, is the matter of ``worker.vendor.tokens``."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final

import requests

from worker.transport import deadline
from worker.vendor.answers import classify_token
from worker.vendor.exchange import Exchange, exchange
from worker.vendor.regions import token_url

if TYPE_CHECKING:
    from schemas.token import Token
    from worker.settings import Settings
    from worker.transport.session import Session
    from worker.vendor.answers import TokenFault

#: How long a token lives: the vendor's default, said aloud so that we know it.
PERIOD_S: Final = 3600

#: For one attempt. The vendor only computes a hash; what takes longer is down.
TOTAL_S: Final = 4.0


def sign(access_key: str, secret_key: str, timestamp_ms: str) -> str:
    """The signature that the vendor's page of the token documents: a plain SHA-256, no HMAC."""
    return hashlib.sha256(f"{access_key}{secret_key}{timestamp_ms}".encode()).hexdigest()


class Mint:
    """Mints a token of a region at each call. Safe to use from many threads."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings

    def __call__(self, region: str) -> Token | TokenFault:
        return classify_token(self.ask(region), now=time.time())

    def ask(self, region: str) -> Exchange:
        """The bare exchange, within `TOTAL_S`."""
        settings, timestamp_ms = self._settings, str(time.time_ns() // 1_000_000)
        body = {
            "accessKey": settings.access_key,
            "timestamp": timestamp_ms,
            "signature": sign(settings.access_key, settings.secret_key, timestamp_ms),
            "periodSecond": PERIOD_S,
        }
        url = token_url(region, settings.base_url)
        request = self._session.prepare_request(requests.Request("POST", url, json=body))
        # A token names nobody: what a server sent behind an earlier answer must not be taken for one.
        with deadline(TOTAL_S), self._session.own_connections() as fresh:
            return exchange(fresh, request)
