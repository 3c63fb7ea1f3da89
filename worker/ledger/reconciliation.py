"""What became of given ids: each is done, under way, quarantined or unknown."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from worker.ledger import codec
from worker.ledger.fields import Field
from worker.ledger.hashes import read_hashes
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

#: Ids per round trip: some 1 ms of Redis's time.
SLICE: Final = 1000


def stages(
    redis: Redis, region: str, signature_ids: Sequence[str], on_damaged: Callable[[str], object]
) -> dict[Stage | None, list[str]]:
    """The ids by stage, each once, in the order in which they are given; None: the ledger does not know them.

    `on_damaged` is called with each key of another type, whose id is left out. Raises ``LedgerUnavailable``.
    """
    base, found = f"{prefix(region)}v:", defaultdict[Stage | None, list[str]](list)
    unique = list(dict.fromkeys(signature_ids))
    for start in range(0, len(unique), SLICE):
        ids = unique[start : start + SLICE]
        damaged: set[str] = set()
        rows = read_hashes(redis, (base + each for each in ids), (Field.STAGE,), on_damaged=damaged.add)
        for signature_id, (stage,) in zip(ids, rows, strict=True):
            if base + signature_id in damaged:
                on_damaged(base + signature_id)
            else:
                found[codec.stage(stage)].append(signature_id)
    return found
