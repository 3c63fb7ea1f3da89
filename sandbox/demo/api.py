"""A pipeline that has HTTP alone: it enqueues, reads the feed of decisions, and reconciles."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sandbox.demo.plan import Planned

#: The most verifications of one request.
_BATCH: Final = 1000

_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What the API answered.

    Parameters:
      new: how many verifications were new.
      requests: how many it took.
      repeated_alike: the first was sent again with its `Idempotency-Key`, and had the same answer.
    """

    new: int = 0
    requests: int = 0
    repeated_alike: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pipeline sees over HTTP at the end.

    Parameters:
      decisions: the feed, in order.
      reconciliations: by region, what became of the ids.
      deliveries: those by webhook that were acknowledged, and those that were not.
    """

    decisions: tuple[Mapping[str, Any], ...] = ()
    reconciliations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deliveries: tuple[Mapping[str, Any], ...] = ()


class Api:
    """Calls the HTTP API. Raises ``requests.RequestException``, also for a status that means failure."""

    def __init__(self, url: str, token: str, session: requests.Session) -> None:
        self._url = url
        self._session = session
        # Ignore a proxy that the environment names: `web` is on this machine.
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {token}"

    def enqueue(self, planned: Sequence[Planned]) -> Enqueued:
        """Enqueue in batches. The first batch is sent twice, as if its answer had been lost."""
        starts = range(0, len(planned), _BATCH)
        bodies = [
            _json(
                {"verifications": [_item(verification) for verification in planned[start : start + _BATCH]]}
            )
            for start in starts
        ]
        answers = [
            self._post("/v1/verifications", body, key=f"demo-{number}") for number, body in enumerate(bodies)
        ]
        repeated_alike = all(
            self._post("/v1/verifications", body, key="demo-0") == answers[0] for body in bodies[:1]
        )
        return Enqueued(sum(answer["new"] for answer in answers), len(bodies), repeated_alike)

    def look(self, ids_by_region: Mapping[str, Sequence[str]]) -> Seen:
        """Read the whole feed and all deliveries, and reconcile all ids."""
        reconciliations = {region: self._reconcile(region, ids) for region, ids in ids_by_region.items()}
        deliveries = (*self._deliveries(), *self._deliveries(state="acknowledged"))
        return Seen(tuple(self._decisions()), reconciliations, deliveries)

    def _decisions(self) -> Iterator[dict[str, Any]]:
        query: dict[str, str] = {}
        while True:
            page = self._get("/v1/decisions", query)
            yield from page["decisions"]
            query = {"after": page["next"]}
            if not page["more"]:
                return

    def _deliveries(self, **query: str) -> Iterator[dict[str, Any]]:
        while True:
            page = self._get("/v1/deliveries", query)
            yield from page["deliveries"]
            if page["next"] is None:
                return
            query["cursor"] = page["next"]

    def _reconcile(self, region: str, ids: Sequence[str]) -> dict[str, Any]:
        return self._post("/v1/reconciliations", _json({"region": region, "signature_ids": ids}))

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        return self._answer(self._session.get(self._url + path, params=query, timeout=_TIMEOUT_S))

    def _post(self, path: str, body: bytes, *, key: str = "") -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        return self._answer(
            self._session.post(
                self._url + path, body, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False
            )
        )

    @staticmethod
    def _answer(response: requests.Response) -> dict[str, Any]:
        if response.status_code not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            kind = response.headers.get("Content-Type", "")
            detail = response.json().get("detail", "") if "problem+json" in kind else ""
            path = response.request.path_url.partition("?")[0]
            raise requests.HTTPError(
                f"web answered {response.status_code} to {path}: {detail or response.reason}"
            )
        answer: dict[str, Any] = response.json()
        return answer


@contextmanager
def connected(url: str, token: str) -> Iterator[Api]:
    """Yield a client."""
    with requests.Session() as session:
        yield Api(url, token, session)


def _item(planned: Planned) -> dict[str, Any]:
    return {"signature_id": planned.signature_id, "region": planned.region, "context": planned.context}


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()
