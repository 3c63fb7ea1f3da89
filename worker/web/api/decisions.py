"""`/v1/decisions`: every decision in order, for receivers that run no server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from worker.ledger.decision_feed import Cursor
from worker.web.api.admission import needs
from worker.web.api.backend import backend
from worker.web.api.blueprint import Blueprint, answer
from worker.web.api.decision_signature import signature_headers
from worker.web.api.problems import invalid
from worker.web.api.schemas import DecisionPage, DecisionsQuery

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("decisions", __name__, description="Receive decisions by asking for them.")


@blueprint.route("/v1/decisions", methods=["GET"])
@blueprint.arguments(DecisionsQuery, location="query")
@blueprint.response(200, DecisionPage)
@blueprint.doc(operationId="listDecisions")
@needs("read")
def list_(query: dict[str, Any]) -> Response:
    """Read decisions in the order in which they were made

    Ask with `after` set to the `next` of the answer before, also when that was empty. A decision is in the feed from
    the moment at which it is made, whether or not its delivery has succeeded, and for as long as the ledger remembers
    it. It may come twice after a failover of Redis: its `id` is the same.

    What is served here is what Redis has. Verify the signature, unless every client of Redis may make decisions.
    """
    try:
        cursor = Cursor.parse(query["after"]) if "after" in query else Cursor()
    except ValueError as error:
        raise invalid({"after": [str(error)]}, "parameter") from None
    page = backend().feed.read(cursor, query["limit"])
    signatures = json.dumps(
        [signature_headers(*each) for each in zip(page.decisions, page.signatures, strict=True)]
    )
    # The decisions are joined as they are stored: the same bytes as in every other delivery.
    body = (
        f'{{"decisions":[{",".join(page.decisions)}],"signatures":{signatures},'
        f'"next":"{page.cursor.text}","more":{json.dumps(page.more)}}}'
    )
    return answer(body.encode())
