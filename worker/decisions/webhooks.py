"""Deliveries by webhook: what is in them, and the sender. The format is Standard Webhooks.

A body is thin: ids and codes, and the pipeline's context only for an endpoint that asks for it. It is made once, with
the decision, and stored: every try sends the same bytes under the same id.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Final

import requests

from worker.advance.exchange import Exchange
from worker.errors import EkycError
from worker.http_client import deadline, fault, public_session, read_what_comes, session
from worker.ledger.webhooks import DECIDED, Kind, NewDelivery, Outcome, delivery_id
from worker.policy import webhooks as policy
from worker.signatures import Signer
from worker.time_budget import WEBHOOK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from worker.decisions.endpoints import Endpoint
    from worker.http_client.session import Session
    from worker.ledger.webhooks import Delivery
    from worker.policy.outcome_seal import Sealer

#: How much of an answer is read, so that its connection can be used again. What it says does not matter.
MAX_ANSWER: Final = 16 * 1024

#: The fields of a decision that every endpoint gets.
THIN: Final = ("id", "signature_id", "region", "decision", "error_code", "reason", "decided_at", "table")


def of_decision(
    text: str, names: Iterable[str], endpoints: Mapping[str, Endpoint], sealer: Sealer | None = None
) -> tuple[NewDelivery, ...]:
    """The deliveries of a decision, given as the JSON that the ledger fixes, to named endpoints.

    `sealer`: makes the MACs without which no worker sends them.
    """
    decision, made = json.loads(text), []
    for name in names:
        id_, body = delivery_id(name, decision["id"]), _decision_body(decision, endpoints.get(name))
        seal = sealer.delivery(decision["region"], id_, name, body) if sealer else ""
        made.append(NewDelivery(id_, name, DECIDED, body, seal))
    return tuple(made)


def _decision_body(decision: Mapping[str, Any], endpoint: Endpoint | None) -> str:
    thin = {"type": DECIDED} | {name: decision[name] for name in THIN}
    if endpoint is not None and endpoint.context:
        thin["context"] = decision["context"]
    return packed(thin)


def packed(body: Mapping[str, Any]) -> str:
    """A body as it is stored, signed and sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


class Sender:
    """Sends deliveries. Thread-safe. Create it after the process has forked.

    Parameters:
        keys: sign every delivery with ed25519, beside the secrets of its endpoint.
        is_genuine: whether a worker made the body of a delivery: no other is signed or sent.
        proxy: see ``worker.http_client``; `ca_bundle` too.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        keys: Sequence[Ed25519PrivateKey] = (),
        *,
        is_genuine: Callable[[Delivery], bool],
        proxy: str = "",
        ca_bundle: str = "",
    ) -> None:
        self._endpoints = endpoints
        self._keys = tuple(keys)
        self._is_genuine = is_genuine
        self._random = Random()  # noqa: S311 - spreads tries, protects nothing
        # Only an origin that the file allows as written may be at a private address.
        # A slow receiver must not get a delivery twice.
        self._public = public_session(proxy=proxy, ca_bundle=ca_bundle, repeats=False)
        self._trusted = session(proxy=proxy, ca_bundle=ca_bundle, repeats=False)

    def close(self) -> None:
        """Close every connection."""
        self._public.close()
        self._trusted.close()

    def send(self, delivery: Delivery) -> Outcome:
        """Try once, within 15 s in all. Raises nothing for a fault of a network or an endpoint."""
        endpoint = self._endpoints.get(delivery.endpoint)
        if endpoint is None:
            return Outcome(delivery.id, Kind.BACK, in_s=policy.UNKNOWN_S)
        try:
            if not self._is_genuine(delivery):
                return policy.forged(delivery)
        except EkycError as error:
            # Only what has no MAC needs the ledger and the evidence store.
            return Outcome(delivery.id, Kind.BACK, error.cause, in_s=policy.UNKNOWN_S)
        now = time.time()
        try:
            request = self._request(endpoint, delivery, now)
        except ValueError:
            return policy.after_fault(delivery, "NO_SECRET", self._random)
        http: Session = self._trusted if endpoint.is_trusted else self._public
        try:
            with deadline(WEBHOOK_S), http.send(http.prepare_request(request), stream=True) as response:
                status, headers = response.status_code, response.headers
                # The status is the answer: a body that is too large, or breaks, changes nothing.
                read_what_comes(response, MAX_ANSWER)
        except requests.RequestException as error:
            return policy.after_fault(delivery, fault(error), self._random)
        retry_after_s = Exchange(status, headers).retry_after_s(now)
        return policy.after_answer(delivery, status, retry_after_s, self._random)

    def _request(self, endpoint: Endpoint, delivery: Delivery, now: float) -> requests.Request:
        """The signed request. Raises ``ValueError`` if every secret has ended, and there is no key."""
        body = delivery.body.encode()
        signer = Signer(secrets=endpoint.signing(datetime.fromtimestamp(now, UTC)), private_keys=self._keys)
        headers = signer.headers(delivery.id, int(now), body)
        return requests.Request(
            "POST", endpoint.url, headers={"Content-Type": "application/json", **headers}, data=body
        )
