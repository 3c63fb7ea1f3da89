"""The recorded outcomes of a region: what was decided, and by which facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.ledger import codec
from worker.ledger.fields import Field
from worker.ledger.hashes import read_hashes
from worker.ledger.keys import now_ms, signature_ids
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Redis

    from worker.ledger.models import Verification

#: Keys per step of a scan, and reads per round trip.
STEP: Final = 1000

_READ: Final = (
    Field.STAGE,
    Field.OVERALL_RESULT,
    Field.ERROR_CODE,
    Field.REASON,
    Field.FACTS,
    Field.SETTLED_AT,
    Field.DECISION_NAME,
)


def outcomes(
    redis: Redis, region: str, since_s: float | None, on_damaged: Callable[[str], object]
) -> Iterator[list[Verification]]:
    """Verifications that were settled within `since_s` and have a decision, a page at a time. None: all of them.

    There is no index by time: this scans the keys of the whole Redis, a step at a time, which blocks no one. Pages
    may be empty. A scan may find a verification twice. `on_damaged` is called with each key of another type, whose
    verification is left out. Raises ``LedgerUnavailable``.
    """
    at_ms = now_ms(redis, region)
    after_ms = 0 if since_s is None else at_ms - round(since_s * 1000)
    for ids in signature_ids(redis, region, STEP):
        yield [
            each
            for each in _read(redis, region, ids, at_ms, on_damaged)
            if each.decision_name and (each.settled_at_ms or 0) >= after_ms
        ]


def _read(
    redis: Redis, region: str, ids: Sequence[str], at_ms: int, on_damaged: Callable[[str], object]
) -> Iterator[Verification]:
    base = prefix(region)
    rows = read_hashes(redis, (f"{base}v:{each}" for each in ids), _READ, on_damaged=on_damaged)
    for signature_id, row in zip(ids, rows, strict=True):
        fields = {field.key: value for field, value in zip(_READ, row, strict=True) if value is not None}
        # It may have expired since the scan.
        if codec.is_verification(fields):
            yield codec.verification(region, signature_id, fields, read_at_ms=at_ms)
