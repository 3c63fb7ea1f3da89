"""The vendor as the rest of us sees it: ask for a result, get an answer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import requests

from schemas.fields import REGIONS
from schemas.token import Token
from worker.transport import deadline, session
from worker.vendor.answers import Answer, TokenFault, TransientFault, Unauthorised, classify, classify_token
from worker.vendor.exchange import exchange
from worker.vendor.mint import Mint
from worker.vendor.regions import get_result_url
from worker.vendor.token_store import TokenStore
from worker.vendor.tokens import TokenRefused, Tokens

if TYPE_CHECKING:
    import redis as redis_py

    from worker.settings import Settings

#: For all that one `get_result` does: waiting for a token, asking, renewing the token, asking again. Half of
#: the default lease, so that the slowest answer is recorded long before the lease ends.
TOTAL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a region of the vendor can be used from here, and if not, why.

    Parameters:
        reachable: something answered over HTTP.
        refusal: why there is no token; None where there is one.
        clock_skew_s: how far our clock is ahead of the server's, give or take a second; None: it did not say.
    """

    reachable: bool
    refusal: TokenFault | None
    clock_skew_s: float | None


class Client:
    """Asks the vendor, over one keep-alive session and with the fleet's token. Safe to use from many threads.

    Make it after the process has forked.
    """

    def __init__(self, settings: Settings, redis: redis_py.Redis) -> None:
        self._session = session()
        # One worker with a wrong clock must not have all of them held.
        self._mint = Mint(self._session, settings, TokenStore(redis).now)
        self._tokens = Tokens(redis, self._mint)
        # What is the same in every call is prepared once.
        self._requests = {region: self._prepared(region, settings.base_url) for region in REGIONS}

    def get_result(self, region: str, signature_id: str) -> Answer:
        """The vendor's answer about `signature_id`, after `TOTAL_S` and what Redis takes at the latest.

        Whatever the vendor or the network does is an answer. Raises ``LedgerUnavailable`` where Redis, which
        holds the token, does not answer.
        """
        with deadline(TOTAL_S):
            try:
                token = self._tokens.get(region)
                answer = self._ask(region, signature_id, token)
                if isinstance(answer, Unauthorised):
                    token = self._tokens.renew(region, token)
                    answer = self._ask(region, signature_id, token)
                    if isinstance(answer, Unauthorised) and self._tokens.get(region) != token:
                        # Somebody has renewed it meanwhile: it says nothing of the account.
                        return TransientFault("TOKEN_REPLACED", transaction_id=answer.transaction_id)
            except TokenRefused as refused:
                return refused.answer
        return answer

    def probe(self, region: str) -> Probe:
        """Ask for a token of its own, past Redis, and see what comes back. Raises nothing."""
        asked_at = time.time()
        answer = self._mint.ask(region)
        answered_at = time.time()
        outcome, date = classify_token(answer, now=answered_at), answer.date()
        return Probe(
            reachable=answer.status > 0,
            refusal=None if isinstance(outcome, Token) else outcome,
            clock_skew_s=None if date is None else (asked_at + answered_at) / 2 - date,
        )

    def _ask(self, region: str, signature_id: str, token: str) -> Answer:
        request = self._requests[region].copy()
        request.body = json.dumps({"signatureId": signature_id}).encode()
        request.headers["Content-Length"] = str(len(request.body))
        request.headers["X-ACCESS-TOKEN"] = token
        asked_at = time.monotonic()
        exchanged = exchange(self._session, request)
        took_s = time.monotonic() - asked_at
        return replace(classify(exchanged, signature_id=signature_id, now=time.time()), took_s=took_s)

    def _prepared(self, region: str, base_url: str) -> requests.PreparedRequest:
        url, headers = get_result_url(region, base_url), {"Content-Type": "application/json"}
        return self._session.prepare_request(requests.Request("POST", url, headers=headers))
