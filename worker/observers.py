"""Who else is told what becomes of verifications: traces and error reports, where somebody switched them on.

Both are extras and off by default. What is off is not imported, and does nothing: a batch then works with the very
function that it would work with if this module were not there.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from redis import Redis

    from worker.ledger.values import Batch, Verification
    from worker.settings import Settings

_Made = TypeVar("_Made")


class Around(Protocol):
    """Surrounds what is done with each verification of a batch. Called by the batch's task, once."""

    def __call__(
        self, batch: Batch, each: Callable[[Verification], _Made], /
    ) -> Callable[[Verification], _Made]: ...


def observers(settings: Settings, redis: Redis) -> Around:
    """Start what the environment asks for. Raises ``ConfigError`` where it cannot be had."""
    everybody: list[Around] = []
    if traces_wanted(os.environ):
        with _extra("otel", "traces are asked for (OTEL_…)"):
            from worker import tracing  # noqa: PLC0415 - free where it is off

            everybody.append(tracing.start(redis))
    if settings.sentry_dsn:
        with _extra("sentry", "SENTRY_DSN is set"):
            from worker import reporting  # noqa: PLC0415 - the same

            everybody.append(reporting.start(settings.sentry_dsn, redis))

    def around(batch: Batch, each: Callable[[Verification], _Made], /) -> Callable[[Verification], _Made]:
        for observer in everybody:
            each = observer(batch, each)
        return each

    return around


def traces_wanted(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables say where traces should go."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return bool(exporter) or any(environ.get(name, "").strip() for name in endpoints)


@contextmanager
def _extra(name: str, asked: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{asked}, but {error.name} is not installed: install the extra, as in pip install '.[{name}]'"
        ) from None
