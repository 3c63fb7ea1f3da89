"""Replays recorded outcomes through two tables, and counts the decisions that differ."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from typing import TYPE_CHECKING, Final

from worker.advance.answers import Settled, read_again
from worker.decisions.facts import is_partial, of_result, of_verification, packed
from worker.ledger.outcomes import outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from redis import Redis

    from worker.decisions.table import Table
    from worker.evidence.store import Evidence
    from worker.ledger.models import Verification

    #: A decision by the first table, and by the second.
    Change = tuple[str, str]

#: Answers that are read from the evidence store at a time.
READERS: Final = 16


@dataclass(slots=True)
class Replay:
    """What two tables make of recorded outcomes. Thread-safe.

    Parameters:
        ids_per_change: how many signature ids are kept of each kind of change; None: all.
        evidence: where the answers are read that have facts which the ledger has not; None: they are not read.
        advance: is called with the number compared so far, by one thread at a time.
    """

    before: Table
    after: Table
    ids_per_change: int | None
    evidence: Evidence | None = None
    advance: Callable[[int], None] = lambda _: None
    compared: int = 0
    #: Those that an older release settled, without labels and scores.
    without_facts: int = 0
    #: Those whose recorded decision is not that of the first table: another table made it.
    decided_otherwise: int = 0
    changes: Counter[Change] = field(default_factory=Counter)
    #: `(region, signature id)` by change.
    ids: dict[Change, list[tuple[str, str]]] = field(default_factory=dict)
    #: Keys of verifications that are left out, because the key is of another type.
    damaged: dict[str, None] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, verifications: Iterable[Verification]) -> None:
        """Compare some."""
        decided = [
            (each, self.before.decide(facts), self.after.decide(facts))
            for each in verifications
            for facts in (of_verification(each),)
        ]
        with self._lock:
            for verification, before, after in decided:
                self.compared += 1
                self.without_facts += is_partial(verification)
                self.decided_otherwise += verification.decision_name != before
                if before != after:
                    self._change(verification, (before, after))
            self.advance(self.compared)

    def _change(self, verification: Verification, change: Change) -> None:
        self.changes[change] += 1
        ids = self.ids.setdefault(change, [])
        if self.ids_per_change is None or len(ids) < self.ids_per_change:
            ids.append((verification.region, verification.signature_id))


def replay(redis: Redis, regions: Sequence[str], into: Replay, *, since_s: float | None) -> None:
    """Read the outcomes of all regions, each in a thread of its own. An interrupt ends all of them.

    Raises ``LedgerUnavailable`` and ``EvidenceUnavailable``.
    """
    stop, evidence = Event(), into.evidence

    def complete(verification: Verification) -> Verification:
        if evidence is None or stop.is_set() or not is_partial(verification):
            return verification
        return with_kept_facts(verification, evidence)

    def read(region: str) -> None:
        seen: set[str] = set()
        for page in outcomes(redis, region, since_s, into.damaged.setdefault):
            new = {each.signature_id: each for each in page if each.signature_id not in seen}
            seen.update(new)
            completed = list(readers.map(complete, new.values()))
            if stop.is_set():
                return
            into.add(completed)

    with (
        ThreadPoolExecutor(READERS, thread_name_prefix="answers") as readers,
        ThreadPoolExecutor(len(regions), thread_name_prefix="replay") as pool,
    ):
        futures = [pool.submit(read, region) for region in regions]
        try:
            for future in futures:
                future.result()
        finally:
            stop.set()


def with_kept_facts(verification: Verification, evidence: Evidence) -> Verification:
    """The verification with the facts of its kept answer, if that can be read."""
    signature_id, region = verification.signature_id, verification.region
    raw = evidence.of(region, signature_id).answer()
    answer = None if raw is None else read_again(raw, signature_id=signature_id)
    if not isinstance(answer, Settled):
        return verification
    return replace(verification, facts=packed(of_result(answer.result, region), verification.error_code))
