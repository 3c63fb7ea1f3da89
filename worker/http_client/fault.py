"""One word for what went wrong between us and a server."""

from __future__ import annotations

import socket
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Final

from requests.exceptions import ContentDecodingError, InvalidURL, ProxyError, SSLError

from worker.http_client.body import BodyTooLarge
from worker.http_client.failure import AddressNotPublic

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What may lie at the root of it; the first that fits counts.
_WORDS: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (BodyTooLarge, "BODY_TOO_LARGE"),
    (ContentDecodingError, "BODY_UNPACKABLE"),
    (IncompleteRead, "TRUNCATED"),
    (AddressNotPublic, "ADDRESS_NOT_PUBLIC"),
    (InvalidURL, "INVALID_URL"),
    (ProxyError, "PROXY"),
    (socket.gaierror, "DNS"),
    (SSLError, "TLS"),
    (TimeoutError, "TIMEOUT"),
    (ConnectionRefusedError, "REFUSED"),
    (ConnectionError, "RESET"),
    (HTTPException, "NOT_HTTP"),
)


def fault(error: BaseException) -> str:
    """The word for a failed exchange, for logs and counters. It never holds what a server said."""
    chain = tuple(_chain(error))
    return next((word for kind, word in _WORDS for link in chain if isinstance(link, kind)), "NETWORK")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
