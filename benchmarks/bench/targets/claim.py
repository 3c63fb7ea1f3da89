"""What a claim costs with few waiting and with very many, side by side, without workers."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench.ground import REGION, ground
from worker.client import request
from worker.ledger import Ledger
from worker.runtime.batch_runner import give_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Ids of one call.
_CHUNK: Final = 1000

#: The default of EKYC_BATCH.
_BATCH: Final = 64


def measure(  # noqa: PLR0913 - by name
    where: Path, *, few: int, many: int, rounds: int, claims: int, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Medians of `claims` claims each round, in milliseconds. Each takes a batch, which is then given back."""
    figures: dict[str, Any] = {"few": few, "many": many, "few_ms": [], "many_ms": []}
    with ground(where) as small, ground(where) as large:
        ledgers = {"few_ms": Ledger(small.redis), "many_ms": Ledger(large.redis)}
        for ledger, number in zip(ledgers.values(), (few, many), strict=True):
            _fill(ledger, number)
        for turn in range(rounds):
            took_ms: dict[str, list[float]] = {name: [] for name in ledgers}
            # By turns, so that what disturbs one disturbs the other.
            for _ in range(claims):
                for name, ledger in ledgers.items():
                    took_ms[name].append(_claim_ms(ledger))
            for name, times_ms in took_ms.items():
                figures[name].append(round(median(times_ms), 3))
            tell(
                f"claim · round {turn + 1}: {figures['few_ms'][-1]} ms with {few:,} waiting, "
                f"{figures['many_ms'][-1]} ms with {many:,}"
            )
    return figures


def _fill(ledger: Ledger, number: int) -> None:
    for start in range(0, number, _CHUNK):
        ids = range(start, min(start + _CHUNK, number))
        ledger.enqueue([request(f"claim-{index:010d}", REGION) for index in ids])


def _claim_ms(ledger: Ledger) -> float:
    began_at = time.perf_counter()
    claim = ledger.claim(REGION, limit=_BATCH)
    took_ms = (time.perf_counter() - began_at) * 1000
    for batch in claim.batches:
        give_back(ledger, batch)
    return took_ms
