"""Turns findings into the figures of the report. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sandbox.demo.report import Channel, Erasure, Quarantined, RegionHold, Report, Spread, most_first
from worker.ledger.models import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sandbox.demo.checks import Check
    from sandbox.demo.findings import Findings
    from sandbox.demo.plan import Planned


def tally(
    findings: Findings,
    checks: tuple[Check, ...],
    *,
    holds: Sequence[tuple[str, str]],
    seconds: float,
    folder: Path,
) -> Report:
    """Return the report on `findings`."""
    return Report(
        seconds=seconds,
        verifications=len(findings.plan.all),
        enqueued={way.value: count for way, count in findings.accepted.items()},
        decided=len(findings.deliveries),
        deliveries=_deliveries(findings),
        decisions=_decisions(findings),
        quarantine=_quarantine(findings),
        polls=findings.counts.polls,
        polls_each=Spread.of([status.verification.polls for status in findings.statuses.values() if status]),
        latency_ms=_latency_ms(findings, lambda _: True),
        latency_smooth_ms=_latency_ms(findings, lambda planned: planned.smooth),
        latency_called_back_ms=_latency_ms(
            findings, lambda planned: planned.compared and planned.called_back
        ),
        latency_polled_ms=_latency_ms(findings, lambda planned: planned.compared and not planned.called_back),
        callbacks=dict(findings.callbacks),
        evidence_files=findings.usage.files,
        evidence_bytes=findings.usage.size_bytes,
        erased=Erasure(findings.erased.region, findings.erased.signature_id, findings.erased.deleted),
        leases_lost=_leases_lost(findings),
        example=_example(findings),
        holds=tuple(RegionHold(*hold) for hold in holds),
        checks=checks,
        folder=folder,
    )


def _deliveries(findings: Findings) -> dict[str, Channel]:
    messages = sum(len(received) for received in findings.deliveries.values())
    found = {"celery": Channel(findings.counts.done, len(findings.deliveries), messages)}
    by_endpoint: dict[str, list[Mapping[str, Any]]] = {}
    for delivery in findings.seen.deliveries:
        by_endpoint.setdefault(delivery["endpoint"], []).append(delivery)
    for endpoint, deliveries in sorted(by_endpoint.items()):
        acknowledged = sum(delivery["state"] == "acknowledged" for delivery in deliveries)
        tries = sum(delivery["tries"] for delivery in deliveries)
        found[f"webhook:{endpoint}"] = Channel(len(deliveries), acknowledged, tries)
    return found


def _decisions(findings: Findings) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for received in findings.deliveries.values():
        decision = received[0].decision
        codes = found.setdefault(decision["decision"], Counter())
        codes[decision["reason"] or decision["error_code"] or "NONE"] += 1
    return {name: most_first(codes) for name, codes in sorted(found.items(), key=_most)}


def _most(item: tuple[str, Counter[str]]) -> tuple[int, str]:
    return -item[1].total(), item[0]


def _quarantine(findings: Findings) -> tuple[Quarantined, ...]:
    found = []
    for planned in findings.plan.all:
        status = findings.statuses[planned.signature_id]
        if status and status.verification.stage is Stage.QUARANTINED:
            refused = [event.detail for event in status.timeline if event.name in {"refused", "fault"}]
            reason = status.verification.quarantine_reason or ""
            detail = refused[-1] if refused else ""
            found.append(
                Quarantined(planned.signature_id, planned.region, reason, "" if detail == reason else detail)
            )
    return tuple(sorted(found, key=lambda row: (row.reason, row.detail)))


def _example(findings: Findings) -> tuple[str, str] | None:
    for planned in findings.plan.at_once:
        for delivery in findings.deliveries.get(planned.signature_id, []):
            if delivery.decision["error_code"] != "SUCCESS":
                return planned.region, planned.signature_id
    return None


def _leases_lost(findings: Findings) -> tuple[str, ...]:
    return tuple(
        signature_id
        for signature_id, status in findings.statuses.items()
        if status and any(event.name == "lease_expired" for event in status.timeline)
    )


def _latency_ms(findings: Findings, measured: Callable[[Planned], bool]) -> Spread | None:
    received = findings.deliveries
    found = []
    for planned in findings.plan.all:
        ready_at_ms = findings.ready_at_ms.get(planned.signature_id)
        if ready_at_ms is not None and planned.signature_id in received and measured(planned):
            found.append(received[planned.signature_id][0].received_at_ms - ready_at_ms)
    return Spread.of(found)
