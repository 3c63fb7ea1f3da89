"""From what the ledger stores to values."""

from __future__ import annotations

import re
from dataclasses import replace
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from worker.ledger.fields import Field
from worker.ledger.models import Event, EvidenceState, Stage, Verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What a line of a timeline ends with where its list is full: `COUNTS` in ``lua/common.lua``.
_COUNTS: Final = re.compile(r"\|(\d+)\|(\d+)\|(\d+)\|(\d+)$")


def verification(
    region: str,
    signature_id: str,
    fields: Mapping[bytes, bytes],
    *,
    read_at_ms: int,
    clock_ahead_ms: int = 0,
) -> Verification:
    """A ``Verification`` from its hash, whose fields ``worker.ledger.fields`` names."""

    def text(field: Field) -> str | None:
        value = fields.get(field.key)
        return value.decode() if value else None

    def number(field: Field) -> int:
        return int(fields.get(field.key, 0))

    settled_at, evidence, retried_at = text(Field.SETTLED_AT), text(Field.EVIDENCE), text(Field.RETRIED_AT)
    return Verification(
        signature_id=signature_id,
        region=region,
        stage=Stage(fields[Field.STAGE.key].decode()),
        enqueued_at_ms=number(Field.ENQUEUED_AT),
        polls=number(Field.POLLS),
        nulls=number(Field.NULLS),
        faults=number(Field.FAULTS),
        fault_cause=text(Field.FAULT_CAUSE),
        late_faults=number(Field.LATE_FAULTS),
        losses=number(Field.LOSSES),
        submission_completed=text(Field.SUBMITTED) == "1",
        transaction_id=text(Field.TRANSACTION_ID),
        context=text(Field.CONTEXT),
        overall_result=text(Field.OVERALL_RESULT),
        error_code=text(Field.ERROR_CODE),
        reason=text(Field.REASON),
        settled_at_ms=int(settled_at) if settled_at else None,
        evidence=EvidenceState(evidence) if evidence else None,
        decision_name=text(Field.DECISION_NAME),
        decision=text(Field.DECISION),
        quarantine_reason=text(Field.QUARANTINE_REASON),
        retried_at_ms=int(retried_at) if retried_at else None,
        read_at_ms=read_at_ms,
        clock_ahead_ms=clock_ahead_ms,
    )


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """A mapping from the flat list that Redis answers to HGETALL inside a script."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def event(line: bytes) -> Event:
    """A line of a timeline, or of what people did: `<ms>|<event>|<detail>|<who>`."""
    at_ms, name, detail, who = line.decode().split("|", 3)
    return Event(int(at_ms), name, detail, who)


def timeline(steps: Sequence[bytes], faults: Sequence[bytes]) -> tuple[Event, ...]:
    """The two lists of one timeline, by time. `left_out` counts the lines that a full list no longer has."""
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
