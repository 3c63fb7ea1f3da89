"""Searches for verifications in slices, so that no call blocks Redis for long."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from worker.ledger import codec
from worker.ledger.connection import translated
from worker.ledger.hashes import read_hashes
from worker.ledger.keys import due_set, now_ms, pipelines, signature_ids
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Redis

    from worker.ledger.models import Verification

#: Ids per call of Redis: about 0.2 ms of its time.
SLICE: Final = 200

#: Stages that have due sets.
_WAITING: Final = (Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING)

#: Stages that have one set. Done and dropped verifications are only found by a scan of all keys.
_SETS: Final = {Stage.DELIVERING: "delivering", Stage.QUARANTINED: "quarantine"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The criteria of a search. None: anything matches."""

    stages: frozenset[Stage] | None = None
    decision: str | None = None
    pipeline: str | None = None
    older_than_s: float | None = None
    #: A key of the context, and its value as text. With a value of None the key must exist.
    context: tuple[str, str | None] | None = None

    def fits(self, verification: Verification) -> bool:
        return (
            (self.stages is None or verification.stage in self.stages)
            and (self.decision is None or verification.decision_name == self.decision)
            and (self.pipeline is None or verification.pipeline == self.pipeline)
            and (self.older_than_s is None or age_s(verification) >= self.older_than_s)
            and (self.context is None or has_context(self.context, verification))
        )


def has_context(wanted: tuple[str, str | None], verification: Verification) -> bool:
    """Whether the context has a key, and its value as text; with a value of None, any."""
    key, text = wanted
    try:
        found = context_of(verification)
    except (ValueError, LookupError, TypeError, RecursionError):
        # A hash that somebody else wrote must not stop the search.
        return False
    if not isinstance(found, dict) or key not in found:
        return False
    return text is None or as_text(found[key]) == text


def age_s(verification: Verification) -> float:
    """Return the seconds since it was enqueued."""
    return (verification.read_at_ms - verification.enqueued_at_ms) / 1000


def context_of(verification: Verification) -> Any:
    """Return the pipeline's context. Once a verification is done, only its decision contains it."""
    if verification.context:
        return json.loads(verification.context)
    return json.loads(verification.decision)["context"] if verification.decision else None


def as_text(value: Any) -> str:
    """Return a value of the context as a person writes it: text without quotes, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def search(
    redis: Redis, region: str, wanted: Wanted, on_damaged: Callable[[str], object]
) -> Iterator[Verification]:
    """Yield the verifications of a region that match, read in slices. Raises ``LedgerUnavailable``.

    A verification that moves while the search runs may be missed or found twice; any other is found once.
    `on_damaged` is called with each key of another type, whose verification is left out.
    """
    for ids in _ids(redis, region, wanted):
        for verification in _read(redis, region, ids, on_damaged):
            if wanted.fits(verification):
                yield verification


def _ids(redis: Redis, region: str, wanted: Wanted) -> Iterator[list[str]]:
    stages = wanted.stages
    if stages is None or not stages <= {*_WAITING, *_SETS}:
        yield from signature_ids(redis, region, SLICE)
        return
    names = [
        name for stage in _WAITING if stage in stages for name in _due_sets(redis, region, stage, wanted)
    ]
    names += [_SETS[stage] for stage in _SETS if stage in stages]
    # What a batch holds is in `leased`, not in the set of its stage.
    if stages - _SETS.keys():
        names.append("leased")
    for name in names:
        start = 0
        while True:
            with translated():
                found: list[Any] = redis.zrange(f"{prefix(region)}{name}", start, start + SLICE - 1)
            yield [codec.text(member) for member in found]
            if len(found) < SLICE:
                break
            start += SLICE


def _due_sets(redis: Redis, region: str, stage: Stage, wanted: Wanted) -> list[str]:
    """Return the sets that may have what is wanted. The default one may have what any pipeline waits for."""
    named = [each for each in pipelines(redis, region, stage) if wanted.pipeline in {None, each}]
    return [due_set(stage), *(due_set(stage, each) for each in named)]


def _read(
    redis: Redis, region: str, ids: Sequence[str], on_damaged: Callable[[str], object]
) -> Iterator[Verification]:
    if not ids:
        return
    rows = read_hashes(redis, (f"{prefix(region)}v:{each}" for each in ids), on_damaged=on_damaged)
    read_at_ms = now_ms(redis, region)
    for signature_id, fields in zip(ids, rows, strict=True):
        # It may have expired since.
        if codec.is_verification(fields):
            yield codec.verification(region, signature_id, fields, read_at_ms=read_at_ms)
