"""A bound on requests without a valid token, by the address of the client, in each process.

Such requests cost no Redis, but each costs a millisecond of the processor. An address that sends many gets 429 before
Flask sees them. A valid token is served from any address: many clients may be behind one proxy.
"""

from __future__ import annotations

import ipaddress
import json
import math
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

import structlog

from worker.policy import api_tokens
from worker.web.api.problems import CONTENT_TYPE, FAILURES, TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from worker.web.api.token_file import TokenFile

#: Requests without a valid token that one address may send at once.
AT_ONCE: Final = 100

#: Seconds after which one more is answered with 401.
INTERVAL_S: Final = 0.2

_ROUNDING_S: Final = 1e-6

#: Addresses that are remembered. The one that failed first makes room.
MOST_ADDRESSES: Final = 4096

#: Refusals within this many seconds are one line of the log.
LOGGED_EACH_S: Final = 10.0

#: The name of the query parameter that holds the token of a notification.
SECRET: Final = "secret"  # noqa: S105 - a name

_NOTIFICATIONS: Final = "/v1/notifications/"

#: Paths below `/v1` that need no token.
_OPEN: Final = frozenset({"/v1/webhook-keys"})

_BODY: Final = json.dumps(
    {
        "type": TYPE + FAILURES.slug,
        "title": FAILURES.title,
        "status": FAILURES.status.value,
        "detail": "send a valid token",
    }
).encode()

_STATUS: Final = f"{FAILURES.status.value} {FAILURES.status.phrase}"

_HEADERS: Final = [
    ("Content-Type", CONTENT_TYPE),
    ("Content-Length", str(len(_BODY))),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
]

_log = structlog.get_logger(__name__)


class Failures:
    """Counts requests without a valid token, by GCRA. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: By client: the theoretical arrival time of its next failure. The one that failed first comes first.
        self._arrivals: dict[bytes, float] = {}
        self._refused = 0

    def count(self, address: str) -> None:
        """Count one failure of an address."""
        client, now = client_of(address), self._clock()
        with self._lock:
            arrival = max(self._arrivals.get(client, 0.0), now) + INTERVAL_S
            if client not in self._arrivals and len(self._arrivals) >= MOST_ADDRESSES:
                del self._arrivals[next(iter(self._arrivals))]
            self._arrivals[client] = arrival

    def wait_s(self, address: str) -> int:
        """Return the seconds for which an address must wait; 0: it has not failed too often."""
        if not self._arrivals:
            return 0
        client, now = client_of(address), self._clock()
        with self._lock:
            arrival = self._arrivals.get(client, 0.0)
            if arrival <= now:
                self._arrivals.pop(client, None)
                return 0
        over_s = arrival - now - (AT_ONCE - 1) * INTERVAL_S
        return max(1, math.ceil(over_s)) if over_s > _ROUNDING_S else 0

    def note_refusal(self) -> None:
        """Count a refused request for the next line of the log."""
        with self._lock:
            self._refused += 1
            if self._refused > 1:
                return
        timer = threading.Timer(LOGGED_EACH_S, self.write)
        timer.daemon = True
        timer.start()

    def write(self) -> None:
        """Log how many were refused since the last line."""
        with self._lock:
            count, self._refused = self._refused, 0
        _log.warning("api_failures_refused", count=count)


class Guard:
    """A WSGI application around the API: refuses requests without a valid token from addresses that sent too many."""

    def __init__(self, api: WSGIApplication, tokens: TokenFile, failures: Failures) -> None:
        self._api = api
        self._tokens = tokens
        self._failures = failures

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        wait_s = self._failures.wait_s(environ.get("REMOTE_ADDR", ""))
        if not wait_s or not _needs_token(environ["PATH_INFO"]) or self._is_valid(environ):
            return self._api(environ, start_response)
        self._failures.note_refusal()
        start_response(_STATUS, [*_HEADERS, ("Retry-After", str(wait_s))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [_BODY]

    def _is_valid(self, environ: WSGIEnvironment) -> bool:
        """Return whether a valid token is in a place where a view may look for it."""
        secrets = [bearer(environ.get("HTTP_AUTHORIZATION", ""))]
        if environ["PATH_INFO"].startswith(_NOTIFICATIONS):
            secrets += parse_qs(environ.get("QUERY_STRING", "")).get(SECRET, [])[:1]
        now = datetime.now(UTC)
        found = (api_tokens.find(self._tokens.tokens(), secret) for secret in secrets if secret)
        return any(token is not None and not token.is_expired(now) for token in found)


def bearer(authorization: str) -> str:
    """The token in a header; empty if there is none."""
    scheme, _, credentials = authorization.partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""


def _needs_token(path: str) -> bool:
    return path.startswith("/v1/") and path not in _OPEN


@lru_cache(maxsize=MOST_ADDRESSES)
def client_of(address: str) -> bytes:
    """One client: an IPv4 address, or the network of an IPv6 address, of which a client has a whole one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address.encode()[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.ipv4_mapped.packed if parsed.ipv4_mapped else parsed.packed[:8]
    return parsed.packed
