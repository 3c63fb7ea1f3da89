"""Requests a token from the vendor. ``worker.advance.token_cache`` decides which process does so, and when."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final

import requests
import structlog

from worker.advance.answers import AccountFault, classify_token
from worker.advance.exchange import Exchange, exchange
from worker.advance.regions import token_url
from worker.http_client import deadline
from worker.time_budget import TOKEN_REQUEST_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.token import Token
    from worker.advance.answers import TokenFault
    from worker.http_client.session import Session
    from worker.settings import Settings

#: How long a token lives: the vendor's default, sent explicitly so that we can rely on it.
PERIOD_S: Final = 3600


#: How far a clock may differ from the date of an answer, which has whole seconds and may come from a cache.
CLOCK_TOLERANCE_S: Final = 30.0

#: The code for a timestamp that is too far from the vendor's clock, and for other invalid parameters.
_OUR_PARAMETERS: Final = "TOKEN_PARAMETER_ERROR"

_log = structlog.get_logger(__name__)


def sign(access_key: str, secret_key: str, timestamp_ms: str) -> str:
    """Return the signature as the vendor's page of the token documents it: a plain SHA-256, not an HMAC."""
    return hashlib.sha256(f"{access_key}{secret_key}{timestamp_ms}".encode()).hexdigest()


class TokenRequest:
    """Requests a token of a region at each call. Safe to use from many threads."""

    def __init__(self, session: Session, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._session = session
        self._settings = settings
        self._clock = clock

    def __call__(self, region: str) -> Token | TokenFault:
        """Return a token, or why there is none. A refusal of our timestamp counts only if our clock is right."""
        with deadline(TOKEN_REQUEST_S):
            now = self._clock()
            answer = self.ask(region, now)
            outcome, date = classify_token(answer, now=now), answer.date()
            refused = isinstance(outcome, AccountFault) and outcome.code == _OUR_PARAMETERS
            if not refused or date is None or abs(date - now) <= CLOCK_TOLERANCE_S:
                return outcome
            _log.warning("clock_is_wrong", region=region, ahead_s=round(now - date))
            return classify_token(self.ask(region, date), now=date)

    def ask(self, region: str, now: float | None = None) -> Exchange:
        """Return the exchange, within `TOKEN_REQUEST_S`. `now`: its timestamp in epoch seconds; None: by our clock."""
        settings = self._settings
        timestamp_ms = str(int((time.time() if now is None else now) * 1000))
        body = {
            "accessKey": settings.access_key,
            "timestamp": timestamp_ms,
            "signature": sign(settings.access_key, settings.secret_key, timestamp_ms),
            "periodSecond": PERIOD_S,
        }
        url = token_url(region, settings.base_url)
        request = self._session.prepare_request(requests.Request("POST", url, json=body))
        # An answer with a token has no id, so surplus bytes of an earlier answer could pass for one.
        with deadline(TOKEN_REQUEST_S), self._session.own_connections() as fresh:
            return exchange(fresh, request)
