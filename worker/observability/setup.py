"""Sets up the instrumentation that the environment enables: traces and error reports.

Both are extras and off by default. What is off is not imported and costs nothing: the function that processes a
verification is then not wrapped.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from redis import Redis

    from worker.ledger.models import Batch, Verification
    from worker.observability.hook import Interceptor, Made
    from worker.settings import Settings


def set_up(settings: Settings, redis: Redis) -> Interceptor:
    """Start the enabled instrumentation, and return one interceptor for all of it.

    Raises ``ConfigError`` if a package is missing.
    """
    interceptors: list[Interceptor] = []
    if traces_wanted(os.environ):
        with _extra("otel", "traces are enabled (OTEL_…)"):
            from worker.observability import otel  # noqa: PLC0415 - costs nothing if it is off

            interceptors.append(otel.start(redis))
    if settings.sentry_dsn:
        with _extra("sentry", "SENTRY_DSN is set"):
            from worker.observability import sentry  # noqa: PLC0415 - the same

            interceptors.append(sentry.start(settings.sentry_dsn, redis))

    def intercept(batch: Batch, each: Callable[[Verification], Made], /) -> Callable[[Verification], Made]:
        for interceptor in interceptors:
            each = interceptor(batch, each)
        return each

    return intercept


def traces_wanted(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables name an exporter or an endpoint."""
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
            f"{asked}, but {error.name} is not installed: install the extra, with pip install '.[{name}]'"
        ) from None
