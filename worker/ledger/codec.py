"""From the ledger's hash to a value. What the one-letter fields mean stands in ``lua/common.lua``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.ledger.models import Event, EvidenceState, Stage, Verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def verification(
    region: str,
    signature_id: str,
    fields: Mapping[bytes, bytes],
    *,
    read_at_ms: int,
    clock_ahead_ms: int = 0,
) -> Verification:
    """A ``Verification`` from the hash that ``lua/common.lua`` describes."""

    def text(name: bytes) -> str | None:
        value = fields.get(name)
        return value.decode() if value else None

    def number(name: bytes) -> int:
        return int(fields.get(name, 0))

    settled_at, evidence, retried_at = text(b"z"), text(b"k"), text(b"m")
    return Verification(
        signature_id=signature_id,
        region=region,
        stage=Stage(fields[b"s"].decode()),
        enqueued_at_ms=number(b"e"),
        polls=number(b"p"),
        nulls=number(b"n"),
        faults=number(b"f"),
        fault_cause=text(b"a"),
        late_faults=number(b"l"),
        losses=number(b"t"),
        submission_completed=text(b"u") == "1",
        transaction_id=text(b"i"),
        context=text(b"x"),
        overall_result=text(b"o"),
        error_code=text(b"r"),
        reason=text(b"w"),
        settled_at_ms=int(settled_at) if settled_at else None,
        evidence=EvidenceState(evidence) if evidence else None,
        decision_name=text(b"y"),
        decision=text(b"d"),
        quarantine_reason=text(b"q"),
        retried_at_ms=int(retried_at) if retried_at else None,
        read_at_ms=read_at_ms,
        clock_ahead_ms=clock_ahead_ms,
    )


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """A mapping from the flat list that Redis answers to HGETALL inside a script."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def event(line: bytes) -> Event:
    """One line of the timeline: `<ms>|<event>|<detail>|<worker>`."""
    at_ms, name, detail, worker = line.decode().split("|", 3)
    return Event(int(at_ms), name, detail, worker)
