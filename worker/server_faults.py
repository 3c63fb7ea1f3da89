"""Faults of Redis, and of any server that cannot be reached, in plain words, with what to do about each.

The words quote neither the server's reply nor any part of a URL.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from redis import exceptions

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Fault:
    """`said` completes a sentence that begins with the server's name; `todo` is an instruction."""

    said: str
    todo: str


_CLUSTER: Final = Fault(
    "is part of a cluster", "give the address of a single primary in {url} (docs/redis.md)"
)
_ADDRESS: Final = "check that it runs, and its address in {url}"

#: Redis's codes for a refused write.
_NO_WRITES: Final = frozenset({"OOM", "READONLY", "MISCONF", "NOREPLICAS"})

#: The same where redis-py has removed the code.
_NO_WRITE_ERRORS: Final = (exceptions.OutOfMemoryError, exceptions.ReadOnlyError)

#: By redis-py's class for an error.
_BY_CLASS: Final = (
    (exceptions.MovedError, _CLUSTER),
    (exceptions.ClusterDownError, _CLUSTER),
    (exceptions.ClusterCrossSlotError, _CLUSTER),
    (
        exceptions.OutOfMemoryError,
        Fault("is out of memory (OOM)", "run `ekyc doctor`"),
    ),
    (
        exceptions.BusyLoadingError,
        Fault("is still loading its data (LOADING)", "wait: its log shows the progress"),
    ),
)

#: By a part of the reply. Redis has no error code for these, and redis-py no class.
_BY_TEXT: Final = (
    (
        "max number of clients",
        Fault(
            "has no connection left (max number of clients reached)",
            "raise its maxclients, or close idle clients",
        ),
    ),
    (
        "DB index",
        Fault(
            "has no database with the number in {url}", "give one below its setting `databases`, such as /0"
        ),
    ),
    (
        "protected mode",
        Fault("is in protected mode", "set a password there, or the addresses on which it listens"),
    ),
    (
        "unknown command",
        Fault(
            "does not know a command that we use", "is it a Sentinel? Give the address of a primary in {url}"
        ),
    ),
    (
        "NOAUDIT",
        Fault(
            "cannot add to the audit log, so nothing was done",
            "the ids of its streams are ahead of the clock: rename them (docs/operators.md#the-audit-log)",
        ),
    ),
    (
        "WRONGTYPE",
        Fault("holds a key of another type than we use (WRONGTYPE)", "run `ekyc doctor`"),
    ),
    (
        "Connection closed",
        Fault("closes the connection", "check the port in {url}; if it uses TLS, write rediss:// there"),
    ),
)

#: The name of a command in the reply to an account that may not run it. Nothing else of a reply is quoted.
_COMMAND: Final = re.compile(r"to run the '([a-z|_-]{1,40})' command")

#: In the reply to a script whose account lacks a right. Its code is ERR.
_IN_A_SCRIPT: Final = "ACL failure in script"

#: By the class of an underlying error, for a server that cannot be reached.
_BY_CAUSE: Final = (
    (socket.gaierror, Fault("has a host name that cannot be resolved", "check the host in {url}")),
    (ConnectionRefusedError, Fault("does not answer (connection refused)", _ADDRESS)),
    ((TimeoutError, exceptions.TimeoutError), Fault("does not answer (timed out)", _ADDRESS)),
)

#: OpenSSL's reasons for bytes that are not TLS.
_NOT_TLS: Final = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}


def fault(error: BaseException, url: str = "REDIS_URL") -> Fault:
    """Return the fault that an error shows. `url` names the setting that has the server's URL."""
    found = _fault(error)
    return Fault(found.said.format(url=url), found.todo.format(url=url))


def _fault(error: BaseException) -> Fault:
    text = str(error)
    if isinstance(error, exceptions.AuthenticationError):
        return _password(text)
    if isinstance(error, exceptions.InvalidResponse):
        return _other_protocol(text)
    known = [found for kind, found in _BY_CLASS if isinstance(error, kind)]
    known += [found for part, found in _BY_TEXT if part in text]
    if known:
        return known[0]
    if lacks_right(error):
        return Fault(
            f"denies our account {_right(text)} (NOPERM)",
            "`ekyc doctor` prints the command that gives the missing rights",
        )
    if isinstance(error, exceptions.ResponseError):
        return Fault(f"refuses a command ({word(error)})", "run `ekyc doctor`")
    return _unreachable(error)


def _password(text: str) -> Fault:
    if "required" in text or "HELLO" in text:
        return Fault("asks for a password (NOAUTH)", "give it in {url}, as in redis://:password@host:6379/0")
    return Fault("refuses our password", "check the user and the password in {url}")


def _other_protocol(text: str) -> Fault:
    begins = text.partition('got "')[2]
    # A TLS alert, which the server sends to a client that does not use TLS.
    if begins.startswith(("\\x15", "\x15")):
        return Fault("speaks TLS on this port", "write rediss:// in {url}")
    if begins.startswith(("H", "<")):
        return Fault("is an HTTP server", "give the address and port of a Redis in {url}")
    return Fault("does not speak the protocol of Redis", "give the address and port of a Redis in {url}")


def _unreachable(error: BaseException) -> Fault:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _tls(cause)
        if isinstance(cause, TimeoutError) and "handshake" in str(cause):
            return Fault(
                "does not answer the TLS handshake", "check the port in {url}, or write it without TLS"
            )
    known = [found for cause in causes for kind, found in _BY_CAUSE if isinstance(cause, kind)]
    return known[0] if known else Fault(f"does not answer ({type(error).__name__})", _ADDRESS)


def _tls(error: ssl.SSLError) -> Fault:
    if error.reason in _NOT_TLS:
        return Fault("does not speak TLS on this port", "check the port in {url}, or write it without TLS")
    why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
    return Fault(
        f"fails TLS verification ({why or 'no TLS'})", "check {url}, and the CA that its ssl_ca_certs names"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def described(error: BaseException) -> str:
    """Describe an error without its own text, which may hold an address: by its type, and for Redis by name.

    `OutOfMemoryError` alone would read as if this process were out of memory.
    """
    for seen in _causes(error):
        match seen:
            case exceptions.OutOfMemoryError():
                return "Redis is out of memory (OOM)"
            case exceptions.ResponseError():
                return f"Redis refuses a command ({word(seen)})"
            case exceptions.RedisError():
                return f"Redis does not answer ({type(seen).__name__})"
    return type(error).__name__


def refuses_writes(error: exceptions.ResponseError) -> bool:
    """Whether Redis answers but takes no writes: it is full, a replica, cannot save, or has too few replicas."""
    return word(error) in _NO_WRITES or isinstance(error, _NO_WRITE_ERRORS)


def lacks_right(error: BaseException) -> bool:
    """Whether Redis answers that the account may not do this, also within a script."""
    return isinstance(error, exceptions.NoPermissionError) or (
        isinstance(error, exceptions.ResponseError) and _IN_A_SCRIPT in str(error)
    )


def _right(reply: str) -> str:
    if found := _COMMAND.search(reply):
        return f"the command {found[1]}"
    return "a channel" if "channel" in reply else "a key"


def word(error: exceptions.ResponseError) -> str:
    """Return the error code of Redis (OOM, MISCONF, NOPERM, …), or redis-py's class if it has removed the code."""
    if lacks_right(error):
        return "NOPERM"
    first = str(error).partition(" ")[0]
    return error.status_code or (first if first.isupper() else type(error).__name__)
