"""Keys of the ledger that have another type than the scripts use, such as after a damaged restore.

Of the keys of a region only those are looked at whose names hold nothing of a verification.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from worker.errors import LedgerUnavailable
from worker.ledger import redis_health, worker_registry
from worker.ledger.connection import translated
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from redis import Redis

#: By type, the keys of a region: see ``lua/common.lua``.
_OF_REGION: Final[Mapping[str, tuple[str, ...]]] = {
    "hash": ("counts", "hold", "health", "clock", "ledger", "log", "alarm", "alarm:webhook", "audit:counts"),
    "list": ("acts", "minutes", "wake"),
    "set": ("endpoints", "failing"),
    "zset": (
        *(
            "due:polling",
            "due:archiving",
            "due:routing",
            "leased",
            "quarantine",
            "done",
            "feed",
            "delivering",
        ),
        *("legal_holds", "erasing", "closings", "closings:stored", "log:pending"),
    ),
    "string": ("feed:gone", "ledger:replaced", "suspect", "tat"),
    "stream": ("audit", "audit:evidence", "audit:erasures"),
}

#: The same of an endpoint.
_OF_ENDPOINT: Final[Mapping[str, tuple[str, ...]]] = {
    "hash": ("endpoint:",),
    "list": ("answers:webhook:",),
    "zset": ("due:webhook:", "leased:webhook:", "failed:webhook:", "acknowledged:webhook:"),
}

#: A command that reads a key of this type and no other. The account of a worker may run each, and not TYPE.
_READS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "hash": ("HGET", ("x",)),
    "list": ("LLEN", ()),
    "set": ("SCARD", ()),
    "zset": ("ZCARD", ()),
    "stream": ("XLEN", ()),
    "string": ("GET", ()),
}

_MOST: Final = 3


def found(redis: Redis, regions: Iterable[str], endpoints: Iterable[str] = ()) -> str:
    """Return a line that names damaged keys with their types, a few at most. "": none is known.

    It costs two round trips. A Redis that cannot be asked has none.
    """
    with suppress(LedgerUnavailable):
        keys = list(_keys(regions, list(endpoints)))
        answers = _ask(redis, keys)
        damaged = [key for key, answer in zip(keys, answers, strict=True) if _is_of_another_type(answer)]
        return "; ".join(_line(redis, key, wanted) for key, wanted in damaged[:_MOST])
    return ""


def _keys(regions: Iterable[str], endpoints: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each key with the type that it must have."""
    yield worker_registry.KEY, "zset"
    yield redis_health.KEY, "string"
    yield from (("ekyc:audit", "stream"), ("ekyc:audit:log-ins", "stream"), ("ekyc:audit:counts", "hash"))
    for region in regions:
        for type_, names in _OF_REGION.items():
            yield from ((f"{prefix(region)}{name}", type_) for name in names)
        for type_, names in _OF_ENDPOINT.items():
            yield from ((f"{prefix(region)}{name}{each}", type_) for name in names for each in endpoints)


def _ask(redis: Redis, keys: Iterable[tuple[str, str]]) -> list[Any]:
    with translated(), redis.pipeline(transaction=False) as pipe:
        queue: Any = pipe.execute_command
        for key, type_ in keys:
            command, arguments = _READS[type_]
            queue(command, key, *arguments)
        return pipe.execute(raise_on_error=False)


def _is_of_another_type(answer: Any) -> bool:
    return isinstance(answer, Exception) and "WRONGTYPE" in str(answer)


def _line(redis: Redis, key: str, wanted: str) -> str:
    # Not GET: the value may be large, and what no other command reads is a string.
    others = [(key, type_) for type_ in _READS if type_ not in {wanted, "string"}]
    types = [
        type_
        for (_, type_), answer in zip(others, _ask(redis, others), strict=True)
        if not isinstance(answer, Exception)
    ]
    return f"the key {key} in Redis is of the type {types[0] if types else 'string'} and must be of {wanted}"
