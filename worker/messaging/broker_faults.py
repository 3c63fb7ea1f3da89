"""Faults of the broker in plain words, with what to do about each."""

from __future__ import annotations

from typing import Final

from amqp.exceptions import AccessRefused, NotAllowed

from worker.server_faults import Fault, fault

#: The setting of the broker's URL.
_BROKER_URL: Final = "CELERY_BROKER_URL, or in REDIS_URL if that is not set"


def broker_fault(error: BaseException, url: str = _BROKER_URL) -> Fault:
    """Return the fault of a broker that an error shows. `url` names the setting that has its URL."""
    match error:
        case AccessRefused():
            return Fault("refuses our password", f"check the user and the password in {url}")
        case NotAllowed():
            return Fault(
                "refuses the virtual host", f"check what follows the host in {url}, and our rights on it"
            )
    return fault(error, url)
