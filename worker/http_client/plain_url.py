"""URLs that every parser reads alike and that need no encoding, which most links of images are.

`requests` parses and encodes each URL for 30 µs, and another parser is asked for its origin. A plain URL comes out of
both as it went in: one expression takes it apart. Any other URL takes the long way.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: Unreserved characters, and delimiters without a meaning of their own in a path; percent-encoded bytes that are not
#: unreserved characters or control characters, with capital letters.
_CHARACTERS: Final = r"[\w.~!$&'(*+),;=:@-]++|%(?:2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-D]|[89A-F][0-9A-F])"

#: 1 to 65535.
_PORT: Final = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6(?:[0-4][0-9]{3}|5(?:[0-4][0-9]{2}|5(?:[0-2][0-9]|3[0-5])))"

#: No user, no fragment, no other host than a lower-case name or an IPv4 address, and no segment that begins with a dot.
_PLAIN: Final = re.compile(
    r"(?P<scheme>https?)://"
    rf"(?P<netloc>(?P<host>[a-z0-9-]++(?:\.[a-z0-9-]++)*)(?::(?P<port>{_PORT}))?)"
    rf"(?:/(?!\.)(?:{_CHARACTERS})*)+"
    rf"(?:\?(?:{_CHARACTERS}|[/?])+)?",
    re.ASCII,
)

_DEFAULT_PORT: Final = {"http": "80", "https": "443"}


class PlainUrl(NamedTuple):
    """The parts of a plain URL."""

    origin: str
    netloc: str
    host: str


def plain(url: str) -> PlainUrl | None:
    """Return the parts of a plain URL; None: the URL is not plain, or not a URL."""
    found = _PLAIN.fullmatch(url)
    if found is None:
        return None
    scheme, netloc, host, port = found.group("scheme", "netloc", "host", "port")
    return PlainUrl(f"{scheme}://{host}:{port or _DEFAULT_PORT[scheme]}", netloc, host)
