"""The exceptions for a failed transfer of libcurl: those of `requests`, chained to the cause."""

from __future__ import annotations

import errno
import socket
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Final

import requests
from requests.exceptions import InvalidURL, ProxyError, SSLError

from worker.http_client.curl import pycurl

if TYPE_CHECKING:
    from worker.http_client.transfer import Transfer

_TLS: Final = {
    pycurl.E_SSL_CONNECT_ERROR,
    pycurl.E_SSL_CERTPROBLEM,
    pycurl.E_SSL_CIPHER,
    pycurl.E_PEER_FAILED_VERIFICATION,
    pycurl.E_SSL_CACERT_BADFILE,
    pycurl.E_SSL_CRL_BADFILE,
    pycurl.E_SSL_ISSUER_ERROR,
    pycurl.E_SSL_ENGINE_NOTFOUND,
    pycurl.E_SSL_ENGINE_SETFAILED,
    pycurl.E_SSL_ENGINE_INITFAILED,
    pycurl.E_SSL_SHUTDOWN_FAILED,
    pycurl.E_SSL_INVALIDCERTSTATUS,
}


class _Truncated(IncompleteRead):
    def __init__(self, _: str) -> None:
        super().__init__(b"")


_CAUSES: Final[dict[int, type[Exception]]] = {
    pycurl.E_COULDNT_RESOLVE_HOST: socket.gaierror,
    pycurl.E_COULDNT_RESOLVE_PROXY: socket.gaierror,
    pycurl.E_UNSUPPORTED_PROTOCOL: HTTPException,
    pycurl.E_BAD_CONTENT_ENCODING: HTTPException,
    pycurl.E_HTTP2: HTTPException,
    8: HTTPException,  # CURLE_WEIRD_SERVER_REPLY, and two more that pycurl does not name: HTTP2_STREAM, TOO_LARGE
    92: HTTPException,
    100: HTTPException,
    pycurl.E_PARTIAL_FILE: _Truncated,
}
_PROXY: Final = 97  # CURLE_PROXY
_LOST: Final = {pycurl.E_GOT_NOTHING, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR}


class AddressNotPublic(OSError):
    """Raised when a name or a URL leads only to addresses that a public session does not dial."""


def failure(transfer: Transfer) -> requests.RequestException:
    """Return the exception for a failed transfer. It never quotes the server."""
    code = transfer.code
    if isinstance(transfer.error, requests.RequestException):
        # Once raised, its traceback refers to the transfer, which must not refer to it.
        error, transfer.error = transfer.error, None
        return error
    if code == pycurl.E_OPERATION_TIMEDOUT:
        kind = requests.ConnectionError if transfer.connected else requests.ConnectTimeout
        return _because(kind, TimeoutError("timed out"))
    if code == pycurl.E_URL_MALFORMAT:
        return _because(InvalidURL, ValueError("not a URL"))
    if code in _TLS:
        return _because(SSLError, OSError("TLS failed"))
    if transfer.curl.getinfo(pycurl.HTTP_CONNECTCODE) >= 300 or code == _PROXY:  # noqa: PLR2004 - HTTP
        return _because(ProxyError, OSError("the proxy refuses"))
    return _because(requests.ConnectionError, _cause(transfer))


def _cause(transfer: Transfer) -> Exception:
    if transfer.error is not None:
        return transfer.error
    if transfer.code == pycurl.E_COULDNT_CONNECT:
        return _not_connected(transfer)
    if transfer.code == pycurl.E_OK or transfer.code in _LOST:
        return _lost(transfer)
    return _CAUSES.get(transfer.code or 0, OSError)("the transfer failed")


def _lost(transfer: Transfer) -> Exception:
    """Return the cause for a connection that ended, or that received something other than HTTP."""
    if not transfer.touched:
        return ConnectionResetError(errno.ECONNRESET, "closed without an answer")
    if transfer.code == pycurl.E_RECV_ERROR and not transfer.curl.getinfo(pycurl.OS_ERRNO):
        return HTTPException("not HTTP")  # such as a chunk without a size
    return IncompleteRead(b"")


def _not_connected(transfer: Transfer) -> OSError:
    number = transfer.curl.getinfo(pycurl.OS_ERRNO)
    if transfer.refused_addresses and not transfer.dialled:
        return AddressNotPublic("no address is public")
    if number in {0, errno.ECONNREFUSED}:
        return ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    return OSError(number, "not connected")  # OSError picks the subclass of the number, such as TimeoutError


def _because(kind: type[requests.RequestException], cause: Exception) -> requests.RequestException:
    error = kind(cause)
    error.__cause__ = cause
    return error
