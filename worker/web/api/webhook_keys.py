"""`/v1/webhook-keys`: the public keys of the signatures by ed25519."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker import signatures
from worker.web.api.admission import PUBLIC, needs
from worker.web.api.backend import backend
from worker.web.api.blueprint import Blueprint, answer
from worker.web.api.schemas import WebhookKeys

if TYPE_CHECKING:
    from flask import Response

blueprint = Blueprint("webhook keys", __name__, description="Verify deliveries.")

#: Seconds for which caches may keep the answer: a new key signs beside the old one for far longer.
CACHED_S: Final = 300


@blueprint.route("/v1/webhook-keys", methods=["GET"])
@blueprint.response(200, WebhookKeys)
@blueprint.doc(operationId="listWebhookKeys", security=[])
@needs(PUBLIC)
def list_() -> Response:
    """Read the public keys that verify deliveries

    Each delivery has a signature (`v1a`) by each of these keys; one that is right is enough. The newest is first. Pin
    the keys in your receiver. For a rotation a new key appears before the others: add it to your receiver while both
    sign, and remove the old one when it is no longer here. It needs no token. Without a signing key the list is empty.
    """
    keys = [
        {
            "key_id": signatures.key_id(key),
            "public_key": signatures.format_public_key(key),
            "algorithm": "ed25519",
        }
        for key in signatures.public_keys(backend().settings.signing_key)
    ]
    return answer({"keys": keys}, headers={"Cache-Control": f"public, max-age={CACHED_S}"})
