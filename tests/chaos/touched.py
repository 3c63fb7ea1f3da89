"""The verifications that each strike touched, as far as this is visible from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.faults import DEATHS, NO_EVIDENCE
from tests.chaos.leases import Step
from worker.ledger.models import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.delays import Delay
    from tests.chaos.driver import Run
    from tests.chaos.faults import Injected
    from tests.chaos.leases import Deed
    from tests.chaos.watch import Key

#: A countdown is recorded at most this long after its cause.
_RECORDED_MS = 2000


def touched(run: Run, found: Sequence[Delay]) -> list[set[Key]]:
    """Return the touched verifications of each strike of `run.injected`, in the same order."""
    return [injected.touched | _touched(run, injected, found) for injected in run.injected]


def _touched(run: Run, injected: Injected, found: Sequence[Delay]) -> set[Key]:
    fault = injected.strike.fault
    if fault in DEATHS:
        return {delay.key for delay in found if injected in delay.crashes}
    if fault == "images_fail":
        names = {
            asked.signature_id
            for asked in run.asked
            if asked.answer == "images_fail" and _during(injected, asked.at_ms)
        }
        return {key for key in run.state.records if key[1] in names}
    if fault in {"evidence_fails", "disk_full"}:
        return _faulted(run, injected, NO_EVIDENCE) | (_put_off(run, injected) if injected.noticed else set())
    if fault.startswith("vendor_"):
        names = {
            asked.signature_id
            for asked in run.asked
            if asked.call == "result" and _during(injected, asked.at_ms)
        }
        return {key for key in run.state.records if key[1] in names} | _faulted(run, injected, "")
    return set()


def _faulted(run: Run, injected: Injected, detail: str) -> set[Key]:
    """Return the verifications with a fault in their timeline meanwhile, whose detail contains `detail`."""
    return {
        key
        for key, record in run.state.records.items()
        for moment in record.timeline
        if moment.event == "fault" and detail in moment.detail and _during(injected, moment.at_ms)
    }


def _put_off(run: Run, injected: Injected) -> set[Key]:
    """Return the verifications that a worker began during an outage of the evidence store, except to route them.

    An open breaker puts them off, and no timeline has that.
    """
    return {key for key, deeds in run.state.deeds.items() if _needed_evidence(deeds, injected)}


def _needed_evidence(deeds: Sequence[Deed], injected: Injected) -> bool:
    stage = ""
    for deed in deeds:
        stage = deed.stage or stage
        inside = injected.span.begin_ms <= deed.at_ms <= injected.span.end_ms
        if inside and deed.step is Step.BEGUN and stage != Stage.ROUTING:
            return True
    return False


def _during(injected: Injected, at_ms: int) -> bool:
    return injected.span.begin_ms <= at_ms <= injected.span.end_ms + _RECORDED_MS
