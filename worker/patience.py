"""A process that starts waits for what starts beside it: none of them needs another to be there first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqp.exceptions import AccessRefused
from redis.exceptions import AuthenticationError

from worker.errors import BrokerUnavailable, ConfigError
from worker.messages import BROKEN
from worker.redis import connect, translated
from worker.waiting import await_part

if TYPE_CHECKING:
    from celery import Celery

#: A broker that takes the connection and says nothing counts as one that does not answer.
BROKER_TIMEOUT_S: Final = 5.0


def await_redis(url: str, limit_s: float) -> None:
    """Wait for the ledger's Redis. Raises ``LedgerUnavailable`` once `limit_s` have passed."""
    redis = connect(url)

    def ping() -> None:
        with translated():
            redis.ping()

    await_part(ping, limit_s)
    redis.close()


def await_broker(app: Celery, limit_s: float) -> None:
    """Wait for the broker. Raises ``BrokerUnavailable`` once `limit_s` have passed."""
    await_part(lambda: _knock(app), limit_s)


def _knock(app: Celery) -> None:
    try:
        with app.connection_for_read(
            connect_timeout=BROKER_TIMEOUT_S, transport_options={"socket_timeout": BROKER_TIMEOUT_S}
        ) as connection:
            # Once each, where CELERY_BROKER_URL names several.
            connection.ensure_connection(
                max_retries=len(connection.alt), interval_start=0, reraise_as_library_errors=False
            )
    except (AuthenticationError, AccessRefused):
        raise BrokerUnavailable(
            "the broker refuses our password: check CELERY_BROKER_URL, or REDIS_URL where that is not set"
        ) from None
    except BROKEN as error:
        raise BrokerUnavailable(
            f"the broker does not answer ({type(error).__name__}); "
            "check that it runs, and CELERY_BROKER_URL, or REDIS_URL where that is not set"
        ) from None
    except (ValueError, KeyError):
        raise ConfigError(
            "CELERY_BROKER_URL, or REDIS_URL where that is not set, is no URL of a broker: "
            "give one such as redis://:password@host:6379/0"
        ) from None
