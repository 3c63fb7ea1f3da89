"""Erases one person at the end of a demo, as an operator does, and looks at what is left."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from sandbox.demo.failure import DemoFailed
from sandbox.demo.findings import Erased
from worker.errors import EvidenceErased
from worker.evidence import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sandbox.demo.deliveries import Delivery
    from sandbox.demo.findings import Kept, Logged
    from sandbox.demo.parts import Parts
    from sandbox.demo.plan import Plan, Planned
    from sandbox.demo.processes import Processes
    from worker.evidence.store import Evidence
    from worker.ledger import Ledger

#: The name of the command's log.
_NAME: Final = "erase"


def erase_one(  # noqa: PLR0913 - a demo's whole
    plan: Plan,
    kept: Mapping[str, Kept],
    deliveries: Mapping[str, Sequence[Delivery]],
    *,
    evidence: Evidence,
    ledger: Ledger,
    parts: Parts,
    processes: Processes,
    audited: Callable[[], Logged],
) -> Erased:
    """Erase the first approved person whose evidence is complete. Raises ``DemoFailed`` if there is none, or it fails.

    `audited` audits the log of evidence afterwards.
    """
    planned = next((each for each in plan.all if _is_approved(each, kept, deliveries)), None)
    if planned is None:
        raise DemoFailed("no approved verification has complete evidence, so none can be erased")
    certificate = _certificate(planned, parts, processes)
    status = ledger.status(planned.region, planned.signature_id)
    return Erased(
        region=planned.region,
        signature_id=planned.signature_id,
        deleted=len(certificate["evidence"]["deleted"]),
        vendor_cleared=certificate["vendor"]["cleared"],
        is_readable=_is_readable(evidence, planned),
        stage=status.verification.stage.value if status else None,
        log=audited(),
    )


def _is_approved(
    planned: Planned, kept: Mapping[str, Kept], deliveries: Mapping[str, Sequence[Delivery]]
) -> bool:
    received = deliveries.get(planned.signature_id, ())
    return kept[planned.signature_id].complete and any(
        delivery.decision["decision"] == "approve" for delivery in received
    )


def _certificate(planned: Planned, parts: Parts, processes: Processes) -> dict[str, Any]:
    """Return the members of the certificate of `ekyc evidence erase`."""
    command = [
        *(sys.executable, "-m", "worker.cli", "evidence", "erase", planned.signature_id),
        *("--region", planned.region, "--why", "the demo erases one person", "--yes", "--json"),
    ]
    output = processes.run(_NAME, command, b"", **parts.environment)
    certificate: dict[str, Any] = json.loads(output)["certificate"]
    return certificate


def _is_readable(evidence: Evidence, planned: Planned) -> bool:
    try:
        return evidence.of(planned.region, planned.signature_id).read(paths.ANSWER) is not None
    except EvidenceErased:
        return False
