"""The spans of verifications. All spans of a verification are in one trace, whose id is computed from its own id."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, StatusCode

from worker.ledger.fields import Field
from worker.ledger.models import Stage
from worker.ledger.transitions import Destination, Transition
from worker.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span

    from worker.ledger.models import Batch, Verification

_Made = TypeVar("_Made")

#: The names of the spans, by stage.
NAMES: Final = {Stage.POLLING: "get_result", Stage.ARCHIVING: "archive", Stage.ROUTING: "decide"}

_tracer = trace.get_tracer("worker", __version__)

#: The trace that the next span without a parent belongs to.
_belongs_to: ContextVar[int | None] = ContextVar("belongs_to", default=None)


def trace_id(region: str, signature_id: str) -> int:
    """Return the trace id of a verification, computed from its own id, so that every process samples alike."""
    digest = hashlib.sha256(f"{region}/{signature_id}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


class Ids(RandomIdGenerator):
    """Generates random ids, except the trace id for spans of a verification, which is the verification's."""

    def generate_trace_id(self) -> int:
        return _belongs_to.get() or super().generate_trace_id()


def intercept(batch: Batch, each: Callable[[Verification], _Made], /) -> Callable[[Verification], _Made]:
    """Wrap `each` in a span of the verification."""
    task = trace.get_current_span()

    def traced(verification: Verification) -> _Made:
        span = _begin(batch, verification, task)
        with trace.use_span(span, end_on_exit=True, record_exception=False):
            made = each(verification)
            _describe(span, made)
        return made

    return traced


def _begin(batch: Batch, verification: Verification, task: Span) -> Span:
    mark = _belongs_to.set(trace_id(verification.region, verification.signature_id))
    try:
        span = _tracer.start_span(
            NAMES[batch.stage],
            # No parent: the verification has its own trace, and its batch has another.
            context=Context(),
            links=[Link(task.get_span_context())],
            attributes={
                "ekyc.region": verification.region,
                "ekyc.signature_id": verification.signature_id,
                "ekyc.batch_id": batch.id,
                "ekyc.polls": verification.polls,
            },
        )
    finally:
        _belongs_to.reset(mark)
    task.add_link(span.get_span_context())
    return span


def _describe(span: Span, made: object) -> None:
    """Add the outcome in the words of the verification's timeline: codes and counts."""
    match made:
        case Transition():
            attributes = {
                "ekyc.answer": made.answer,
                "ekyc.event": made.event,
                "ekyc.detail": made.detail,
                "ekyc.quarantine": made.reason,
                "ekyc.next": made.stage.value,
            }
            span.set_attributes({name: text for name, text in attributes.items() if text})
            if made.place is Destination.DUE:
                span.set_attribute("ekyc.countdown_s", made.in_s)
            if name := made.fields.get(Field.DECISION_NAME):
                span.set_attribute("ekyc.decision", str(name))
            if made.place is Destination.QUARANTINE or made.event == "fault":
                span.set_status(StatusCode.ERROR)
