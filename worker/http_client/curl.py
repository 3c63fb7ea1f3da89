"""libcurl, loaded without the variables of the environment that change its behaviour."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Read when libcurl is loaded: the TLS library and its configuration.
READ_AT_START: Final = ("CURL_SSL_BACKEND", "OPENSSL_CONF")

#: Read at the first connection: a file that receives the keys of every TLS session.
KEY_LOG: Final = "SSLKEYLOGFILE"


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    values = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(values)


os.environ.pop(KEY_LOG, None)  # for the life of the process: it cannot be hidden only at the first connection
with _hidden(READ_AT_START):
    import pycurl

__all__ = ["KEY_LOG", "READ_AT_START", "pycurl"]
