"""The HTTP client: `requests` over libcurl, with a strict total deadline and nothing from the environment.

    http = session()
    with deadline(10.0), http.get(url, stream=True) as response:
        body = read_bounded(response, 2 * MIB)

A session is thread-safe. Create it after the process has forked.
"""

from __future__ import annotations

from worker.http_client.body import MIB, BodyTooLarge, read_bounded, read_what_comes
from worker.http_client.deadline import deadline, time_left_s
from worker.http_client.fault import fault
from worker.http_client.session import public_session, session

__all__ = [
    "MIB",
    "BodyTooLarge",
    "deadline",
    "fault",
    "public_session",
    "read_bounded",
    "read_what_comes",
    "session",
    "time_left_s",
]
