"""What is wrong with a broker that cannot be used, and what to do about it."""

from __future__ import annotations

from typing import Final

from amqp.exceptions import AccessRefused, NotAllowed

from worker.server_faults import Fault, fault

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
