"""Ours, from the pipeline's side. The workers are the product as it is: `celery -A worker worker`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from worker.client import enqueue_many, request

if TYPE_CHECKING:
    from collections.abc import Iterable

REGION: Final = "ph"
#: As docs/pipelines.md says: some thousands a call at most.
BATCH: Final = 1000


def enqueue(signature_ids: Iterable[str]) -> None:
    left = iter(signature_ids)
    while some := [request(signature_id, REGION) for signature_id in islice(left, BATCH)]:
        enqueue_many(some)
