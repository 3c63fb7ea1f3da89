"""The export of spans: only the attributes listed here leave the process."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import Link, SpanContext, Status

from worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace.export import SpanExportResult

#: Ids, codes, counts and names of ours. Attributes that an instrumentation adds in a new version are not exported.
ATTRIBUTES: Final = frozenset({
    "ekyc.answer", "ekyc.batch_id", "ekyc.countdown_s", "ekyc.decision", "ekyc.detail", "ekyc.event", "ekyc.next",
    "ekyc.polls", "ekyc.quarantine", "ekyc.region", "ekyc.signature_id",
    "celery.action", "celery.hostname", "celery.retries", "celery.state", "celery.task_name",
    "messaging.destination", "messaging.message.id",
    # The commands, with `?` for each argument.
    "db.statement", "db.system",
})  # fmt: skip


class Discreet(SpanExporter):
    """Exports spans without what may hold personal data: other attributes, events (exceptions), texts of a status."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_bare(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _bare(span: ReadableSpan) -> ReadableSpan:
    attributes = span.attributes or {}
    return ReadableSpan(
        name=span.name,
        context=_ids(span.context),
        parent=_ids(span.parent),
        resource=span.resource,
        attributes={name: value for name, value in attributes.items() if name in ATTRIBUTES},
        links=[Link(ids) for link in span.links if (ids := _ids(link.context))],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _ids(context: SpanContext | None) -> SpanContext | None:
    """Return the context without its `tracestate`, in which a pipeline can send anything."""
    if context is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags)


def exporters() -> list[SpanExporter]:
    """Return the exporters that `OTEL_TRACES_EXPORTER` names; the default is OTLP. Raises ``ConfigError``."""
    names = os.environ.get("OTEL_TRACES_EXPORTER", "").split(",")
    return [_exporter(name) for name in filter(None, map(str.strip, names))] or [_exporter("otlp")]


def _exporter(name: str) -> SpanExporter:
    if name == "otlp":
        protocols = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
        protocol = next(filter(None, map(os.environ.get, protocols)), "http/protobuf")
        name = f"otlp_proto_{protocol.partition('/')[0]}"
    for found in entry_points(group="opentelemetry_traces_exporter", name=name):
        exporter: SpanExporter = found.load()()
        return exporter
    raise ConfigError(
        f"OTEL_TRACES_EXPORTER: no exporter {name} is installed; "
        "the extra otel installs otlp over http/protobuf, and console"
    )
