"""One HTTP exchange with the vendor, successful or not."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import requests

from worker.http_client import MIB, fault, read_what_comes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.http_client.session import Sender

#: The most bytes that are read of an answer. A result with the text of both sides of a document is a few kilobytes:
#: images come as links, because no request has `returnImageType: BASE64`.
MAX_BODY_BYTES: Final = 2 * MIB

#: The shortest hold, so that an answer of 0 does not cause calls without a pause, and the longest, so that a
#: mistake of a gateway cannot stop a region for days.
RETRY_AFTER_S: Final = (1.0, 3600.0)

#: `10` as in HTTP, `10s` as the vendor documents it. For a text without white space around it.
#: Nine digits are more than `RETRY_AFTER_S` allows, and further ones need not be read.
_SECONDS: Final = re.compile(r"([0-9]{1,9})([0-9]*+)(\.[0-9]{1,9})?[ \t]{0,8}s?", re.IGNORECASE)

#: Longer than an HTTP date. A longer text is not parsed.
_LONGEST_MOMENT: Final = 64


@dataclass(frozen=True, slots=True)
class Exchange:
    """The response. With a `fault` (a word of ``worker.http_client.fault``) the body is the part that arrived.

    Parameters:
        status: 0 if no status arrived.
        headers: case-insensitive.
        fresh: it is the first response on its connection.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    fault: str | None = None
    fresh: bool = False

    def retry_after_s(self, now: float) -> float | None:
        """Return the seconds in `Retry-After`, within `RETRY_AFTER_S`. None if it is missing or invalid.

        `now` is in epoch seconds: the header may be an HTTP date.
        """
        text = self.headers.get("Retry-After", "").strip()
        seconds = _SECONDS.fullmatch(text)
        # By the server's own clock, if the response has its time.
        date = self.date()
        wait_s = _seconds(seconds) if seconds else _until(text, now if date is None else date)
        if wait_s is None:
            return None
        shortest_s, longest_s = RETRY_AFTER_S
        return min(max(wait_s, shortest_s), longest_s)

    def date(self) -> float | None:
        """Return the server's clock when it answered, in epoch seconds. None if the response does not have it."""
        return _epoch(self.headers.get("Date", ""))


def exchange(sender: Sender, request: requests.PreparedRequest) -> Exchange:
    """Send `request` and read the answer, within the caller's `deadline`.

    Raises nothing for faults of a network or a server: they become a `fault`.
    """
    try:
        with sender.send(request, stream=True) as response:
            fresh = bool(getattr(response.raw, "fresh", False))
            body, error = read_what_comes(response, MAX_BODY_BYTES)
            why = None if error is None else fault(error)
            return Exchange(response.status_code, response.headers, body, why, fresh)
    except requests.RequestException as error:
        return Exchange(fault=fault(error))


def _seconds(found: re.Match[str]) -> float:
    whole, more, fraction = found.groups(default="")
    return math.inf if more else float(whole + fraction)


def _until(date: str, now: float) -> float | None:
    then = _epoch(date)
    return None if then is None else then - now


def _epoch(date: str) -> float | None:
    if len(date) > _LONGEST_MOMENT:
        return None
    try:
        moment = parsedate_to_datetime(date)
        # HTTP dates are GMT, also with -0000, which Python reads as an unknown time zone.
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
