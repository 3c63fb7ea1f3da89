"""`/v1/notifications/<region>`: the vendor's callback. It is a hint: what the vendor answers to the poll decides.

The vendor signs nothing, and suggests a secret in the query of the callback URL. It is a token with the scope `notify`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from worker.enqueue_request import canonical_region
from worker.web.api.admission import needs
from worker.web.api.backend import backend
from worker.web.api.blueprint import Blueprint, answer
from worker.web.api.schemas import Notification

if TYPE_CHECKING:
    from flask import Response

#: The type of a callback that says that the user is done. The result is not there yet.
SUBMIT_COMPLETED: Final = "SUBMIT_COMPLETED"

blueprint = Blueprint("notifications", __name__, description="For the vendor.")


@blueprint.route("/v1/notifications/<region:region>", methods=["POST"])
@blueprint.arguments(Notification, example={"signatureId": "pass-n2-1", "type": "COMPLETED"})
@blueprint.response(
    200, {"type": "object", "maxProperties": 0}, description="It was taken, also for an unknown id."
)
@blueprint.doc(operationId="notify", security=[{"callbackSecret": []}])
@needs("notify")
def notify(sent: dict[str, Any], region: str) -> Response:
    """Take a callback of the vendor

    It brings the next poll forward, as `nudge` does. After `SUBMIT_COMPLETED` the vendor needs a moment, so the poll
    comes `EKYC_POLL_FIRST` seconds later. An id that is unknown, or no longer waits, changes nothing. The secret is in
    the query, as the parameter `secret`.
    """
    in_s = backend().settings.poll_first_s if sent.get("type") == SUBMIT_COMPLETED else 0.0
    backend().ledger.nudge(canonical_region(region), [sent["signatureId"]], in_s=in_s)
    return answer(b"{}")
