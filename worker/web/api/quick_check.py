"""Checks requests to enqueue several times as fast as their schemas do. Where it finds a fault, they explain it.

`worker.web.api.schemas.VerificationRequest` has the rules; this accepts nothing that it refuses.
"""

from __future__ import annotations

from typing import Any, Final

from worker.enqueue_request import (
    DEFAULT_PIPELINE,
    PIPELINE,
    REGION_ALIASES,
    REGIONS,
    SIGNATURE_ID,
    EnqueueRequest,
    check_context,
)
from worker.web.api.schemas import MOST_VERIFICATIONS

_MEMBERS: Final = frozenset({"signature_id", "region", "context", "pipeline"})

#: By each name that a region may be given: its own name.
_REGIONS: Final = {name: name for name in REGIONS} | REGION_ALIASES


def requests(body: Any, *, several: bool) -> list[EnqueueRequest] | None:
    """The requests of a body. None: there may be a fault, ask the schema."""
    if not several:
        one = _request(body)
        return None if one is None else [one]
    items = body["verifications"]
    if len(body) > 1 or not isinstance(items, list) or not 1 <= len(items) <= MOST_VERIFICATIONS:
        return None
    found: list[EnqueueRequest] = []
    for item in items:
        one = _request(item)
        if one is None:
            return None
        found.append(one)
    return found


def _request(item: Any) -> EnqueueRequest | None:
    if not isinstance(item, dict) or not item.keys() <= _MEMBERS:
        return None
    signature_id, region = item.get("signature_id"), item.get("region")
    if not isinstance(signature_id, str) or not SIGNATURE_ID.fullmatch(signature_id):
        return None
    if not isinstance(region, str) or region not in _REGIONS:
        return None
    pipeline = item.get("pipeline")
    if pipeline is None:
        pipeline = DEFAULT_PIPELINE
    elif not isinstance(pipeline, str) or not PIPELINE.fullmatch(pipeline):
        return None
    try:
        context = check_context(item.get("context"))
    except ValueError:
        return None
    return EnqueueRequest(signature_id, _REGIONS[region], context, pipeline)
