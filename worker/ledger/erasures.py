"""What the ledger does for retention and erasure: marks, legal holds, closings, and the record of acts.

The evidence store is the truth about all of these; the ledger keeps late messages and concurrent commands in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from worker.enqueue_request import SIGNATURE_ID
from worker.errors import InvalidInput
from worker.ledger.audit import write_lines
from worker.ledger.connection import translated
from worker.ledger.scripts import Scripts, plain, prefix
from worker.ledger.webhooks import delivery_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis import Redis

#: How far a closing time may be ahead of the ledger's clock.
AHEAD_MS: Final = 300_000

#: Closings that a worker takes at a time, and for how long it has the turn.
CLOSINGS_AT_ONCE: Final = 100
TURN_S: Final = 60.0

#: The most erasures that have not ended and are named.
BEGUN_AT_ONCE: Final = 100


#: The names of acts in the audit log, where the acts of a region have others. A sweep has entries for each erasure.
_AUDITED: Final = {
    "erase": "evidence_erase",
    "legal_hold": "evidence_hold",
    "legal_release": "evidence_release",
    "closed": "relationship_close",
    "retention": "",
}


class Marked(StrEnum):
    """What became of a mark, in the words of ``erase.lua``."""

    MARKED = "marked"
    #: It was marked before: an earlier erasure, which may have been killed.
    AGAIN = "again"
    LEGAL_HOLD = "legal_hold"
    #: A closing time waits to be stored, or was stored within the last minutes.
    CLOSING = "closing"
    #: A worker has it, or it waits for one.
    UNDER_WAY = "under_way"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Closing:
    """When the business relationship of a verification ended, as a pipeline or a person said."""

    signature_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Begun:
    """Erasures that have begun and not ended: of some the ids, the oldest first, and how many there are."""

    ids: tuple[str, ...]
    count: int


class Erased(InvalidInput):
    """Raised for an act on a verification that is erased, or is being erased."""


class Erasures:
    """Every method raises ``LedgerUnavailable`` when Redis cannot be used.

    Parameters:
      retention_s: how long the mark of an erased verification is kept.
      via: how the person that acts reached us, for the audit log.
    """

    def __init__(self, redis: Redis, *, retention_s: float = 7 * 86_400.0, via: str = "") -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._retention_ms = round(retention_s * 1000)
        self._via = via

    def mark(  # noqa: PLR0913 - one a fact
        self,
        region: str,
        signature_id: str,
        *,
        decision_id: str,
        stored: bool,
        over_age: bool = False,
        endpoints: Iterable[str] = (),
        who: str = "",
        why: str = "",
    ) -> Marked:
        """Remove what the ledger has of a verification, and leave a mark that nothing brings back.

        `stored`: the evidence store has something of it. `over_age`: it is erased because it is over age, so a closing
        time that the caller may not have seen stops it. `endpoints`: those of the settings, beside those that the
        ledger knows. `who`: the person that begins the erasure, which may not end; "" for no entry of the audit log.
        """
        with translated():
            known: Any = self._redis.smembers(f"{prefix(region)}endpoints")
        # A client of Redis may have added any name.
        names = sorted({*endpoints, *(name.decode(errors="replace") for name in known)})
        deliveries = [text for name in names for text in (delivery_id(name, decision_id), name)]
        answer: bytes = self._scripts.call(
            "erase",
            region,
            signature_id,
            "1" if stored else "",
            "1" if over_age else "",
            plain(who),
            self._via,
            plain(why),
            *deliveries,
        )
        marked = Marked(answer.decode())
        if marked in {Marked.MARKED, Marked.AGAIN}:
            write_lines(
                "evidence_erase_begin",
                who=plain(who),
                via=self._via,
                region=region,
                subjects=[signature_id],
                detail=plain(why),
            )
        return marked

    def begun(self, region: str) -> Begun:
        """Return the erasures of a region that have begun and not ended."""
        name = f"{prefix(region)}erasing"
        with translated():
            count: Any = self._redis.zcard(name)
            oldest: Any = self._redis.zrange(name, 0, BEGUN_AT_ONCE - 1) if count else ()
        ids = (each.decode(errors="replace") for each in oldest)
        # A person types them.
        return Begun(tuple(each for each in ids if SIGNATURE_ID.fullmatch(each)), count)

    def unended(self, regions: Iterable[str]) -> dict[str, Begun]:
        """Return by region the erasures that have begun and not ended, without the regions that have none."""
        begun = {region: self.begun(region) for region in regions}
        return {region: each for region, each in begun.items() if each.count}

    def finish(self, region: str, signature_id: str) -> None:
        """Let the mark expire after the retention: the erasure has ended."""
        self._scripts.call("erased", region, signature_id, self._retention_ms)

    def clock(self) -> datetime:
        """Return the time of Redis's own clock."""
        with translated():
            answer: Any = self._redis.time()
        return datetime.fromtimestamp(answer[0] + answer[1] / 1e6, UTC)

    def hold(self, region: str, signature_id: str) -> None:
        """Refuse to mark it from now on. Raises ``Erased`` if it is marked already."""
        if not self._scripts.call("legal_hold", region, signature_id, "1"):
            raise Erased(f"{region}/{signature_id} is erased, or is being erased: it cannot be held")

    def is_held(self, region: str, signature_id: str) -> bool:
        """Whether a legal hold keeps it from being marked."""
        with translated():
            since: Any = self._redis.zscore(f"{prefix(region)}legal_holds", signature_id)
        return since is not None

    def release(self, region: str, signature_id: str) -> None:
        self._scripts.call("legal_hold", region, signature_id, "")

    def note(
        self,
        region: str,
        act: str,
        detail: str,
        *,
        who: str,
        signature_ids: Sequence[str] = ("",),
    ) -> None:
        """Record an act of a person in the region's `acts`, and for each of `signature_ids` in the audit log."""
        audited = _AUDITED.get(act, act)
        self._scripts.call(
            "act", region, plain(act), plain(audited), plain(detail), plain(who), self._via, *signature_ids
        )
        if audited:
            write_lines(
                audited,
                who=plain(who),
                via=self._via,
                region=region,
                subjects=signature_ids,
                detail=plain(detail),
            )

    def close(self, region: str, signature_id: str, at_ms: int = 0) -> int:
        """Note when its business relationship ended (0: now), and return the time that counts: the latest one.

        Raises ``Erased``, and ``InvalidInput`` for a time in the future.
        """
        answer = int(self._scripts.call("close", region, signature_id, at_ms, AHEAD_MS))
        if answer == -1:
            raise Erased(f"{region}/{signature_id} is erased: nothing is left whose period could begin")
        if answer == -2:  # noqa: PLR2004 - see close.lua
            raise InvalidInput("the closing time must not be in the future")
        return answer

    def closings(
        self,
        region: str,
        *,
        limit: int = CLOSINGS_AT_ONCE,
        removed: Callable[[int], object] = lambda _: None,
    ) -> tuple[Closing, ...]:
        """Return closings to store. Empty if there are none, or if another worker has the turn.

        `removed` is called with the number of malformed ones, if there were any: the ledger has removed them.
        """
        answer = self._scripts.call("closings", region, limit, round(TURN_S * 1000))
        if answer and answer[0]:
            removed(answer[0])
        pairs = zip(answer[1::2], answer[2::2], strict=True)
        return tuple(Closing(signature_id.decode(), int(at_ms)) for signature_id, at_ms in pairs)

    def closings_stored(self, region: str, closings: Sequence[Closing]) -> None:
        """Remove stored closings, and end the turn."""
        flat = [text for each in closings for text in (each.signature_id, each.at_ms)]
        self._scripts.call("closed", region, *flat)
