"""Reads many hashes in one round trip. One that is damaged hides no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.ledger.connection import is_wrong_type, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis import Redis


def read_hashes(
    redis: Redis,
    keys: Iterable[str],
    fields: Sequence[str] = (),
    *,
    on_damaged: Callable[[str], object] | None = None,
) -> list[Any]:
    """Return each hash, in the order of `keys`; with `fields` the list of their values instead.

    A key of another type counts as a hash without fields, and `on_damaged` is called with it. Raises
    ``LedgerUnavailable``.
    """
    keys = list(keys)
    rows: list[Any] = []
    with translated(), redis.pipeline(transaction=False) as pipe:
        for key in keys:
            if fields:
                pipe.hmget(key, fields)
            else:
                pipe.hgetall(key)
        for key, answer in zip(keys, pipe.execute(raise_on_error=False), strict=True):
            if not isinstance(answer, Exception):
                rows.append(answer)
                continue
            if not is_wrong_type(answer):
                raise answer
            rows.append([None] * len(fields) if fields else {})
            if on_damaged is not None:
                on_damaged(key)
    return rows
