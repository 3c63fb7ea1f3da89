"""libcurl, loaded without what the environment may ask of it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: libcurl reads these when it is initialised: where to write the keys of every TLS session, and which TLS to use.
READ_AT_START: Final = ("SSLKEYLOGFILE", "CURL_SSL_BACKEND", "OPENSSL_CONF")


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    values = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(values)


with _hidden(READ_AT_START):
    import pycurl

__all__ = ["READ_AT_START", "pycurl"]
