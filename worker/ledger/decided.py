"""Decisions that the ledger keeps after their delivery, so that they can be delivered again."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from worker.ledger import codec
from worker.ledger.audit import write_lines
from worker.ledger.connection import is_wrong_type, translated
from worker.ledger.fields import Field
from worker.ledger.hashes import read_hashes
from worker.ledger.keys import now_ms, signature_ids
from worker.ledger.models import Stage
from worker.ledger.scripts import Scripts, plain, prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Redis

#: Keys per step of a scan.
STEP: Final = 1000

#: The newest lines of a timeline that are read, as in ``lua/common.lua``.
_MOST_LINES: Final = 256

#: Stages at which the pipeline has the decision.
_AFTER: Final = frozenset(
    {Stage.DONE.value, Stage.ARCHIVING.value, Stage.POLLING.value, Stage.DELIVERING.value}
)


class Known(StrEnum):
    """What the ledger knows about the decision of a verification."""

    DELIVERED = "delivered"
    #: It has one, but neither its MAC nor the evidence shows that a worker made it.
    FORGED = "forged"
    NOT_DELIVERED = "not_delivered"
    #: Never enqueued, done for longer than the ledger keeps a verification, or erased.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Kept:
    """A verification and its decision, as it was delivered. `name` and `text` are "" if there is none."""

    signature_id: str
    known: Known
    name: str = ""
    text: str = field(default="", repr=False)
    #: The MAC of the decision; None: it has none.
    seal: str | None = field(default=None, repr=False)


class Decided:
    """Finds and reads decisions. Every method raises ``LedgerUnavailable`` when Redis cannot be used."""

    def __init__(self, redis: Redis, *, who: str = "", via: str = "") -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._who = plain(who)
        self._via = via

    def since(
        self,
        region: str,
        since_s: float,
        decision: str | None,
        advance: Callable[[int], None],
        on_damaged: Callable[[str], object],
    ) -> list[str]:
        """Return the ids of a region's verifications whose decision was delivered in the last `since_s`, oldest first.

        There is no index by time: this scans all keys of Redis, in steps that do not block it.
        `advance` is called with the number of keys seen so far, and `on_damaged` with each key of another type, whose
        verification is left out.
        """
        after_ms = now_ms(self._redis, region) - round(since_s * 1000)
        found: dict[str, int] = {}
        seen = 0
        for ids in signature_ids(self._redis, region, STEP):
            seen += len(ids)
            found |= dict(self._delivered(region, ids, decision, after_ms, on_damaged))
            advance(seen)
        return sorted(found, key=found.__getitem__)

    def read(
        self,
        region: str,
        signature_ids: Sequence[str],
        on_damaged: Callable[[str], object] | None = None,
    ) -> list[Kept]:
        """Return the decision of each verification, in the order of `signature_ids`.

        One whose key is of another type is unknown, and `on_damaged` is called with the key.
        """
        rows = read_hashes(
            self._redis,
            (f"{prefix(region)}v:{each}" for each in signature_ids),
            (Field.STAGE, Field.DECISION_NAME, Field.DECISION, Field.DECISION_SEAL),
            on_damaged=on_damaged,
        )
        return [_kept(signature_id, *row) for signature_id, row in zip(signature_ids, rows, strict=True)]

    def note(self, region: str, signature_ids: Sequence[str] = (), *, act: str = "") -> None:
        """Record that a person redelivers: `act` in the region's `acts`, and a line in each timeline."""
        self._scripts.call("redelivered", region, self._who, self._via, plain(act), *signature_ids)
        subjects = [*([""] if act else []), *signature_ids]
        write_lines(
            "decision_redeliver",
            who=self._who,
            via=self._via,
            region=region,
            subjects=subjects,
            detail=plain(act),
        )

    def _delivered(
        self,
        region: str,
        ids: Sequence[str],
        decision: str | None,
        after_ms: int,
        on_damaged: Callable[[str], object],
    ) -> Iterator[tuple[str, int]]:
        """Yield each of `ids` whose decision was delivered at `after_ms` or later, with the time of delivery in ms."""
        base = prefix(region)
        rows = read_hashes(
            self._redis,
            (f"{base}v:{each}" for each in ids),
            (Field.STAGE, Field.DECISION_NAME),
            on_damaged=on_damaged,
        )
        chosen = [
            signature_id
            for signature_id, (stage, name) in zip(ids, rows, strict=True)
            if stage and name and codec.text(stage) in _AFTER and decision in {None, codec.text(name)}
        ]
        with translated(), self._redis.pipeline(transaction=False) as pipe:
            for signature_id in chosen:
                pipe.lrange(f"{base}t:{signature_id}", -_MOST_LINES, -1)
            timelines = pipe.execute(raise_on_error=False)
        for signature_id, lines in zip(chosen, timelines, strict=True):
            if isinstance(lines, Exception) and is_wrong_type(lines):
                on_damaged(f"{base}t:{signature_id}")
                continue
            moments = [event.at_ms for event in map(codec.event, lines) if event.name == "delivered"]
            if moments and moments[-1] >= after_ms:
                yield signature_id, moments[-1]


def _kept(
    signature_id: str, stage: bytes | None, name: bytes | None, text: bytes | None, seal: bytes | None
) -> Kept:
    if stage is None or codec.text(stage) == Stage.ERASED:
        return Kept(signature_id, Known.UNKNOWN)
    if codec.text(stage) not in _AFTER or not name or not text:
        return Kept(signature_id, Known.NOT_DELIVERED)
    return Kept(
        signature_id, Known.DELIVERED, codec.text(name), codec.text(text), codec.text(seal) if seal else None
    )
