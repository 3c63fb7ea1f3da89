"""Traces by OpenTelemetry, imported only if they are switched on (see ``worker.observability.setup``).

There are two kinds, and docs/traces.md shows them:

- a trace of each *verification*: a span for every poll, archive and decision, in whichever worker and batch;
- a trace of each *batch*: what Celery and Redis did for it, from the claim to the decision.

Each span of a verification links to its task's span, and the task's span links to the spans of its verifications.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from worker.observability.otel.exporting import Discreet, exporters
from worker.observability.otel.spans import Ids, intercept

if TYPE_CHECKING:
    from typing import Any

    from redis import Redis

    from worker.observability.hook import Interceptor


def start(redis: Redis) -> Interceptor:
    """Send traces to where OpenTelemetry's variables say. Raises ``ConfigError`` if there is no such exporter.

    Parameters:
      redis: the ledger's client. The dispatcher's own client is not traced: it calls constantly, for no verification.
    """
    os.environ.setdefault("OTEL_SERVICE_NAME", "ekyc-worker")
    provider = TracerProvider(id_generator=Ids())
    for exporter in exporters():
        provider.add_span_processor(BatchSpanProcessor(Discreet(exporter)))
    trace.set_tracer_provider(provider)
    _Instrumentor().instrument()  # type: ignore[no-untyped-call]
    RedisInstrumentor.instrument_client(redis)
    return intercept


class _Instrumentor(CeleryInstrumentor):
    """Traces only our own tasks: for a pipeline's, such as `onboarding.approve`, the base class never ends the span."""

    def _trace_before_publish(self, *args: Any, **kwargs: Any) -> None:
        if str(kwargs.get("sender")).startswith("tasks."):
            super()._trace_before_publish(*args, **kwargs)  # type: ignore[no-untyped-call]
