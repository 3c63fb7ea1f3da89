"""A code for the fault of an exchange with a server."""

from __future__ import annotations

import socket
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Final

from requests.exceptions import ContentDecodingError, InvalidURL, ProxyError, SSLError

from worker.http_client.body import BodyTooLarge
from worker.http_client.failure import AddressNotPublic

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The codes by the class of an error in the chain of causes; the first match counts.
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
    """Return the code of a failed exchange, for logs and counters. It never quotes the server."""
    chain = tuple(_chain(error))
    return next((word for kind, word in _WORDS for link in chain if isinstance(link, kind)), "NETWORK")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
