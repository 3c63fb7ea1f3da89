"""Log lines about verifications: one at INFO for each event, with ids and codes only.

A busy worker writes thousands per second, so the lines of a batch are one record, rendered without structlog's
processors. If INFO is off, this costs one comparison per batch.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from worker.ledger.fields import Field
from worker.ledger.transitions import Destination

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from worker.ledger.models import Batch, LeaseExpired, Verification
    from worker.ledger.transitions import Transition

_log = logging.getLogger(__name__)


def _settled(write: Transition) -> dict[str, Any]:
    said = {
        "result": write.fields.get(Field.OVERALL_RESULT),
        "error_code": write.fields.get(Field.ERROR_CODE),
        "reason": write.fields.get(Field.REASON),
    }
    found: dict[str, Any] = {name: word for name, word in said.items() if word}
    return found | {"late": True} if write.event == "settled_late" else found


def _archived(write: Transition) -> dict[str, Any]:
    said = {"files": write.counts.get("evidence_files"), "bytes": write.counts.get("evidence_bytes")}
    return {
        "evidence": write.fields[Field.EVIDENCE],
        **{name: count for name, count in said.items() if count is not None},
    }


def _decision(write: Transition) -> dict[str, Any]:
    return {"decision": write.detail}


def _cause(write: Transition) -> dict[str, Any]:
    return {"cause": write.detail}


#: By the event of a transition: the event that is logged, and its fields.
LINES: Final[Mapping[str, tuple[str, Callable[[Transition], dict[str, Any]]]]] = {
    "settled": ("verification_settled", _settled),
    "settled_late": ("verification_settled", _settled),
    "archived": ("verification_archived", _archived),
    "decide_first": ("verification_archived", _archived),
    "decided": ("verification_decided", _decision),
    "delivered": ("verification_delivered", _decision),
    "given_up": ("verification_given_up", _cause),
}


def log_written(batch: Batch, writes: Iterable[Transition]) -> None:
    """Log the events of transitions that were made."""
    if not _log.isEnabledFor(logging.INFO):
        return
    lines = [
        {
            "event": event,
            "signature_id": write.signature_id,
            "region": batch.region,
            **fields,
            "batch": batch.id,
        }
        for write in writes
        for event, fields in _events(write)
    ]
    _write(lines)


def log_claimed(
    region: str, *, quarantined: Sequence[Verification] = (), expired: Sequence[LeaseExpired] = ()
) -> None:
    """Log what a claim found: leases that ended, and verifications that it put into quarantine for that."""
    if not (quarantined or expired) or not _log.isEnabledFor(logging.INFO):
        return
    lines = [
        {
            "event": "verification_lease_expired",
            "signature_id": each.signature_id,
            "region": region,
            "stage": each.stage.value,
            "held_by": each.worker or None,
        }
        for each in expired
    ]
    lines += [
        {
            "event": "verification_quarantined",
            "signature_id": each.signature_id,
            "region": region,
            "reason": "CRASHES_WORKERS",
        }
        for each in quarantined
    ]
    _write(lines)


def _events(write: Transition) -> Iterator[tuple[str, dict[str, Any]]]:
    if write.place is Destination.QUARANTINE:
        yield (
            "verification_quarantined",
            {"reason": write.reason, **({"detail": write.detail} if write.detail else {})},
        )
    elif write.place is Destination.ERASED:
        yield "verification_erased", {}
    elif write.event in LINES:
        event, fields = LINES[write.event]
        yield event, fields(write)


def _write(lines: Sequence[dict[str, Any]]) -> None:
    if not lines:
        return
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    common = {"level": "info", "logger": __name__, "timestamp": at}
    record = _log.makeRecord(
        _log.name, logging.INFO, "", 0, "%d events of verifications", (len(lines),), None
    )
    record.events = [line | common for line in lines]
    _log.handle(record)
