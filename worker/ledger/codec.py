"""Converts what the ledger stores into values."""

from __future__ import annotations

import re
from dataclasses import replace
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from worker.ledger.fields import Field
from worker.ledger.models import Event, EvidenceState, Stage, Verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The end of a line of a timeline whose list is full: `COUNTS` in ``lua/common.lua``.
_COUNTS: Final = re.compile(r"\|(\d+)\|(\d+)\|(\d+)\|(\d+)$")


def _stored(**attributes: Field) -> tuple[tuple[str, bytes], ...]:
    """Return pairs of an attribute of ``Verification`` and the name of its field as Redis returns it."""
    return tuple((name, field.key) for name, field in attributes.items())


_TEXTS: Final = _stored(
    fault_cause=Field.FAULT_CAUSE,
    transaction_id=Field.TRANSACTION_ID,
    context=Field.CONTEXT,
    overall_result=Field.OVERALL_RESULT,
    error_code=Field.ERROR_CODE,
    reason=Field.REASON,
    facts=Field.FACTS,
    decision_name=Field.DECISION_NAME,
    decision=Field.DECISION,
    quarantine_reason=Field.QUARANTINE_REASON,
    pipeline=Field.PIPELINE,
)

_NUMBERS: Final = _stored(
    polls=Field.POLLS,
    nulls=Field.NULLS,
    faults=Field.FAULTS,
    late_faults=Field.LATE_FAULTS,
    losses=Field.LOSSES,
    settled_at_ms=Field.SETTLED_AT,
    retried_at_ms=Field.RETRIED_AT,
)


def verification(
    region: str,
    signature_id: str,
    fields: Mapping[bytes, bytes],
    *,
    read_at_ms: int,
    clock_ahead_ms: int = 0,
) -> Verification:
    """Return a ``Verification`` from its hash. ``worker.ledger.fields`` names the fields."""
    texts = {name: value.decode() for name, key in _TEXTS if (value := fields.get(key))}
    numbers = {name: int(value) for name, key in _NUMBERS if (value := fields.get(key))}
    evidence = fields.get(Field.EVIDENCE.key)
    deliveries = fields.get(Field.DELIVERIES.key)
    found: dict[str, Any] = texts | numbers
    return Verification(
        signature_id=signature_id,
        region=region,
        stage=Stage(fields[Field.STAGE.key].decode()),
        enqueued_at_ms=int(fields.get(Field.ENQUEUED_AT.key, 0)),
        submission_completed=fields.get(Field.SUBMITTED.key) == b"1",
        evidence=EvidenceState(evidence.decode()) if evidence else None,
        read_at_ms=read_at_ms,
        clock_ahead_ms=clock_ahead_ms,
        deliveries=tuple(deliveries.decode().split()) if deliveries else (),
        **found,
    )


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a mapping from the flat list that HGETALL returns inside a script."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def event(line: bytes) -> Event:
    """Return the ``Event`` of a line of a timeline or of `acts`: `<ms>|<event>|<detail>|<who>`."""
    at_ms, name, detail, who = line.decode().split("|", 3)
    return Event(int(at_ms), name, detail, who)


def timeline(steps: Sequence[bytes], faults: Sequence[bytes]) -> tuple[Event, ...]:
    """Return the two lists of a timeline merged by time. `left_out` counts the lines removed from a full list."""
    # At the same moment, a fault comes before the step that follows from it.
    return tuple(merge(_events(faults, "faults"), _events(steps, "steps"), key=attrgetter("at_ms")))


def _events(lines: Sequence[bytes], kind: str) -> list[Event]:
    events, left_out = [], []
    for each in map(event, lines):
        worker, *counts = _COUNTS.split(each.worker)
        times, gone, first_ms, last_ms = map(int, counts[:4] or (1, 0, 0, 0))
        detail = f"{each.detail} x{times}" if times > 1 else each.detail
        events.append(replace(each, detail=detail, worker=worker))
        if gone:
            within_s = (last_ms - first_ms) / 1000
            left_out = [Event(first_ms, "left_out", f"{kind} x{gone} within {within_s:.3f} s")]
    return left_out + events
