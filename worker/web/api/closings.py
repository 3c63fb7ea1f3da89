"""`/v1/verifications/…/closed`: a pipeline says that a business relationship ended.

`web` has no evidence store, so the ledger notes the time, and a worker stores it beside the evidence. The ledger may
have forgotten the verification long before, so any id is taken; for one without evidence nothing follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.enqueue_request import canonical_region
from worker.errors import InvalidInput
from worker.ledger.erasures import Erased
from worker.ledger.moments import rfc3339
from worker.web.api.admission import needs
from worker.web.api.backend import backend
from worker.web.api.blueprint import Blueprint, answer
from worker.web.api.problems import ERASED, Problem, invalid, not_polled
from worker.web.api.schemas import ClosingNoted, ClosingRequest

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("closings", __name__, description="Start the clock of retention.")


@blueprint.route("/v1/verifications/<region:region>/<signature_id:signature_id>/closed", methods=["POST"])
@blueprint.arguments(ClosingRequest, example={"closed_at": "2026-11-30T12:00:00Z"})
@blueprint.response(202, ClosingNoted)
@blueprint.doc(operationId="close")
@needs("close")
def close(sent: dict[str, Any], region: str, signature_id: str) -> Response:
    """Say that the business relationship ended

    The period for which its evidence is kept begins then. Of several times the latest one counts, so a request may be
    sent again. A worker stores the time within a minute. An id without evidence changes nothing.
    """
    canonical, polled = canonical_region(region), backend().settings.regions
    if canonical not in polled:
        raise invalid({"region": [not_polled(polled)]}, "parameter")
    try:
        at_ms = backend().erasures.close(canonical, signature_id, sent.get("closed_at", 0))
    except Erased:
        raise Problem(
            ERASED, "the verification was erased: nothing is left whose period could begin"
        ) from None
    except InvalidInput:
        raise invalid({"closed_at": ["must not be in the future"]}) from None
    return answer({"signature_id": signature_id, "region": canonical, "closed_at": rfc3339(at_ms)}, 202)
