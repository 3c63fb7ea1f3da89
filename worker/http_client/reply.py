"""The `raw` attribute of a response of `requests`: its transfer, to be read or closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import requests

from worker.http_client.curl import pycurl
from worker.http_client.deadline import time_left_s
from worker.http_client.failure import failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.http_client.body import Body
    from worker.http_client.transfer import Transfer

#: libcurl ends a transfer at the deadline. If it does not, the greenlet ends it this much later.
GUARD_S: Final = 0.1


class Reply:
    """The body of one response. Calls `done` once, when the transfer is no longer needed."""

    def __init__(self, transfer: Transfer, done: Callable[[Transfer], None]) -> None:
        #: Whether this is the first request on its connection.
        self.fresh = bool(transfer.curl.getinfo(pycurl.NUM_CONNECTS))
        self._transfer: Transfer | None = transfer
        self._done = done

    def read(self, body: Body) -> bytes:
        """Return the whole body. Raises ``requests.RequestException``."""
        transfer = self._transfer
        if transfer is None:
            raise requests.ConnectionError("this body was already read or closed")
        try:
            transfer.allow(body)
            while not transfer.ended:
                if not transfer.engine.wait(transfer, time_left_s() + GUARD_S):
                    raise requests.ConnectionError(
                        TimeoutError("the deadline has passed")
                    ) from TimeoutError()
            if transfer.code:
                raise failure(transfer)
            return body.whole()
        finally:
            self.close()

    def close(self) -> None:
        """Abandon the rest of the body, and end the transfer."""
        transfer, self._transfer = self._transfer, None
        if transfer is not None:
            transfer.engine.stop(transfer)
            self._done(transfer)
