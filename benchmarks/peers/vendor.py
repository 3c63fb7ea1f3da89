"""The vendor's calls with requests: one keep-alive session, and one token, for each process."""

from __future__ import annotations

import threading
from functools import cache
from typing import Final

import requests
from requests.adapters import HTTPAdapter

from benchmarks.peers import job

#: More connections than any process here has calls under way.
POOL_SIZE: Final = 512
TIMEOUT_S: Final = 10.0

_minting = threading.Lock()


@cache
def session() -> requests.Session:
    made = requests.Session()
    made.mount("http://", HTTPAdapter(pool_maxsize=POOL_SIZE))
    return made


@cache
def _minted() -> str:
    answer = session().post(job.TOKEN_URL, json=job.credentials(), timeout=TIMEOUT_S)
    token: str = answer.json()["data"]["token"]
    return token


def token() -> str:
    # Threads that begin together need one token, not one each.
    with _minting:
        return _minted()


def get_result(signature_id: str) -> requests.Response:
    """Ask once."""
    answer = session().post(
        job.RESULT_URL,
        json={"signatureId": signature_id},
        headers={"X-ACCESS-TOKEN": token()},
        timeout=TIMEOUT_S,
    )
    answer.raise_for_status()
    return answer


def image(url: str) -> bytes:
    answer = session().get(url, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return answer.content
