"""The sequencer of the log: on a real store and a real ledger, alone, beside others, killed and frozen."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from tests.support.logged_evidence import PUBLIC, REGION, LoggedEvidence, names
from worker.errors import (
    ConfigError,
    EvidenceErased,
    EvidenceKeyUnknown,
    EvidenceUnavailable,
    LedgerUnavailable,
    LogDamaged,
    LogRolledBack,
)
from worker.evidence.log.audit import Kind
from worker.evidence.log.commits import CHECKPOINT, RegionLog, commit_name
from worker.evidence.log.leaf_indexes import LeafIndexes
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.log.merkle import Frontier, leaf_hash, proves_consistency
from worker.evidence.log.proofs import consistency_of, proof_of, proofs_of
from worker.evidence.log.sequencer import MOST, Sequencer, candidate_of
from worker.evidence.log.tiles import entries_of, hashes_of, tile_name
from worker.evidence.store import Evidence, VerificationEvidence
from worker.records.log_proofs import LogProofs

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

KEYS = "first:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def world(redis: redis_py.Redis, tmp_path: Path) -> LoggedEvidence:
    return LoggedEvidence(redis, (tmp_path / "evidence").as_uri())


class Killed(BaseException):
    """The end of a process, at one step of it."""


def dying(world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Let a process end before the write of this number, from 0. Returns the names of the writes before."""
    done: list[str] = []

    def counted(name: str, original: Any) -> Any:
        def write(*args: Any, **kwargs: Any) -> Any:
            if len(done) == step:
                raise Killed
            done.append(name)
            return original(*args, **kwargs)

        return write

    for name in ("create", "replace", "remove"):
        monkeypatch.setattr(world.log, name, counted(name, getattr(world.log, name)))
    monkeypatch.setattr(world.queue, "note", counted("note", world.queue.note))
    return done


def complete(world: LoggedEvidence, ids: list[str]) -> None:
    """Check that the log has each id once, that its files are whole, and that nothing waits."""
    assert sorted(world.logged_ids()) == sorted(ids)
    assert world.queue.state(REGION).pending == 0
    report = world.audit()
    assert report.findings == []
    assert (report.size, report.checked) == (len(ids), len(ids))


def test_what_has_ended_is_in_the_log_with_its_tiles_and_a_signed_checkpoint(world: LoggedEvidence) -> None:
    world.end(*names(3))
    assert world.sequencer().turn() == 3
    checkpoint = world.log.checkpoint()
    assert checkpoint is not None
    assert (checkpoint.origin, checkpoint.size) == ("kyc.example/evidence/ph", 3)
    entries = entries_of((world.folder / tile_name("entries", 0, 3)).read_bytes())
    hashes = hashes_of((world.folder / tile_name(0, 0, 3)).read_bytes())
    assert hashes == [leaf_hash(entry) for entry in entries]
    assert checkpoint.root == Frontier().add(hashes).root
    state = world.queue.state(REGION)
    assert (state.pending, state.queued, state.logged, state.seen.size, state.lost) == (0, 3, 3, 3, 0)
    complete(world, names(3))
    assert world.sequencer().turn() == 0


def tiles(world: LoggedEvidence) -> list[Path]:
    """Return all tiles and bundles."""
    return [path for path in (world.folder / "tile").rglob("*") if path.is_file()]


def test_entries_show_nothing_about_a_verification(world: LoggedEvidence) -> None:
    world.end("id000001")
    world.sequencer().turn()
    for tile in tiles(world):
        raw = tile.read_bytes()
        assert b"id000001" not in raw
        assert b"approve" not in raw


def test_a_log_grows_over_full_tiles_and_drops_the_partial_ones(world: LoggedEvidence) -> None:
    ids, sequencer = names(300), world.sequencer()
    for start in range(0, 300, 60):
        world.end(*ids[start : start + 60], images=False)
        assert sequencer.turn() == 60
    assert (world.folder / tile_name(0, 0)).stat().st_size == 256 * 32
    assert list((world.folder / "tile/0/000.p").glob("*")) == []
    assert {path.name for path in (world.folder / "tile/0/001.p").iterdir()} == {"44"}
    complete(world, ids)


def test_more_than_a_commit_holds_goes_into_several(world: LoggedEvidence) -> None:
    ids = names(MOST + 5)
    world.end(*ids, images=False)
    assert world.sequencer().turn() == len(ids)
    assert [len(world.log.commit(seq).ids) for seq in (1, 2)] == [MOST, 5]  # type: ignore[union-attr]
    assert world.logged_ids() == ids


def test_a_decision_without_evidence_is_logged_and_an_id_without_anything_is_not(
    world: LoggedEvidence,
) -> None:
    world.end("decided", images=False)
    world.queue.add(REGION, ["nothing"])
    assert world.sequencer().turn() == 1
    state = world.queue.state(REGION)
    assert (state.pending, state.logged, state.skipped, state.lost) == (0, 1, 1, 0)
    assert world.logged_ids() == ["decided"]


def test_encrypted_evidence_is_logged_by_its_plain_hashes(redis: redis_py.Redis, tmp_path: Path) -> None:
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri(), KEYS)
    world.end(*names(2))
    assert world.sequencer().turn() == 2
    complete(world, names(2))
    decision = (world.evidence.of(REGION, "id000000").read("decision.json") or b"").strip()
    assert decision not in (world.root / REGION / "id000000" / "decision.json").read_bytes()
    entry = world.log.commit(1).entries[0]  # type: ignore[union-attr]
    assert entry.decision == sha256(decision + b"\n").hexdigest()  # type: ignore[union-attr]
    with pytest.raises(EvidenceKeyUnknown):
        LoggedEvidence(redis, world.url).audit()


def test_an_erasure_is_logged_and_the_proofs_of_others_stay_valid(world: LoggedEvidence) -> None:
    world.end(*names(4))
    sequencer = world.sequencer()
    sequencer.turn()
    kept = proof_of(world.log, world.evidence, "id000003")
    world.erase("id000001")
    world.queue.add(REGION, ["id000001"])
    assert sequencer.turn() == 1
    assert kept is not None
    assert kept.proves(world.log.keys.verifiers(REGION), world.log.origin).size == 4
    assert world.logged_ids() == [*names(4), "id000001"]
    report = world.audit()
    assert (report.findings, report.size, report.checked) == ([], 5, 4)
    proof = proof_of(world.log, world.evidence, "id000001")
    assert proof is not None
    assert b"certificate" in proof.entry


def test_the_proofs_of_many_parts_read_each_tile_once(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, sequencer = names(600), world.sequencer()
    world.end(*ids, images=False)
    world.store("unlogged")
    sequencer.turn()
    read, seen = RegionLog.read, Counter[str]()

    def counted(self: RegionLog, name: str) -> bytes | None:
        seen[name] += 1
        return read(self, name)

    monkeypatch.setattr(RegionLog, "read", counted)
    indexes = LeafIndexes(world.log)

    def proved(*signature_ids: str, size: int = 600) -> dict[str, int]:
        asked = [candidate_of(world.evidence, REGION, each) for each in signature_ids]
        leaves = {each.leaf: each.signature_id for each in asked if each}
        found = indexes.find(size, set(leaves))
        return {leaves[leaf]: index for leaf, index in found.items()}

    for start in range(0, 600, 50):
        part = ids[start : start + 50]
        assert proved("unlogged", *part) == {each: start + at for at, each in enumerate(part)}
    assert {name: times for name, times in seen.items() if name.startswith("tile/0/")} == {
        tile_name(0, 0): 1,
        tile_name(0, 1): 1,
        tile_name(0, 2, 88): 1,
    }
    monkeypatch.undo()
    world.end("late", images=False)
    sequencer.turn()
    assert proved("late", ids[0], size=601) == {"late": 600, ids[0]: 0}
    logs = LogProofs(world.evidence, LogKeys.parse(PUBLIC))
    for part in (["late", "unlogged"], ids[:2]):
        proofs = logs.proofs(REGION, part)
        assert {each: proof.index for each, proof in proofs.items()} == proved(*part, size=601)


def test_proofs_show_offline_that_the_log_has_the_evidence(world: LoggedEvidence) -> None:
    ids, sequencer = names(270), world.sequencer()
    world.end(*ids[:100], images=False)
    sequencer.turn()
    before = world.log.checkpoint()
    world.end(*ids[100:], images=False)
    world.store("unlogged", images=False)
    sequencer.turn()
    proofs = proofs_of(world.log, world.evidence, [*ids, "unlogged", "unknown"])
    verifiers = LogKeys.parse(PUBLIC).verifiers(REGION)
    assert list(proofs) == ids
    assert {proof.proves(verifiers, world.log.origin).size for proof in proofs.values()} == {270}
    assert sorted(proof.index for proof in proofs.values()) == list(range(270))
    after = world.log.checkpoint()
    assert before is not None
    assert after is not None
    shown = consistency_of(world.log, before, after)
    assert proves_consistency(before.size, after.size, before.root, after.root, shown)


def test_the_proofs_are_those_of_the_checkpoint_they_show_although_the_log_grows(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.end("one", images=False)
    world.sequencer().turn()
    read = RegionLog.read

    def grows(self: RegionLog, name: str) -> bytes | None:
        raw = read(self, name)
        if name == CHECKPOINT:
            monkeypatch.setattr(RegionLog, "read", read)
            world.end("two", images=False)
            world.sequencer().turn()
        return raw

    monkeypatch.setattr(RegionLog, "read", grows)
    proof = proof_of(world.log, world.evidence, "one")
    assert proof is not None
    assert proof.proves(world.log.keys.verifiers(REGION), world.log.origin).size == 1


def test_two_sequencers_at_once_log_everything_once(world: LoggedEvidence) -> None:
    ids, several = names(240), [world.sequencer() for _ in range(4)]
    barrier = Barrier(len(several))

    def run(sequencer: Sequencer) -> int:
        barrier.wait()
        return sum(sequencer.turn() for _ in range(6))

    def end_all() -> None:
        for each in ids:
            world.end(each, images=False)

    with ThreadPoolExecutor(len(several) + 1) as threads:
        ending = threads.submit(end_all)
        added = sum(threads.map(run, several))
        ending.result()
    added += world.sequencer().turn()
    assert added == len(ids)
    complete(world, ids)


@pytest.mark.parametrize("step", range(14))
def test_a_process_that_dies_between_any_two_writes_loses_and_repeats_nothing(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    ids = names(262)
    world.end(*ids[:200], images=False)
    world.sequencer().turn()
    world.end(*ids[200:260], images=False)
    with monkeypatch.context() as patched:
        done = dying(world, patched, step)
        try:
            world.sequencer().turn()
        except Killed:
            assert len(done) == step
    world.end(*ids[260:], images=False)
    world.sequencer().turn()
    complete(world, ids)


def test_a_frozen_sequencer_that_wakes_up_later_changes_nothing(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, frozen = names(20), world.sequencer()
    world.end(*ids[:5])
    frozen.turn()
    append, replace, note = RegionLog.append, RegionLog.replace, type(world.queue).note

    def others() -> None:
        world.end(*ids[5:10])
        other = world.sequencer()
        other.turn()
        world.end(*ids[10:15])
        other.turn()

    def late_append(self: RegionLog, commit: Any) -> bool:
        monkeypatch.setattr(RegionLog, "append", append)
        others()
        return append(self, commit)

    world.end(*ids[15:17])
    monkeypatch.setattr(RegionLog, "append", late_append)
    frozen.turn()
    complete(world, ids[:17])

    other = world.sequencer()

    def late_replace(self: RegionLog, name: str, body: bytes) -> None:
        monkeypatch.setattr(RegionLog, "replace", replace)
        world.end(ids[18])
        other.turn()
        replace(self, name, body)

    world.end(ids[17])
    monkeypatch.setattr(RegionLog, "replace", late_replace)
    frozen.turn()
    checkpoint = world.log.checkpoint()
    assert checkpoint is not None
    assert checkpoint.size == 18, "the frozen one wrote its older checkpoint"
    complete(world, ids[:19])
    other.turn()
    assert world.log.checkpoint().size == 19, "the other one has nothing to add, and corrects it"  # type: ignore[union-attr]

    def late_note(self: Any, region: str, seen: Any, taken: Any = ()) -> int:
        monkeypatch.setattr(type(world.queue), "note", note)
        world.queue.add(REGION, [ids[19]])
        return note(self, region, seen, taken)

    world.end(ids[19])
    monkeypatch.setattr(type(world.queue), "note", late_note)
    frozen.turn()
    complete(world, ids)


def test_an_id_that_is_queued_again_meanwhile_stays_queued_for_its_new_evidence(
    world: LoggedEvidence, redis: redis_py.Redis
) -> None:
    world.end("once", images=False)
    (read,) = world.queue.pending(REGION, 10)
    redis.zadd(f"ekyc:{{{REGION}}}:log:pending", {"once": int(read.score) + 1})
    assert world.queue.note(REGION, world.queue.seen(REGION), [(read, True)]) == 0
    assert world.sequencer().turn() == 1
    world.store("once")
    world.queue.add(REGION, ["once"])
    assert world.sequencer().turn() == 1
    assert world.logged_ids() == ["once", "once"]
    assert world.audit().findings == []


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=30), timedelta(days=-3)])
def test_what_is_queued_once_more_is_not_logged_twice_however_old_it_is(
    world: LoggedEvidence, age: timedelta
) -> None:
    ids = names(300)
    world.end(*ids, images=False, decided_at=datetime.now(UTC) - age)
    world.sequencer().turn()
    for number in range(70):
        world.end(f"later{number}", images=False)
        world.sequencer().turn()
    world.queue.add(REGION, ids)
    assert world.sequencer().turn() == 0
    state = world.queue.state(REGION)
    assert (state.pending, state.lost) == (0, 0)
    assert len(world.logged_ids()) == 370


@pytest.mark.parametrize("which", ["every", "one"])
def test_what_the_log_has_is_not_appended_again_whatever_the_clocks_of_the_workers(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    monkeypatch.setattr("worker.evidence.log.sequencer.TAIL", 4)
    ids = names(12)
    for number, each in enumerate(ids):
        behind = timedelta(days=1) if which == "every" or number == 8 else timedelta()
        world.end(each)
        clock = partial(lambda by: datetime.now(UTC) - by, behind)
        Sequencer(world.log, Evidence(world.url), world.queue, clock).turn()
    walk = [candidate_of(world.evidence, REGION, each) for each in ids]
    assert world.sequencer().append([each for each in walk if each]) == 0
    complete(world, ids)


def test_what_the_log_has_already_is_not_counted_as_a_further_entry(world: LoggedEvidence) -> None:
    world.end(*names(3))
    world.sequencer().turn()
    world.erase("id000001")
    for _ in range(3):  # an erasure that was interrupted after its step `queue` is run again
        world.queue.add(REGION, ["id000001"])
        world.sequencer().turn()
    state = world.queue.state(REGION)
    assert (state.logged, state.skipped, state.seen.size, state.pending, state.lost) == (4, 2, 4, 0, 0)
    assert world.audit().findings == []


def test_after_the_ledger_is_lost_the_log_continues_and_repeats_nothing(
    world: LoggedEvidence, redis: redis_py.Redis
) -> None:
    world.end(*names(5))
    world.sequencer().turn()
    world.end(*names(3, 5))
    redis.flushall()
    walk = [candidate_of(world.evidence, REGION, each) for each in world.evidence.ids(REGION)]
    assert world.sequencer().append([each for each in walk if each]) == 3
    assert world.sequencer().append([each for each in walk if each]) == 0
    complete(world, names(8))
    assert world.queue.seen(REGION).size == 8


def test_a_queue_without_redis_and_a_store_that_is_away_raise_and_lose_nothing(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.end(*names(3))
    sequencer = world.sequencer()

    def away(*_: object, **__: object) -> None:
        raise EvidenceUnavailable("away")

    def lost(*_: object, **__: object) -> None:
        raise LedgerUnavailable("lost")

    for name in ("create", "replace", "read"):
        with monkeypatch.context() as patched:
            patched.setattr(world.log, name, away)
            with pytest.raises(EvidenceUnavailable):
                sequencer.turn()
    for name in ("note", "pending", "seen"):
        with monkeypatch.context() as patched:
            patched.setattr(world.queue, name, lost)
            with pytest.raises(LedgerUnavailable):
                sequencer.turn()
    sequencer.turn()
    complete(world, names(3))


def test_evidence_that_cannot_be_opened_stays_queued_and_holds_nothing_back(
    redis: redis_py.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.evidence.log.sequencer.MOST", 2)
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri(), KEYS)
    ids = names(6)
    for each in ids:
        world.end(each)
    for each in ids[:3]:
        (world.root / REGION / each / "decision.json").write_bytes(b"EKYCE1\n" + bytes(200))
    assert world.sequencer().turn() == 3
    assert sorted(world.logged_ids()) == ids[3:]
    assert world.queue.state(REGION).pending == 3


@pytest.mark.parametrize("member", [b"../planted", b"\xff\xfe", b"x" * 65])
def test_a_malformed_id_in_the_queue_holds_nothing_back_and_is_no_finding(
    world: LoggedEvidence, redis: redis_py.Redis, member: bytes
) -> None:
    redis.zadd(f"ekyc:{{{REGION}}}:log:pending", {member: 1})
    world.end(*names(2))
    with structlog.testing.capture_logs() as lines:
        assert world.sequencer().turn() == 2
    assert [(each["event"], each["cause"]) for each in lines] == [("evidence_not_logged", "INVALID_INPUT")]
    assert world.logged_ids() == names(2)
    state = world.queue.state(REGION)
    assert (state.pending, state.unopened) == (1, 1)
    assert world.audit().findings == []


@pytest.mark.parametrize("others", [0, 3])
def test_an_object_that_cannot_be_read_holds_back_nothing_but_its_verification(
    world: LoggedEvidence, others: int
) -> None:
    world.end("broken", *names(others))
    decision = world.root / REGION / "broken" / "decision.json"
    good = decision.read_bytes()
    decision.unlink()
    decision.mkdir()
    sequencer = world.sequencer()
    with structlog.testing.capture_logs() as lines:
        assert sequencer.turn() == others
    assert [(each["event"], each["cause"]) for each in lines] == [
        ("evidence_not_logged", "EVIDENCE_UNAVAILABLE")
    ]
    assert world.logged_ids() == names(others)
    state = world.queue.state(REGION)
    assert (state.pending, state.unopened) == (1, 1)
    decision.rmdir()
    decision.write_bytes(good)
    assert sequencer.turn() == 1
    complete(world, ["broken", *names(others)])


def test_a_store_that_goes_away_while_evidence_is_read_raises_and_blames_no_verification(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.end(*names(3))
    sequencer = world.sequencer()
    read = RegionLog.read

    def away(*_: object) -> None:
        raise EvidenceUnavailable("away")

    def goes(*_: object) -> None:
        monkeypatch.setattr(RegionLog, "read", away)
        raise EvidenceUnavailable("away")

    monkeypatch.setattr("worker.evidence.log.sequencer.candidate_of", goes)
    with structlog.testing.capture_logs() as lines, pytest.raises(EvidenceUnavailable):
        sequencer.turn()
    assert lines == []
    monkeypatch.undo()
    assert RegionLog.read is read
    sequencer.turn()
    complete(world, names(3))


def test_what_is_erased_while_it_is_read_is_logged_as_erased(
    redis: redis_py.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri(), KEYS)
    world.end(*names(2))
    content = VerificationEvidence.content

    def erased(self: VerificationEvidence, name: str) -> Any:
        if self.folder.endswith("id000000"):
            monkeypatch.setattr(VerificationEvidence, "content", content)
            world.erase("id000000")
            raise EvidenceErased("ERASED", "the key is destroyed")
        return content(self, name)

    monkeypatch.setattr(VerificationEvidence, "content", erased)
    assert world.sequencer().turn() == 2
    complete(world, names(2))


def test_missing_and_older_tiles_are_made_again(world: LoggedEvidence) -> None:
    ids = names(600)
    for start in range(0, 600, 100):
        world.end(*ids[start : start + 100], images=False)
        world.sequencer().turn()
    for path in (*tiles(world), world.folder / CHECKPOINT):
        path.unlink()
    # Three bundles, three tiles of hashes, one above them, and the checkpoint. An older partial one is not missed.
    assert [each.kind for each in world.audit().findings].count(Kind.MISSING) == 8
    world.sequencer().turn()
    complete(world, ids)


def test_nothing_is_added_to_a_log_that_was_rolled_back(world: LoggedEvidence) -> None:
    for number in range(4):
        world.end(*names(2, 2 * number))
        world.sequencer().turn()
    for seq in (3, 4):
        (world.folder / commit_name(seq)).unlink()
    world.end("new")
    with pytest.raises(LogRolledBack, match="was rolled back"):
        world.sequencer().turn()
    (world.folder / CHECKPOINT).write_text(world.log.commit(2).checkpoint)  # type: ignore[union-attr]
    with pytest.raises(LogRolledBack, match="the ledger has seen 8"):
        world.sequencer().turn()
    assert world.queue.state(REGION).pending == 1
    assert world.log.commit(3) is None


def test_nothing_is_added_after_a_commit_that_the_key_did_not_sign(world: LoggedEvidence) -> None:
    world.end(*names(2))
    running = world.sequencer()
    running.turn()
    forged = world.log.commit(1)
    assert forged is not None
    (world.folder / commit_name(2)).write_bytes(forged.dump().replace(b'"seq":1', b'"seq":2'))
    world.end("new")
    for sequencer in (running, world.sequencer()):
        with pytest.raises(LogDamaged, match="does not begin where the log ends"):
            sequencer.turn()
    (world.folder / commit_name(2)).write_bytes(b"{}")
    with pytest.raises(LogDamaged, match="cannot be read"):
        world.sequencer().turn()


def test_a_gap_in_the_commits_is_no_place_to_continue(world: LoggedEvidence) -> None:
    for number in range(9):
        world.end(*names(1, number))
        world.sequencer().turn()
    (world.folder / commit_name(4)).unlink()
    world.redis.delete(f"ekyc:{{{REGION}}}:log")
    world.end("new")
    with pytest.raises(LogRolledBack):
        world.sequencer().turn()
    assert world.log.commit(4) is None


def test_a_log_under_another_key_is_not_continued(world: LoggedEvidence) -> None:
    from worker.evidence.log.log_keys import new_log_key  # noqa: PLC0415

    world.end(*names(2))
    world.sequencer().turn()
    new_private, _ = new_log_key("kyc.example/evidence")
    other = LoggedEvidence(world.redis, world.url, log_key=new_private)
    other.end("new")
    with pytest.raises(LogDamaged, match="no known key has signed"):
        other.sequencer().turn()
    rotated = LoggedEvidence(world.redis, world.url, log_key=f"{new_private},{PUBLIC}")
    assert rotated.sequencer().turn() == 1
    assert rotated.audit(public=False).findings == []


def test_a_public_key_alone_cannot_sign(world: LoggedEvidence) -> None:
    world.end("new")
    reader = LoggedEvidence(world.redis, world.url, log_key=PUBLIC)
    with pytest.raises(ConfigError, match="cannot sign"):
        reader.sequencer().turn()
    assert world.log.commit(1) is None


def test_a_lease_has_one_owner_until_it_ends(world: LoggedEvidence) -> None:
    assert world.queue.lease(REGION, "a", for_s=30)
    assert world.queue.lease(REGION, "a", for_s=30)
    assert not world.queue.lease(REGION, "b", for_s=30)
    world.queue.end_lease(REGION, "b")
    assert not world.queue.lease(REGION, "b", for_s=30)
    world.queue.end_lease(REGION, "a")
    assert world.queue.lease(REGION, "b", for_s=30)


def test_appending_reads_and_writes_as_many_files_however_long_the_log_is(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def counted(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return original(*args, **kwargs)

        return call

    for name in ("read", "create", "replace", "remove", "names"):
        monkeypatch.setattr(world.log, name, counted(getattr(world.log, name)))
    costs: list[int] = []
    size = 0
    for total in (250, 500, 1000, 2000):
        world.end(*names(total - size - 1, size), images=False)
        world.sequencer().turn()
        world.end(*names(1, total - 1), images=False)
        running = world.sequencer()
        running.turn()
        calls = 0
        world.end(f"more{total}", images=False)
        running.turn()
        costs.append(calls)
        size = total
    assert max(costs) <= min(costs) + 6, costs
