"""Keys of the ledger that have another type than the scripts use, such as after a damaged restore.

Of the keys of a region only those are looked at whose names hold nothing of a verification, unless a person asks who
may see its id.
"""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from worker.errors import LedgerUnavailable
from worker.ledger import codec, keys, redis_health, worker_registry
from worker.ledger.audit import PARTS
from worker.ledger.connection import is_wrong_type, translated
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from redis import Redis

#: By type, the keys of a region: see ``lua/common.lua``.
_OF_REGION: Final[Mapping[str, tuple[str, ...]]] = {
    "hash": (
        *("counts", "hold", "health", "clock", "ledger", "log", "alarm", "alarm:webhook", "audit:counts"),
        "failing_since",
    ),
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
        *("legal_holds", "erasing", "closings", "closings:stored", "log:pending", "damaged"),
    ),
    "string": (
        *("feed:gone", "ledger:replaced", "suspect", "tat", "closings:turn", "log:lease"),
        *("token", "token:lock", "token:refused"),
    ),
    "stream": tuple(
        f"{name}{part}" for name in ("audit", "audit:evidence", "audit:erasures") for part in PARTS
    ),
}

#: The same of an endpoint.
_OF_ENDPOINT: Final[Mapping[str, tuple[str, ...]]] = {
    "hash": ("endpoint:",),
    "list": ("answers:webhook:",),
    "zset": ("due:webhook:", "leased:webhook:", "failed:webhook:", "acknowledged:webhook:"),
    "string": ("tat:webhook:",),
}

#: The same of a verification.
_OF_VERIFICATION: Final = {"v": "hash", "t": "list", "f": "list"}

#: The same of a delivery.
_OF_DELIVERY: Final = {"webhook": "hash"}

#: A set of ids, with the prefix of its region, and how many of its first ids are looked at: a claim takes no more.
_SET_OF_IDS: Final = re.compile(
    r"(ekyc:\{[a-z]+\}:)(?:due:(?:polling|archiving|routing)(?::.*)?|leased|quarantine|damaged)", re.DOTALL
)
_FIRST: Final = 100

#: The same of ids of deliveries.
_SET_OF_DELIVERIES: Final = re.compile(r"(ekyc:\{[a-z]+\}:)(?:due|leased|failed):webhook:.*", re.DOTALL)

#: The names of a set that are looked at: no script adds as many.
_MOST_NAMES: Final = 200

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

#: The stages at which a pipeline may have a due set of its own.
_DUE: Final = (Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING)

#: What an administrator does with such a key.
_TODO: Final = "restore, rename or remove it"


def found(
    redis: Redis, regions: Iterable[str], endpoints: Iterable[str] = (), *, with_ids: bool = False
) -> str:
    """Return a line that names damaged keys with their types, a few at most. "": none is known.

    It costs three round trips. A Redis that cannot be asked has none. `with_ids`: also keys of the verifications and
    the deliveries that a claim takes next, or that wait for a person for longest, which costs one more.
    """
    with suppress(LedgerUnavailable):
        regions = tuple(regions)
        known = [*dict.fromkeys((*_keys(regions, tuple(endpoints)), *_named(redis, regions)))]
        known += _of_verifications(redis, known) if with_ids else ()
        answers = _ask(redis, known)
        damaged = [key for key, answer in zip(known, answers, strict=True) if _is_of_another_type(answer)]
        return "; ".join(_line(redis, key, wanted) for key, wanted in damaged[:_MOST])
    return ""


def left_out(keys: Collection[str]) -> str:
    """Return a line about keys of verifications that are no hashes, so that a list is without these."""
    others = len(keys) - 1
    more = f" (and {others:,} more)" if others else ""
    return f"the key {next(iter(keys))}{more} in Redis is no hash, so its verification is left out: {_TODO}"


def _keys(regions: Iterable[str], endpoints: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each key with the type that it must have."""
    yield worker_registry.KEY, "zset"
    yield redis_health.KEY, "string"
    yield from (("ekyc:audit", "stream"), ("ekyc:audit:log-ins", "stream"), ("ekyc:audit:counts", "hash"))
    for region in regions:
        for type_, names in _OF_REGION.items():
            yield from ((f"{prefix(region)}{name}", type_) for name in names)
        yield from _of_endpoints(region, endpoints)


def _named(redis: Redis, regions: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the keys whose names a region has: of its endpoints, its pipelines, and the reasons of failing calls."""
    with translated(), redis.pipeline(transaction=False) as pipe:
        for region in regions:
            pipe.smembers(f"{prefix(region)}endpoints")
            pipe.smembers(f"{prefix(region)}failing")
            pipe.hmget(f"{prefix(region)}clock", *_DUE)
        answers: list[Any] = pipe.execute(raise_on_error=False)
    for region, endpoints, failing, turns in zip(
        regions, answers[::3], answers[1::3], answers[2::3], strict=True
    ):
        # One of these may be damaged itself: then it is an error.
        if isinstance(endpoints, set):
            yield from _of_endpoints(region, map(codec.text, islice(endpoints, _MOST_NAMES)))
        if isinstance(failing, set):
            reasons = map(codec.text, islice(failing, _MOST_NAMES))
            yield from ((f"{prefix(region)}failing:{reason}", "set") for reason in reasons)
        for stage, named in zip(_DUE, turns if isinstance(turns, list) else (), strict=False):
            for each in islice(keys.pipelines_of(named), _MOST_NAMES):
                yield f"{prefix(region)}{keys.due_set(stage, each)}", "zset"


def _of_endpoints(region: str, endpoints: Iterable[str]) -> Iterator[tuple[str, str]]:
    for each in endpoints:
        for type_, names in _OF_ENDPOINT.items():
            yield from ((f"{prefix(region)}{name}{each}", type_) for name in names)


def _of_verifications(redis: Redis, known: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    sets = [
        (name, kinds)
        for key, _ in known
        for pattern, kinds in ((_SET_OF_IDS, _OF_VERIFICATION), (_SET_OF_DELIVERIES, _OF_DELIVERY))
        if (name := pattern.fullmatch(key))
    ]
    with translated(), redis.pipeline(transaction=False) as pipe:
        for name, _ in sets:
            pipe.zrange(name[0], 0, _FIRST - 1)
        answers: list[Any] = pipe.execute(raise_on_error=False)
    for (name, kinds), ids in zip(sets, answers, strict=True):
        for each in map(codec.text, ids if isinstance(ids, list) else ()):
            yield from ((f"{name[1]}{kind}:{each}", type_) for kind, type_ in kinds.items())


def _ask(redis: Redis, keys: Iterable[tuple[str, str]]) -> list[Any]:
    with translated(), redis.pipeline(transaction=False) as pipe:
        queue: Any = pipe.execute_command
        for key, type_ in keys:
            command, arguments = _READS[type_]
            queue(command, key, *arguments)
        return pipe.execute(raise_on_error=False)


def _is_of_another_type(answer: Any) -> bool:
    return isinstance(answer, Exception) and is_wrong_type(answer)


def _line(redis: Redis, key: str, wanted: str) -> str:
    # Not GET: the value may be large, and what no other command reads is a string.
    others = [(key, type_) for type_ in _READS if type_ not in {wanted, "string"}]
    types = [
        type_
        for (_, type_), answer in zip(others, _ask(redis, others), strict=True)
        if not isinstance(answer, Exception)
    ]
    return f"the key {key} in Redis is of the type {types[0] if types else 'string'} and must be of {wanted}: {_TODO}"
