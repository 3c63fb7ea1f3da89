"""Long answers, made as the client takes them.

`web` keeps an answer in memory until the client has taken it, so that no thread waits for a client. That is right for
pages, but not for an export of any length: there the thread that makes it waits, within limits.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from worker.web.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bytes of one piece, and those that may wait for the client.
PIECE: Final = 64 * 1024
MOST_WAITING: Final = 1024 * 1024

#: Seconds in which a client has to take something, and all.
PATIENCE_S: Final = 60.0
LONGEST_S: Final = 600.0


def paced(texts: Iterable[str], sock: Any) -> Iterator[bytes]:
    """Yield texts in larger pieces, as fast as the client behind `sock` takes them.

    `sock`: the socket of the request. Raises ``OSError`` for a client that takes nothing, or that needs too long.
    """
    ends_at = time.monotonic() + LONGEST_S
    waiting: list[str] = []
    size = 0
    for text in texts:
        waiting.append(text)
        size += len(text)
        if size >= PIECE:
            yield "".join(waiting).encode()
            waiting, size = [], 0
            if isinstance(sock, Outgoing):
                # With TLS, which has another socket, writing waits by itself.
                sock.drain(MOST_WAITING, PATIENCE_S)
            if time.monotonic() > ends_at:
                raise TimeoutError("the client takes the export too slowly")
    yield "".join(waiting).encode()
