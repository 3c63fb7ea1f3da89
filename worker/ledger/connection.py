"""The connections to the ledger's Redis."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from worker.errors import ConfigError, LedgerDamaged, LedgerUnavailable, RightMissing
from worker.redis_clients import followers
from worker.server_faults import fault, lacks_right
from worker.time_budget import REDIS_CALL_S

if TYPE_CHECKING:
    from collections.abc import Iterator

#: One retry covers a connection that an idle timeout or a failover closed. More retries would only hide an outage
#: from the tasks, which handle it better.
RETRIES = 1


#: The values of `ssl_cert_reqs` in a URL: whether the server must present a valid certificate.
PROOFS: Final = ("required", "optional", "none")


def connect(url: str, *, timeout_s: float = REDIS_CALL_S) -> redis.Redis:
    """Return a client of the Redis at `url`. It returns bytes, and all threads of a process can share it.

    It connects on first use. Raises ``ConfigError`` for an invalid URL.
    """
    try:
        if any(proof not in PROOFS for proof in parse_qs(urlsplit(url).query).get("ssl_cert_reqs", [])):
            raise ConfigError(f"REDIS_URL: ssl_cert_reqs must be one of {', '.join(PROOFS)}")
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


def is_wrong_type(error: BaseException) -> bool:
    """Return whether a command failed because its key is of another type, such as after a damaged restore."""
    return "WRONGTYPE" in str(error)


@contextmanager
def translated(what: str = "the ledger") -> Iterator[None]:
    """Convert exceptions of redis-py to ``LedgerUnavailable`` or a class below it, with a line that says what to do."""
    try:
        yield
    except exceptions.RedisError as error:
        found = fault(error)
        kind = LedgerDamaged if is_wrong_type(error) else LedgerUnavailable
        kind = RightMissing if lacks_right(error) else kind
        raise kind(f"Redis {found.said}: {what} cannot be used; {found.todo}") from None
