"""Converts what the ledger stores into values, and deliveries into what its scripts take."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from worker.ledger.fields import Field
from worker.ledger.models import Event, EvidenceState, Stage, Verification

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.ledger.webhooks import NewDelivery

#: The end of a line of a timeline whose list is full: `COUNTS` in ``lua/common.lua``.
_COUNTS: Final = re.compile(r"\|([0-9]{1,15})\|([0-9]{1,15})\|([0-9]{1,15})\|([0-9]{1,15})$")


#: A number of the ledger. The largest are moments, in ms, of the year 9999 at most: `LATEST` in ``lua/common.lua``.
_NUMBER: Final = re.compile(rb"[0-9]{1,15}")
LATEST: Final = 253_402_300_799_999

#: A counter of a hash: Redis counts in 64 bits.
_COUNT: Final = re.compile(rb"-?[0-9]{1,18}")

_STAGES: Final = frozenset(stage.value.encode() for stage in Stage)
_STATES: Final = {state.value.encode(): state for state in EvidenceState}


def deliveries(new: Iterable[NewDelivery]) -> str:
    """Return deliveries as the JSON list that the scripts take."""
    return json.dumps([each.packed() for each in new], separators=(",", ":"))


def deliveries_by(new: Mapping[str, Iterable[NewDelivery]]) -> str:
    """Return lists of deliveries as the JSON object that the scripts take, without the empty ones."""
    packed = {name: [each.packed() for each in several] for name, several in new.items()}
    return json.dumps({name: several for name, several in packed.items() if several}, separators=(",", ":"))


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
    outcome_seal=Field.OUTCOME_SEAL,
    decision_name=Field.DECISION_NAME,
    decision=Field.DECISION,
    decision_seal=Field.DECISION_SEAL,
    decision_signature=Field.DECISION_SIGNATURE,
    quarantine_reason=Field.QUARANTINE_REASON,
    pipeline=Field.PIPELINE,
)

_NUMBERS: Final = _stored(
    polls=Field.POLLS,
    nulls=Field.NULLS,
    faults=Field.FAULTS,
    vendor_faults=Field.VENDOR_FAULTS,
    late_faults=Field.LATE_FAULTS,
    losses=Field.LOSSES,
    settled_at_ms=Field.SETTLED_AT,
    retried_at_ms=Field.RETRIED_AT,
)


def stage(raw: bytes | None) -> Stage | None:
    """Return a stage; None: there is none, or no script wrote it, which must not hide the others."""
    return Stage(raw.decode()) if raw in _STAGES else None


def is_verification(fields: Mapping[bytes, bytes]) -> bool:
    """Whether a hash is one of a verification: a list leaves out one that somebody else wrote, or that has expired."""
    return fields.get(Field.STAGE.key) in _STAGES


def verification(
    region: str,
    signature_id: str,
    fields: Mapping[bytes, bytes],
    *,
    read_at_ms: int,
    clock_ahead_ms: int = 0,
) -> Verification:
    """Return a ``Verification`` from its hash. ``worker.ledger.fields`` names the fields.

    What is no number or no state counts as none: a hash that somebody else wrote must not stop the others of its batch.
    """
    texts = {name: value.decode(errors="replace") for name, key in _TEXTS if (value := fields.get(key))}
    numbers = {name: _number(value) for name, key in _NUMBERS if (value := fields.get(key))}
    evidence = _STATES.get(fields.get(Field.EVIDENCE.key, b""))
    deliveries = fields.get(Field.DELIVERIES.key)
    found: dict[str, Any] = texts | numbers
    return Verification(
        signature_id=signature_id,
        region=region,
        stage=Stage(fields[Field.STAGE.key].decode()),
        # The mark of an erased verification has no other time.
        enqueued_at_ms=_number(fields.get(Field.ENQUEUED_AT.key) or fields.get(Field.ERASED_AT.key) or b""),
        submission_completed=fields.get(Field.SUBMITTED.key) == b"1",
        evidence=evidence,
        read_at_ms=read_at_ms,
        clock_ahead_ms=clock_ahead_ms,
        deliveries=tuple(deliveries.decode(errors="replace").split()) if deliveries else (),
        **found,
    )


def count(raw: bytes | None) -> int:
    """Return a counter. 0 for one that no script wrote: it must not hide the others."""
    return int(raw) if raw and _COUNT.fullmatch(raw) else 0


def moment(raw: bytes | float | None) -> int:
    """Return a moment in ms, of a hash or the score of a set. What is no number is 0, and the latest one is LATEST.

    Scripts read an infinite number as later than every moment, so it is not 0 here either.
    """
    try:
        at_ms = float(raw or 0)
    except ValueError:
        return 0
    return int(min(at_ms, LATEST)) if at_ms > 0 else 0


def _number(raw: bytes) -> int:
    number = int(raw) if _NUMBER.fullmatch(raw) else 0
    return number if number <= LATEST else 0


def text(raw: bytes) -> str:
    """Return text of the ledger. What is not UTF-8 was written by somebody else, and must not stop a claim."""
    return raw.decode(errors="replace")


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a mapping from the flat list that HGETALL returns inside a script."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def event(line: bytes) -> Event:
    """Return the ``Event`` of a line of a timeline or of `acts`: `<ms>|<event>|<detail>|<who>`.

    What is missing in a malformed line is empty, and its time is 0: each claim reads the newest act.
    """
    at_ms, name, detail, who = (*line.split(b"|", 3), b"", b"", b"")[:4]
    return Event(_number(at_ms), text(name), text(detail), text(who))


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
            left_out = [Event(min(first_ms, LATEST), "left_out", f"{kind} x{gone} within {within_s:.3f} s")]
    return left_out + events
