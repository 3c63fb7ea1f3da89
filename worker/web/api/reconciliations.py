"""`/v1/reconciliations`: what became of the ids that a pipeline has, and the balance of a region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from worker.ledger.models import Stage
from worker.ledger.reconciliation import stages
from worker.web.api.admission import needs
from worker.web.api.backend import backend
from worker.web.api.blueprint import Blueprint, answer
from worker.web.api.costly import take_place
from worker.web.api.problems import invalid, not_polled
from worker.web.api.schemas import Reconciliation, ReconciliationRequest

if TYPE_CHECKING:
    from flask import Response

    from worker.ledger.models import Counts

#: A request with more ids is costly.
FEW: Final = 500

blueprint = Blueprint("reconciliations", __name__, description="Compare your records with the ledger.")


@blueprint.route("/v1/reconciliations", methods=["POST"])
@blueprint.arguments(
    ReconciliationRequest,
    example={"region": "ph", "signature_ids": ["pass-n2-1", "CARD_NOT_FOUND-1", "never-enqueued-1"]},
)
@blueprint.response(200, Reconciliation)
@blueprint.doc(operationId="reconcile")
@needs("read")
def reconcile(wanted: dict[str, Any]) -> Response:
    """Look up to 10,000 ids of one region up

    An id that is given twice is answered once. The balance is read after the ids, in one step.
    """
    polled = backend().settings.regions
    if wanted["region"] not in polled:
        raise invalid({"region": [not_polled(polled)]})
    if len(wanted["signature_ids"]) > FEW:
        take_place()
    region = wanted["region"]
    damaged: list[str] = []
    found = stages(backend().redis, region, wanted["signature_ids"], damaged.append)
    dropped = found.get(Stage.DROPPED, [])
    return answer(
        {
            "region": region,
            "done": found.get(Stage.DONE, []) + dropped + found.get(Stage.ERASED, []),
            "under_way": [
                signature_id
                for stage in (Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING, Stage.DELIVERING)
                for signature_id in found.get(stage, [])
            ],
            "quarantined": found.get(Stage.QUARANTINED, []),
            "unknown": found.get(None, []),
            "dropped": dropped,
            "damaged": damaged,
            "balance": balance(backend().stats.counts(region)),
        }
    )


def balance(counts: Counts) -> dict[str, int]:
    """The figures of a region: the first is the sum of the others."""
    return {
        "accepted": counts.enqueued,
        "decided": counts.done,
        "quarantined": counts.quarantined,
        "waiting": counts.waiting + counts.in_flight,
        "dropped": counts.dropped,
    }
