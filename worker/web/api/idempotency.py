"""`Idempotency-Key`: a request that is sent again under its key gets the answer of the first.

Redis keeps the key for a day with a hash of the body and the name of the call. The ledger remembers by the name of the
call which verifications it was that added, so the answer itself is not kept.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from worker.ledger.connection import translated
from worker.ledger.ledger import new_call
from worker.web.api.problems import BAD_REQUEST, KEY_REUSED, Problem

if TYPE_CHECKING:
    from redis import Redis

HEADER: Final = "Idempotency-Key"

#: Seconds for which a key is kept.
KEPT_S: Final = 86_400

#: Of no region: a batch may be for several.
KEY: Final = "ekyc:api:idempotency:"

_TEXT: Final = re.compile(r"[!-~]{1,255}")


def call_of(redis: Redis, token: str, key: str | None, body: bytes) -> str:
    """The name of the ledger's call for a request; "" without a key. Raises ``Problem`` and ``LedgerUnavailable``.

    `token` is the name of the caller's token: two callers may use the same key.
    """
    if key is None:
        return ""
    if not _TEXT.fullmatch(key):
        raise Problem(
            BAD_REQUEST,
            f"{HEADER} must be 1 to 255 printable ASCII characters",
            errors=[{"header": HEADER, "detail": "must be 1 to 255 printable ASCII characters"}],
        )
    name = KEY + hashlib.sha256(f"{token}\0{key}".encode()).hexdigest()
    value = f"{hashlib.sha256(body).hexdigest()}|{new_call()}"
    with translated():
        # Where another request has set it and it expires between the two commands, the second round sets it.
        for _ in range(2):
            if redis.set(name, value, nx=True, ex=KEPT_S):
                return value.partition("|")[2]
            kept = redis.get(name)
            if isinstance(kept, bytes):
                value_hash, _, call = kept.decode().partition("|")
                if value_hash != value.partition("|")[0]:
                    raise Problem(
                        KEY_REUSED,
                        "the key belongs to a request with another body: use a new key for a new request",
                        errors=[{"header": HEADER, "detail": "belongs to a request with another body"}],
                    )
                return call
    return new_call()
