"""The connections to the ledger's Redis."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from worker.errors import ConfigError, LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Long enough for a Redis that is busy forking for its append-only file, short against the lease.
TIMEOUT_S = 5.0

#: One more try covers a connection that an idle timeout or a failover closed. More would only hide an outage
#: from the tasks, which know better what to do.
RETRIES = 1


#: Called with each new client: the console command says on which one it waits.
followers: Final[list[Callable[[redis.Redis], None]]] = []


def connect(url: str, *, timeout_s: float = TIMEOUT_S) -> redis.Redis:
    """A client of the Redis at `url`, answering bytes, to be shared by all threads of a process.

    Connects on first use. Raises ``ConfigError`` for a URL that is none.
    """
    try:
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            health_check_interval=30,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.2), RETRIES),
            client_name="ekyc",
        )
    except ValueError:
        raise ConfigError(
            "REDIS_URL is not a Redis URL: give one such as redis://:password@host:6379/0"
        ) from None
    for follow in followers:
        follow(client)
    return client


@contextmanager
def translated(what: str = "the ledger") -> Iterator[None]:
    """Turns what redis-py raises into ``LedgerUnavailable`` with one line that says what to do."""
    try:
        yield
    except exceptions.AuthenticationError:
        raise LedgerUnavailable(
            f"Redis refuses our password: {what} cannot be used; check REDIS_URL"
        ) from None
    except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
        if fault := tls_fault(error):
            raise LedgerUnavailable(
                f"Redis cannot be trusted ({fault}): {what} cannot be used; "
                "check REDIS_URL, and the CA that its ssl_ca_certs names"
            ) from None
        raise LedgerUnavailable(
            f"Redis does not answer ({type(error).__name__}): {what} cannot be used; "
            "check that it runs and REDIS_URL"
        ) from None
    except exceptions.ResponseError as error:
        raise LedgerUnavailable(f"{described(error)}: {what} cannot be used; run `ekyc doctor`") from None
    except exceptions.RedisError as error:
        raise LedgerUnavailable(f"Redis failed ({type(error).__name__}): {what} cannot be used") from None


def tls_fault(error: BaseException | None) -> str:
    """What is wrong with the certificate or the TLS of a server, if that is why a connection failed."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        if isinstance(error, ssl.SSLError):
            return error.reason or "no TLS"
        error = error.__cause__ or error.__context__
    return ""


def described(error: BaseException) -> str:
    """What went wrong, in words of ours: the type of an error, and of one of Redis's that it is Redis's.

    Its own words may hold an address. `OutOfMemoryError` alone would read as if this process had no memory left.
    """
    seen: BaseException | None = error
    while seen is not None:
        match seen:
            case exceptions.OutOfMemoryError():
                return "Redis is out of memory (OOM)"
            case exceptions.ResponseError():
                return f"Redis refuses a command ({code(seen)})"
            case exceptions.RedisError():
                return f"Redis does not answer ({type(seen).__name__})"
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__


def code(error: exceptions.ResponseError) -> str:
    """What Redis calls it (OOM, MISCONF, NOPERM, …); redis-py's class where it has taken the word away."""
    word = str(error).partition(" ")[0]
    return error.status_code or (word if word.isupper() else type(error).__name__)
