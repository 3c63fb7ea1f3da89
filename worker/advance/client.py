"""The client of the vendor's API: it takes a `signatureId` and returns an answer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import requests
import structlog

from schemas.errors import SchemaError
from schemas.token import Token
from schemas.vendor_json import parse
from worker.advance.answers import (
    Answer,
    OursToFix,
    TokenFault,
    TransientFault,
    Unauthorised,
    UnknownCode,
    UnknownId,
    Unreadable,
    classify,
    classify_token,
)
from worker.advance.answers.classify import classify_clearing
from worker.advance.exchange import exchange
from worker.advance.regions import clear_data_url, get_result_url
from worker.advance.token_box import TokenBox
from worker.advance.token_cache import TokenCache, TokenRefused
from worker.advance.token_request import TokenRequest
from worker.advance.token_store import TokenStore
from worker.concurrency.blocking import pause, run_blocking
from worker.enqueue_request import REGIONS
from worker.http_client import deadline, session, time_left_s
from worker.time_budget import VENDOR_CALL_S

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis as redis_py

    from worker.advance.answers.values import Clearing
    from worker.advance.exchange import Exchange
    from worker.http_client.session import Sender
    from worker.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a region of the vendor can be used from here, and if not, why.

    Parameters:
        reachable: something answered over HTTP.
        refusal: why there is no token; None if there is one.
        clock_skew_s: how far our clock is ahead of the server's, within a second; None if it did not send its time.
    """

    reachable: bool
    refusal: TokenFault | None
    clock_skew_s: float | None


#: Answers that lead to quarantine or to a decision, and need not contain the id.
_FINAL: Final = (UnknownId, OursToFix, UnknownCode, Unreadable)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One answer, and whether it belongs to the request.

    Parameters:
        counts: it is not final, it names the id, or it is the first answer on its connection.
        of_another: it names another id.
    """

    answer: Answer
    counts: bool
    of_another: bool

    @classmethod
    def of(cls, answer: Answer, exchanged: Exchange, signature_id: str) -> _Asked:
        if not isinstance(answer, _FINAL):
            return cls(answer, counts=True, of_another=False)
        named = _named(exchanged.body)
        of_another = named is not None and named != signature_id
        return cls(
            answer,
            counts=named == signature_id or (exchanged.fresh and not of_another),
            of_another=of_another,
        )


def _named(body: bytes) -> str | None:
    """Return the id in an answer. None if it has none, or is too large to be read on the event loop."""
    try:
        found = parse(body)["data"]["signatureId"]
    except (SchemaError, TypeError, KeyError):
        return None
    return found if isinstance(found, str) else None


def _for_nothing(_: str) -> float:
    return 0.0


class Client:
    """Calls the vendor over persistent connections, with the fleet's token. Safe to use from many threads.

    A final answer without the requested id may belong to another request: surplus bytes after a response become
    the answer to the next request on that connection. So it counts only as the first answer on its connection;
    otherwise the client calls the vendor once more, on a fresh connection.

    Create it after the process has forked.

    Parameters:
        spend: takes a permit for one more call of a region. Returns 0, or the seconds until there is one.
    """

    def __init__(
        self, settings: Settings, redis: redis_py.Redis, spend: Callable[[str], float] | None = None
    ) -> None:
        self._session = session(proxy=settings.proxy, ca_bundle=settings.ca_bundle)
        self._spend = spend or _for_nothing
        # By Redis's clock: a worker with a wrong clock must not put a region on hold for all.
        self._request_token = TokenRequest(self._session, settings, TokenStore(redis).now)
        self._tokens = TokenCache(redis, self._request_token, TokenBox(settings.secret_key))
        self._base_url = settings.base_url
        # The parts that all calls share are prepared once.
        self._requests = {region: self._prepared(region, settings.base_url) for region in REGIONS}

    def get_result(self, region: str, signature_id: str) -> Answer:
        """Return the vendor's answer about `signature_id`, within `VENDOR_CALL_S` plus the time that Redis takes.

        All faults of the vendor or the network are answers, too. Raises ``LedgerUnavailable`` if Redis, which
        holds the token, does not answer.
        """
        with deadline(VENDOR_CALL_S):
            try:
                token = self._tokens.get(region)
                asked = self._ask(self._session, region, signature_id, token)
                if isinstance(asked.answer, Unauthorised):
                    token = self._tokens.renew(region, token)
                    asked = self._ask(self._session, region, signature_id, token)
                    if isinstance(asked.answer, Unauthorised) and self._tokens.get(region) != token:
                        # Another process has renewed it meanwhile, so this is no fault of the account.
                        return TransientFault("TOKEN_REPLACED", transaction_id=asked.answer.transaction_id)
            except TokenRefused as refused:
                return refused.answer
            return asked.answer if asked.counts else self._confirmed(asked, region, signature_id, token)

    def clear_data(self, region: str, signature_id: str) -> Clearing:
        """Ask the vendor to delete its data of `signature_id`, and return what it answers, within `VENDOR_CALL_S`.

        The caller has a permit of the region's rate. A success must not belong to another request, so each has a
        connection of its own. Raises ``LedgerUnavailable``.
        """
        with deadline(VENDOR_CALL_S), self._session.own_connections() as fresh:
            try:
                token = self._tokens.get(region)
                answer = self._ask_to_clear(fresh, region, signature_id, token)
                if isinstance(answer, Unauthorised):
                    token = self._tokens.renew(region, token)
                    answer = self._ask_to_clear(fresh, region, signature_id, token)
            except TokenRefused as refused:
                return refused.answer
            return answer

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def probe(self, region: str) -> Probe:
        """Request a token without Redis, and return what this shows about the region. Raises nothing."""
        asked_at = time.time()
        answer = self._request_token.ask(region)
        answered_at = time.time()
        outcome, date = classify_token(answer, now=answered_at), answer.date()
        return Probe(
            reachable=answer.status > 0,
            refusal=None if isinstance(outcome, Token) else outcome,
            clock_skew_s=None if date is None else (asked_at + answered_at) / 2 - date,
        )

    def _confirmed(self, first: _Asked, region: str, signature_id: str, token: str) -> Answer:
        """Return the answer on a fresh connection, or a fault if the region's rate allows no call in time."""
        if first.of_another:
            self._drop_connections(region)
        while wait_s := run_blocking(self._spend, region):
            if wait_s >= time_left_s():
                return TransientFault("NOT_CONFIRMED", transaction_id=first.answer.transaction_id)
            pause(wait_s)
        with self._session.own_connections() as fresh:
            second = self._ask(fresh, region, signature_id, token)
        if not first.of_another and second.answer.kind != first.answer.kind:
            self._drop_connections(region)
        return second.answer

    def _drop_connections(self, region: str) -> None:
        log.warning("vendor_connections_closed", region=region, why="an answer to another request")
        self._session.drop_connections()

    def _ask(self, sender: Sender, region: str, signature_id: str, token: str) -> _Asked:
        request = self._request(region, token)
        request.body = json.dumps({"signatureId": signature_id}).encode()
        asked_at = time.monotonic()
        exchanged = exchange(sender, request)
        took_s = time.monotonic() - asked_at
        answer = replace(classify(exchanged, signature_id=signature_id, now=time.time()), took_s=took_s)
        return _Asked.of(answer, exchanged, signature_id)

    def _ask_to_clear(self, sender: Sender, region: str, signature_id: str, token: str) -> Clearing:
        request = self._session.prepare_request(
            requests.Request(
                "POST",
                clear_data_url(region, self._base_url),
                params={"signatureId": signature_id},
                headers={"X-ACCESS-TOKEN": token},
            )
        )
        return classify_clearing(exchange(sender, request), now=time.time())

    def _request(self, region: str, token: str) -> requests.PreparedRequest:
        """Return a request without its body. It shares its headers with every request with this token."""
        prepared = self._requests[region]
        if prepared.headers.get("X-ACCESS-TOKEN") != token:
            prepared = self._requests[region] = prepared.copy()
            prepared.headers["X-ACCESS-TOKEN"] = token
        request = requests.PreparedRequest()
        request.method, request.url, request.headers = prepared.method, prepared.url, prepared.headers
        return request

    def _prepared(self, region: str, base_url: str) -> requests.PreparedRequest:
        url, headers = get_result_url(region, base_url), {"Content-Type": "application/json"}
        return self._session.prepare_request(requests.Request("POST", url, headers=headers))
