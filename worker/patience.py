"""A process that starts waits for what starts beside it: none of them needs another to be there first."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from amqp.exceptions import AccessRefused, NotAllowed
from redis.exceptions import NoPermissionError, ResponseError

from worker import rights, room
from worker.decisions.delivery import QUEUE
from worker.errors import BrokerUnavailable, ConfigError
from worker.messages import BROKEN
from worker.redis import connect, translated
from worker.server_faults import Fault, described, fault
from worker.waiting import await_part

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

    from worker.settings import Settings

#: A broker that takes the connection and says nothing counts as one that does not answer.
BROKER_TIMEOUT_S: Final = 5.0

#: As ``worker.room`` does of the ledger's Redis: written to find out whether it takes a write, under a name such as
#: kombu's own, so that whoever may write those may write this.
BROKER_PROBE: Final = "_kombu.start"


def await_redis(url: str, limit_s: float) -> None:
    """Wait until the ledger's Redis takes writes. Raises ``LedgerUnavailable`` once `limit_s` have passed."""
    redis = connect(url)

    def write() -> None:
        # What the account may not do is found, and named, by `check_rights`.
        with translated(), suppress(NoPermissionError):
            redis.set(room.KEY, b"", px=room.PROBE_MS)

    await_part(write, limit_s)
    redis.close()


def await_broker(app: Celery, limit_s: float) -> None:
    """Wait for the broker. Raises ``BrokerUnavailable`` once `limit_s` have passed."""
    await_part(lambda: _knock(app), limit_s)


def await_room(app: Celery, limit_s: float) -> None:
    """Wait until the broker takes writes, if it is a Redis. Raises ``BrokerUnavailable`` once `limit_s` have passed."""
    await_part(lambda: _write(app), limit_s)


def check_rights(app: Celery, settings: Settings) -> None:
    """Raises ``ConfigError`` where the account of a Redis lacks a right: the worker would fail again and again."""
    try:
        with connect(settings.redis_url) as redis, translated():
            _require("REDIS_URL", redis, rights.of_ledger(settings.regions))
        with app.connection_for_write(connect_timeout=BROKER_TIMEOUT_S) as connection:
            if connection.transport.driver_type == "redis":
                redis = connection.default_channel.client  # type: ignore[attr-defined]
                database = redis.connection_pool.connection_kwargs["db"]
                needs = rights.of_broker(settings.queue, QUEUE.name, database)
                _require("CELERY_BROKER_URL, or of REDIS_URL where that is not set,", redis, needs)
    except BROKEN as error:
        found = broker_fault(error)
        raise BrokerUnavailable(f"the broker {found.said}; {found.todo}") from None


#: Where the broker's URL stands.
_BROKER_URL: Final = "CELERY_BROKER_URL, or in REDIS_URL where that is not set"


def broker_fault(error: BaseException, url: str = _BROKER_URL) -> Fault:
    """What is wrong with the broker, and what to do. `url` names the setting that has its URL."""
    match error:
        case AccessRefused():
            return Fault("refuses our password", f"check the user and the password in {url}")
        case NotAllowed():
            return Fault(
                "refuses the virtual host", f"check what follows the host in {url}, and our rights on it"
            )
    return fault(error, url)


def _require(name: str, redis: Redis, needs: rights.Needs) -> None:
    if lacking := rights.missing(redis, needs):
        raise ConfigError(
            f"the account of {name} lacks rights on Redis: run `{rights.line(redis, lacking)}`, "
            "and see docs/redis.md#the-account"
        )


def _write(app: Celery) -> None:
    try:
        with app.connection_for_write(connect_timeout=BROKER_TIMEOUT_S) as connection:
            if connection.transport.driver_type == "redis":
                connection.default_channel.client.set(BROKER_PROBE, b"", px=room.PROBE_MS)  # type: ignore[attr-defined]
    except NoPermissionError:
        return  # `check_rights` finds it, and names it
    except ResponseError as error:
        raise BrokerUnavailable(
            f"the broker refuses to write: {described(error)}; run `ekyc doctor`"
        ) from None
    except BROKEN as error:
        found = broker_fault(error)
        raise BrokerUnavailable(f"the broker {found.said}; {found.todo}") from None


def _knock(app: Celery) -> None:
    try:
        with app.connection_for_read(
            connect_timeout=BROKER_TIMEOUT_S, transport_options={"socket_timeout": BROKER_TIMEOUT_S}
        ) as connection:
            # Once each, where CELERY_BROKER_URL names several.
            connection.ensure_connection(
                max_retries=len(connection.alt), interval_start=0, reraise_as_library_errors=False
            )
    except BROKEN as error:
        found = broker_fault(error)
        raise BrokerUnavailable(f"the broker {found.said}; {found.todo}") from None
    except (ValueError, KeyError):
        raise ConfigError(
            "CELERY_BROKER_URL, or REDIS_URL where that is not set, is no URL of a broker: "
            "give one such as redis://:password@host:6379/0"
        ) from None
