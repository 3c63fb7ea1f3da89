"""What became of given ids: each is done, under way, quarantined or unknown."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from worker.ledger import codec
from worker.ledger.connection import translated
from worker.ledger.fields import Field
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

#: Ids per round trip: some 1 ms of Redis's time.
SLICE: Final = 1000


def stages(redis: Redis, region: str, signature_ids: Sequence[str]) -> dict[Stage | None, list[str]]:
    """The ids by stage, each once, in the order in which they are given; None: the ledger does not know them.

    Raises ``LedgerUnavailable``.
    """
    base, found = f"{prefix(region)}v:", defaultdict[Stage | None, list[str]](list)
    unique = list(dict.fromkeys(signature_ids))
    for start in range(0, len(unique), SLICE):
        ids = unique[start : start + SLICE]
        with translated(), redis.pipeline(transaction=False) as pipe:
            for signature_id in ids:
                pipe.hget(base + signature_id, Field.STAGE)
            rows = pipe.execute()
        for signature_id, stage in zip(ids, rows, strict=True):
            found[codec.stage(stage)].append(signature_id)
    return found
