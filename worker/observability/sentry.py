"""Reports to Sentry, only about work that was given up.

Imported only if `SENTRY_DSN` is set (see ``worker.observability.setup``). A report has ids, codes and places in the
code, but no variables, and no text of an error that is not from this project.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sentry_sdk
from celery.signals import task_failure
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.utils import BadDsn, event_from_exception

from worker.errors import ConfigError, EkycError, LedgerUnavailable
from worker.ledger import Ledger, transitions
from worker.ledger.ledger import MOST_STARTS
from worker.ledger.models import Batch, Stage
from worker.ledger.transitions import Destination, Transition
from worker.messaging.publish import TASKS
from worker.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis
    from sentry_sdk.types import Event, Hint

    from worker.ledger.models import Verification
    from worker.observability.hook import Interceptor

_Made = TypeVar("_Made")

#: Marks our events: events of any other code in this process are not sent.
LOGGER: Final = "ekyc"

#: The tasks of batches, by name.
_STAGES: Final = {name: stage for stage, name in TASKS.items()}

#: The fields of a report. The SDK would add more: breadcrumbs, modules, arguments, the user.
KEPT: Final = (
    "event_id", "timestamp", "level", "platform", "logger", "release", "environment", "server_name", "sdk",
    "message", "exception", "fingerprint", "tags", "extra",
)  # fmt: skip


def start(dsn: str, redis: Redis) -> Interceptor:
    """Start reporting. `redis`: the ledger's client. Raises ``ConfigError`` for an invalid DSN."""
    try:
        sentry_sdk.init(
            dsn=dsn,
            release=f"ekyc-worker@{__version__}",
            before_send=scrubbed,
            default_integrations=False,
            auto_enabling_integrations=False,
            # Pending reports are sent when the worker ends, without a message on stderr.
            integrations=[AtexitIntegration(callback=lambda _pending, _timeout: None)],
            include_local_variables=False,
            send_default_pii=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            auto_session_tracking=False,
            send_client_reports=False,
        )
    except BadDsn:
        raise ConfigError("SENTRY_DSN is not a Sentry DSN, such as https://key@host/project") from None
    task_failure.connect(partial(_task_failed, Ledger(redis)), weak=False)
    return intercept


def intercept(batch: Batch, each: Callable[[Verification], _Made], /) -> Callable[[Verification], _Made]:
    """Wrap `each` so that verifications that it gives up are reported."""

    def reported(verification: Verification) -> _Made:
        made = each(verification)
        if isinstance(made, Transition) and made.place is Destination.QUARANTINE:
            _given_up(batch, verification, made)
        return made

    return reported


def scrubbed(event: Event, _hint: Hint | None = None) -> Event | None:
    """Return the part of an event that may be sent; None for an event that is not ours."""
    if event.get("logger") != LOGGER:
        return None
    kept: Any = {name: event[name] for name in KEPT if name in event}
    for raised in kept.get("exception", {}).get("values", ()):
        if raised.get("module") != EkycError.__module__:
            # The text may quote the vendor.
            raised["value"] = ""
        for frame in raised.get("stacktrace", {}).get("frames", ()):
            frame.pop("vars", None)
    ours: Event = kept
    return ours


def _given_up(batch: Batch, verification: Verification, write: Transition) -> None:
    region, signature_id = verification.region, verification.signature_id
    event = _event(write.error) if write.error else {"message": f"{batch.stage}: {write.reason}"}
    # If two workers give it up, Sentry drops the second report as a duplicate.
    once = f"{region}/{signature_id}/{batch.stage}/{write.reason}/{verification.retried_at_ms}"
    sentry_sdk.capture_event({
        **event,
        "event_id": hashlib.sha256(once.encode()).hexdigest()[:32],
        "logger": LOGGER,
        "level": "error",
        "fingerprint": ["{{ default }}", batch.stage, write.reason],
        "tags": {"region": region, "stage": batch.stage, "reason": write.reason},
        "extra": {
            "signature_id": signature_id,
            "batch_id": batch.id,
            "detail": write.detail,
            "polls": verification.polls,
            "look": f"ekyc quarantine show {signature_id} --region {region}",
        },
    })  # fmt: skip


def _task_failed(
    ledger: Ledger,
    sender: Any = None,
    exception: Exception | None = None,
    args: Sequence[Any] = (),
    **_: Any,
) -> None:
    """Report a task that failed with an unexpected error, which Celery has logged.

    The verifications of a batch come back when their lease ends, so only their last start is reported. A failed enqueue
    does not come back.
    """
    if exception is None or isinstance(exception, EkycError):
        return
    task = str(getattr(sender, "name", sender))
    match _STAGES.get(task), args:
        case None, _:
            sentry_sdk.capture_event(
                {**_event(exception), "logger": LOGGER, "level": "error", "tags": {"task": task}}
            )
        # After its second start a verification has a batch of its own.
        case Stage() as stage, [str() as region, str() as batch_id, [str() as signature_id]]:
            _started_for_the_last_time(ledger, Batch(batch_id, region, stage, (signature_id,)), exception)


def _started_for_the_last_time(ledger: Ledger, batch: Batch, error: Exception) -> None:
    """Report now, with its error, a verification that the next claim, perhaps by another worker, will give up.

    That claim reports it, too, without the error. Both reports have the same id, so Sentry drops the second.
    """
    try:
        status = ledger.status(batch.region, batch.signature_ids[0])
    except LedgerUnavailable:
        return
    if status is None or status.batch_id != batch.id or status.starts < MOST_STARTS:
        return
    verification = status.verification
    if verification.stage is batch.stage and (batch.stage is Stage.ROUTING or verification.decision is None):
        write = transitions.quarantine(verification, reason="CRASHES_WORKERS")
        _given_up(batch, verification, replace(write, error=error))


def _event(error: BaseException) -> Event:
    event, _ = event_from_exception(error, client_options=sentry_sdk.get_client().options)
    return event
