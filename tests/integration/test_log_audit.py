"""The audit finds each kind of tampering, done to a real store by somebody who can write it but has not the key."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Timer
from typing import TYPE_CHECKING

import pytest

from tests.support.bucket_stub import S3
from tests.support.logged_evidence import ANSWER, REGION, LoggedEvidence, names
from worker.errors import EvidenceUnavailable
from worker.evidence import verification
from worker.evidence.log.audit import MOST_MISSING, Audit, Kind
from worker.evidence.log.commits import CHECKPOINT, Commit, RegionLog, commit_name
from worker.evidence.log.log_keys import LogKeys, new_log_key
from worker.evidence.log.notes import new_signer
from worker.evidence.log.sequencer import Sequencer
from worker.evidence.log.tiles import bundle, tile_name
from worker.evidence.marks import StoredObject
from worker.ledger.evidence_log import LogLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import redis as redis_py

    from worker.evidence.log.audit import Finding, Report
    from worker.evidence.store import VerificationEvidence

IDS = names(6)


@pytest.fixture
def world(redis: redis_py.Redis, tmp_path: Path) -> LoggedEvidence:
    """Six verifications in three commits."""
    made = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    for start in range(0, 6, 2):
        made.end(*IDS[start : start + 2])
        made.sequencer().turn()
    assert made.audit().findings == []
    return made


def found(report: Report) -> set[tuple[str, str]]:
    return {(finding.kind.value, finding.path) for finding in report.findings}


def flip(path: Path, at: int = -5) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("name", ["answer.json", "front.jpg", "manifest.json", "decision.json"])
def test_a_changed_object_is_found(world: LoggedEvidence, name: str) -> None:
    flip(world.root / REGION / IDS[3] / name)
    assert found(world.audit()) == {("changed", f"{REGION}/{IDS[3]}/{name}")}


@pytest.mark.parametrize("name", ["answer.json", "front.jpg", "manifest.json", "decision.json"])
def test_a_missing_object_is_found(world: LoggedEvidence, name: str) -> None:
    (world.root / REGION / IDS[3] / name).unlink()
    assert found(world.audit()) == {("missing", f"{REGION}/{IDS[3]}/{name}")}


def test_an_object_with_a_fitting_manifest_is_found(world: LoggedEvidence) -> None:
    folder = world.root / REGION / IDS[2]
    shutil.rmtree(folder)
    world.store(IDS[2])
    assert found(world.audit()) == {
        ("changed", f"{REGION}/{IDS[2]}/manifest.json"),
        ("changed", f"{REGION}/{IDS[2]}/decision.json"),
    }


def test_a_missing_verification_is_found(world: LoggedEvidence) -> None:
    shutil.rmtree(world.root / REGION / IDS[1])
    report = world.audit()
    assert found(report) == {("missing", f"{REGION}/{IDS[1]}")}
    assert report.findings[0].signature_id == IDS[1]


def test_swapped_verifications_are_found(world: LoggedEvidence) -> None:
    first, second, aside = (world.root / REGION / name for name in (IDS[0], IDS[5], "aside"))
    for source, target in ((first, aside), (second, first), (aside, second)):
        source.rename(target)
    assert {path.rpartition("/")[0] for _, path in found(world.audit())} == {
        f"{REGION}/{IDS[0]}",
        f"{REGION}/{IDS[5]}",
    }


def test_an_added_object_and_an_added_verification_are_found(world: LoggedEvidence) -> None:
    (world.root / REGION / IDS[0] / "back.jpg").write_bytes(b"added")
    world.store("forged")
    (world.root / REGION / "planted").mkdir()
    (world.root / REGION / "planted" / "answer.json").write_bytes(ANSWER)
    assert found(world.audit()) == {
        ("added", f"{REGION}/{IDS[0]}/back.jpg"),
        ("not_logged", f"{REGION}/forged"),
        ("added", f"{REGION}/planted"),
    }


def test_an_added_manifest_is_found(world: LoggedEvidence) -> None:
    world.end("decided", images=False)
    world.sequencer().turn()
    world.store("decided")
    assert ("added", f"{REGION}/decided/manifest.json") in found(world.audit())


@pytest.mark.parametrize(
    "file", [CHECKPOINT, tile_name(0, 0, 6), tile_name("entries", 0, 6), tile_name(0, 0, 2)]
)
def test_a_changed_file_of_the_log_is_found(world: LoggedEvidence, file: str) -> None:
    flip(world.folder / file)
    assert found(world.audit()) == {("changed", f"log/{REGION}/{file}")}


@pytest.mark.parametrize("file", [CHECKPOINT, tile_name(0, 0, 6), tile_name("entries", 0, 6)])
def test_a_missing_file_of_the_log_is_found(world: LoggedEvidence, file: str) -> None:
    (world.folder / file).unlink()
    assert found(world.audit()) == {("missing", f"log/{REGION}/{file}")}


def test_an_added_file_of_the_log_is_found(world: LoggedEvidence) -> None:
    for name in ("tile/7/000", "notes.txt", "commits/1"):
        (world.folder / name).parent.mkdir(exist_ok=True)
        (world.folder / name).write_bytes(b"added")
    assert found(world.audit()) == {
        ("added", f"log/{REGION}/{name}") for name in ("tile/7/000", "notes.txt", "commits/1")
    }


def test_every_changed_byte_of_a_commit_is_found_or_says_the_same(world: LoggedEvidence) -> None:
    path = world.folder / commit_name(2)
    raw = path.read_bytes()
    commit = Commit.load(raw)
    harmless = 0
    for at in range(0, len(raw) - 1, 7):
        changed = bytearray(raw)
        changed[at] ^= 1
        path.write_bytes(changed)
        report = Audit(world.evidence, world.log).whole()
        if not report.findings:
            other = Commit.load(bytes(changed))
            assert (other.entries, other.frontier) == (commit.entries, commit.frontier)
            harmless += 1
    assert harmless < 8, "only in the time, and in the signature's spelling"


def test_a_missing_commit_is_found(world: LoggedEvidence) -> None:
    (world.folder / commit_name(2)).unlink()
    report = world.audit()
    assert ("missing", f"log/{REGION}/{commit_name(2)}") in found(report)
    assert {kind for kind, _ in found(report)} == {"missing", "not_logged"}


@pytest.mark.parametrize("number", [20_000, 999_999_999_999])
def test_a_planted_commit_with_a_large_number_costs_no_read_for_each_number_before_it(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (world.folder / commit_name(number)).write_bytes(b"{}")
    asked: list[str] = []
    read = RegionLog.read

    def counted(log: RegionLog, name: str) -> bytes | None:
        asked.append(name)
        return read(log, name)

    monkeypatch.setattr(RegionLog, "read", counted)
    report = world.audit()
    assert ("changed", f"log/{REGION}/{commit_name(number)}") in found(report)
    assert ("missing", f"log/{REGION}/{commit_name(4)}") in found(report)
    assert report.findings[MOST_MISSING].path == f"log/{REGION}/{commit_name(4 + MOST_MISSING)}"
    assert report.findings[MOST_MISSING].said == f"to {commit_name(number - 1)} are missing"
    assert len(report.findings) == MOST_MISSING + 2
    assert len(asked) < 2 * MOST_MISSING


def test_each_of_some_missing_commits_is_named(world: LoggedEvidence) -> None:
    for number in (1, 2):
        (world.folder / commit_name(number)).unlink()
    missing = {path for kind, path in found(world.audit()) if kind == "missing"}
    assert {f"log/{REGION}/{commit_name(number)}" for number in (1, 2)} <= missing


def make_unreadable(world: LoggedEvidence, signature_id: str, name: str) -> None:
    """Nobody can read a folder as a file, not even root, whom no permission stops."""
    folder = world.root / REGION / signature_id
    folder.mkdir(exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()


@pytest.mark.parametrize("name", ["decision.json", "key.json"])
def test_what_cannot_be_read_is_a_finding_and_the_others_are_compared(
    world: LoggedEvidence, name: str
) -> None:
    for signature_id in (IDS[1], "new"):
        make_unreadable(world, signature_id, name)
    flip(world.root / REGION / IDS[3] / "answer.json")
    assert found(world.audit()) == {
        ("changed", f"{REGION}/{IDS[1]}"),
        ("changed", f"{REGION}/new"),
        ("changed", f"{REGION}/{IDS[3]}/answer.json"),
    }


def test_what_cannot_be_read_and_has_no_entry_stops_no_other_that_was_asked_for(
    world: LoggedEvidence,
) -> None:
    world.store("waits")
    make_unreadable(world, "waits", "decision.json")
    (world.root / REGION / "file").write_bytes(b"")
    flip(world.root / REGION / IDS[3] / "answer.json")
    asked = Audit(world.evidence, world.log, None)
    report = asked.some(["waits", "file", IDS[3]])
    assert found(report) == {("changed", f"{REGION}/{IDS[3]}/answer.json")}
    assert [each.signature_id for each in report.unproved] == ["waits", "file"]
    assert all("has no entry, and cannot be opened: " in each.said for each in report.unproved)


def test_reordered_entries_are_found(world: LoggedEvidence) -> None:
    path = world.folder / commit_name(2)
    members = json.loads(path.read_bytes())
    members["entries"].reverse()
    members["ids"].reverse()
    path.write_text(json.dumps(members))
    assert found(world.audit()) == {("reordered", f"log/{REGION}/{commit_name(2)}")}


def test_reordered_commits_are_found(world: LoggedEvidence) -> None:
    second, third = (world.folder / commit_name(seq) for seq in (2, 3))
    texts = second.read_bytes(), third.read_bytes()
    second.write_bytes(texts[1])
    third.write_bytes(texts[0])
    assert found(world.audit()) == {("reordered", f"log/{REGION}/{commit_name(seq)}") for seq in (2, 3)}


def test_entries_that_belong_to_other_verifications_are_found(world: LoggedEvidence) -> None:
    path = world.folder / commit_name(2)
    members = json.loads(path.read_bytes())
    members["ids"].reverse()
    path.write_text(json.dumps(members))
    assert {kind for kind, _ in found(world.audit())} == {"changed"}


def test_a_removed_verification_whose_entry_is_put_under_an_erased_one_is_found(
    world: LoggedEvidence,
) -> None:
    world.erase(IDS[4])
    world.queue.add(REGION, [IDS[4]])
    world.sequencer().turn()
    assert world.audit().findings == []
    shutil.rmtree(world.root / REGION / IDS[1])
    path = world.folder / commit_name(1)
    path.write_bytes(path.read_bytes().replace(IDS[1].encode(), IDS[4].encode()))
    assert found(world.audit()) == {("changed", f"log/{REGION}/{commit_name(1)}")}


@pytest.mark.parametrize("of", [2, 1])
def test_a_commit_without_its_own_signature_is_found(world: LoggedEvidence, of: int) -> None:
    path = world.folder / commit_name(2)
    members = json.loads(path.read_bytes())
    other = json.loads((world.folder / commit_name(of)).read_bytes())
    members["signature"] = other["checkpoint" if of == 2 else "signature"]
    path.write_text(json.dumps(members))
    assert found(world.audit()) == {("changed", f"log/{REGION}/{commit_name(2)}")}
    del members["signature"]
    path.write_text(json.dumps(members))
    assert ("changed", f"log/{REGION}/{commit_name(2)}") in found(world.audit())


def cut(world: LoggedEvidence, *, checkpoint: bool) -> None:
    """Cut the newest commit off, and everything that shows it to a reader of the store."""
    (world.folder / commit_name(3)).unlink()
    for name in (tile_name(0, 0, 6), tile_name("entries", 0, 6)):
        (world.folder / name).unlink()
    if checkpoint:
        (world.folder / CHECKPOINT).write_text(
            Commit.load((world.folder / commit_name(2)).read_bytes()).checkpoint
        )


def test_a_log_that_was_cut_off_is_found_by_its_checkpoint(world: LoggedEvidence) -> None:
    cut(world, checkpoint=False)
    for report in (world.audit(), world.audit(offline=True)):
        assert ("truncated", f"log/{REGION}/{CHECKPOINT}") in found(report)


def test_a_store_that_was_rolled_back_as_a_whole_is_found_by_the_ledger(world: LoggedEvidence) -> None:
    cut(world, checkpoint=True)
    for signature_id in IDS[4:]:
        shutil.rmtree(world.root / REGION / signature_id)
    assert ("rolled_back", f"log/{REGION}") in found(world.audit())
    offline = world.audit(offline=True)
    assert offline.findings == [], (
        "an old copy of the whole store is whole; only others know that there was more"
    )


def test_a_log_of_another_key_in_its_place_is_found(world: LoggedEvidence, redis: redis_py.Redis) -> None:
    forged = LoggedEvidence(redis, world.url, log_key=new_log_key("kyc.example/evidence")[0])
    shutil.rmtree(world.folder)
    redis.delete(f"ekyc:{{{REGION}}}:log")
    forged.queue.add(REGION, IDS)
    assert forged.sequencer().turn() == 6
    assert found(world.audit(offline=True)) == {("changed", f"log/{REGION}/checkpoint")}


def test_a_verification_that_was_taken_out_of_the_queue_is_found(
    world: LoggedEvidence, redis: redis_py.Redis
) -> None:
    world.end("hidden")
    redis.zrem(f"ekyc:{{{REGION}}}:log:pending", "hidden")
    assert found(world.audit()) == {("missing", f"log/{REGION}"), ("not_logged", f"{REGION}/hidden")}


def test_what_waits_or_is_under_way_is_no_finding(world: LoggedEvidence, redis: redis_py.Redis) -> None:
    world.end("waits")
    world.store("polled")
    redis.hset(f"ekyc:{{{REGION}}}:v:polled", "s", "archiving")
    report = world.audit()
    assert report.findings == []
    assert world.audit(offline=True).unsure == 2


def test_an_erasure_that_waits_for_the_log_is_no_finding_and_one_that_was_never_queued_is(
    world: LoggedEvidence,
) -> None:
    world.erase(IDS[1])
    assert found(world.audit()) == {("changed", f"{REGION}/{IDS[1]}")}
    world.queue.add(REGION, [IDS[1]])
    assert world.audit().findings == []
    world.sequencer().turn()
    assert world.audit().findings == []
    (world.root / REGION / IDS[1] / "key.json").unlink()
    assert found(world.audit()) == {("missing", f"{REGION}/{IDS[1]}/key.json")}
    world.store(IDS[1])
    assert found(world.audit()) == {("changed", f"{REGION}/{IDS[1]}")}


def test_what_is_put_back_beside_a_tombstone_and_a_wrong_certificate_are_found(world: LoggedEvidence) -> None:
    world.erase(IDS[1])
    world.queue.add(REGION, [IDS[1]])
    world.sequencer().turn()
    folder = world.root / REGION / IDS[1]
    assert world.audit().findings == []
    for name in ("answer.json", "front.jpg", "notes.txt"):
        (folder / name).write_bytes(ANSWER)
    back = {("added", f"{REGION}/{IDS[1]}/{name}") for name in ("answer.json", "front.jpg", "notes.txt")}
    assert found(world.audit()) == back
    (folder / "certificate.txt").write_text(world.certificate(IDS[2]))
    assert found(world.audit()) == back | {("changed", f"{REGION}/{IDS[1]}/certificate.txt")}
    (folder / "certificate.txt").unlink()
    assert found(world.audit()) == back | {("missing", f"{REGION}/{IDS[1]}/certificate.txt")}


def test_what_a_certificate_says_is_locked_may_be_there_until_the_lock_ends(world: LoggedEvidence) -> None:
    now = datetime.now(UTC)
    until = now + timedelta(days=1)
    locked = StoredObject("answer.json", len(ANSWER), until), StoredObject("front.jpg", 5, until)
    ended = StoredObject("back.jpg", 5, now - timedelta(seconds=30))
    folder = world.root / REGION / IDS[1]
    world.erase(IDS[1], world.certificate(IDS[1], *locked, ended))
    world.queue.add(REGION, [IDS[1]])
    world.sequencer().turn()
    for name, body in (("answer.json", ANSWER), ("front.jpg", b"other"), ("back.jpg", b"other")):
        (folder / name).write_bytes(body)
        os.utime(folder / name, (1, 1))
    assert found(world.audit()) == {("added", f"{REGION}/{IDS[1]}/back.jpg")}
    (folder / "front.jpg").write_bytes(b"grown!")
    (folder / "answer.json").write_bytes(ANSWER)
    after = (now + timedelta(hours=1)).timestamp()
    os.utime(folder / "answer.json", (after, after))
    assert found(world.audit()) == {
        ("added", f"{REGION}/{IDS[1]}/{name}") for name in ("answer.json", "front.jpg", "back.jpg")
    }


@pytest.mark.parametrize("forged", ["signed by another key", "of another one", "no certificate"])
def test_a_forged_erasure_that_was_logged_is_found(world: LoggedEvidence, forged: str) -> None:
    text = world.certificate(IDS[1]).rpartition("\n\n")[0] + "\n"
    note = {
        "signed by another key": new_signer(f"kyc.example/evidence/{REGION}").sign(text),
        "of another one": world.certificate(IDS[2]),
        "no certificate": world.log.keys.signer(REGION).sign("[]\n"),
    }[forged]
    world.erase(IDS[1], note)
    world.queue.add(REGION, [IDS[1]])
    world.sequencer().turn()
    assert found(world.audit()) == {("changed", f"{REGION}/{IDS[1]}/certificate.txt")}


def test_an_erasure_of_what_was_never_logged_is_found_until_it_is_logged(world: LoggedEvidence) -> None:
    world.store("unlogged")
    world.erase("unlogged")
    assert found(world.audit()) == {("not_logged", f"{REGION}/unlogged")}
    world.queue.add(REGION, ["unlogged"])
    world.sequencer().turn()
    assert world.audit().findings == []


def test_what_is_logged_during_the_audit_is_no_finding(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = LogLedger.open_ids

    def logged_in_between(self: LogLedger, ids: list[str]) -> set[str]:
        monkeypatch.setattr(LogLedger, "open_ids", asked)
        world.sequencer().turn()
        return asked(self, ids)

    world.end("late")
    monkeypatch.setattr(LogLedger, "open_ids", logged_in_between)
    assert world.audit().findings == []


def grown(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, how: str, *, grow: Callable[[], None]
) -> Report:
    """Audit a log that grows while its files are listed, or after that."""
    names_of = RegionLog.names

    def listing(self: RegionLog, folder: str = "") -> list[str]:
        monkeypatch.setattr(RegionLog, "names", names_of)
        if how == "after":
            before = names_of(self, folder)
            grow()
            return before
        # A bucket lists commits/ before tile/ and timestamps/.
        commits = names_of(self, "commits")
        grow()
        return [*commits, *(each for each in names_of(self) if not each.startswith("commits/"))]

    monkeypatch.setattr(RegionLog, "names", listing)
    return world.audit()


@pytest.mark.parametrize("how", ["while", "after"])
@pytest.mark.parametrize("count", [2, 260])
def test_a_log_that_grows_while_it_is_listed_is_no_finding(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, how: str, count: int
) -> None:
    def grow() -> None:
        world.end(*names(count, 100), images=False)
        world.sequencer().turn()

    assert grown(world, monkeypatch, how, grow=grow).findings == []
    assert world.audit().findings == []


def test_a_commit_that_is_listed_before_its_tiles_are_written_is_no_finding(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.end(*names(260, 100), images=False)
    with monkeypatch.context() as patched:
        patched.setattr(Sequencer, "_publish", lambda _: None)
        world.sequencer().turn()
    publishing = Timer(0.5, lambda: world.sequencer().turn())
    publishing.start()
    assert world.audit().findings == []
    publishing.join()


def test_a_timestamp_of_a_commit_that_was_written_while_it_was_listed_is_no_finding(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow() -> None:
        world.end("late")
        world.sequencer().turn()
        world.log.create("timestamps/2026-11-29.checkpoint", (world.folder / CHECKPOINT).read_bytes())

    assert grown(world, monkeypatch, "while", grow=grow).findings == []


def test_a_file_that_is_added_or_missing_is_found_although_the_log_grows(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.end(*names(260, 100), images=False)
    world.sequencer().turn()
    for name in (tile_name(0, 0), tile_name(1, 0, 1)):
        (world.folder / name).unlink()
    (world.folder / "tile" / "0" / "777").write_bytes(b"added")
    running = world.sequencer()
    monkeypatch.setattr(Sequencer, "_load_rows", lambda *_: pytest.fail("the tiles are made again"))

    def grow() -> None:
        world.end("late")
        with suppress(pytest.fail.Exception):
            running.turn()

    assert found(grown(world, monkeypatch, "after", grow=grow)) == {
        ("missing", f"log/{REGION}/{tile_name(0, 0)}"),
        ("missing", f"log/{REGION}/{tile_name(1, 0, 1)}"),
        ("added", f"log/{REGION}/tile/0/777"),
    }


def test_a_commit_that_the_file_system_did_not_list_is_no_finding(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_of = RegionLog.names
    monkeypatch.setattr(
        RegionLog, "names", lambda self: [each for each in names_of(self) if each != commit_name(2)]
    )
    assert world.audit().findings == []


@pytest.mark.parametrize("at", ["before it is compared", "while it is compared"])
def test_an_erasure_that_is_logged_during_the_audit_is_no_finding(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    compared = Audit._compare

    def erased() -> None:
        world.erase(IDS[1])
        world.queue.add(REGION, [IDS[1]])
        world.sequencer().turn()

    def compare(self: Audit, signature_id: str) -> list[Finding]:
        if signature_id == IDS[1] and at == "before it is compared":
            erased()
        return compared(self, signature_id)

    def verify(evidence: VerificationEvidence, recorded: Mapping[int, str] | None) -> list[str]:
        if evidence.folder.endswith(IDS[1]) and at == "while it is compared":
            erased()
        return verification.verify(evidence, recorded)

    monkeypatch.setattr(Audit, "_compare", compare)
    monkeypatch.setattr("worker.evidence.log.audit.verify", verify)
    assert world.audit().findings == []


def test_some_ids_and_a_day_are_checked_alone(world: LoggedEvidence) -> None:
    flip(world.root / REGION / IDS[0] / "front.jpg")
    commit = world.log.commit(1)
    assert commit is not None

    def audit() -> Audit:
        return Audit(world.evidence, world.log, LogLedger(world.redis, REGION))

    assert audit().some([IDS[1]]).findings == []
    assert [each.kind for each in audit().some([IDS[0], IDS[1]]).findings] == [Kind.CHANGED]
    assert [each.kind for each in audit().some(["unknown"]).findings] == [Kind.MISSING]
    assert audit().day(commit.at.date()).checked == 6
    assert audit().day(commit.at.date().replace(year=2001)).checked == 0


def test_a_store_that_is_away_proves_nothing(world: LoggedEvidence, tmp_path: Path) -> None:
    world.root.rename(tmp_path / "elsewhere")
    with pytest.raises(EvidenceUnavailable):
        world.audit()


def test_a_bundle_with_another_entry_is_found(world: LoggedEvidence) -> None:
    path = world.folder / tile_name("entries", 0, 6)
    path.write_bytes(bundle([b"{}"] * 6))
    assert found(world.audit()) == {("changed", f"log/{REGION}/{tile_name('entries', 0, 6)}")}


def test_a_log_in_a_bucket_is_sequenced_and_audited(
    redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3().running() as stub:
        for name, value in stub.environment().items():
            monkeypatch.setenv(name, value)
        world = LoggedEvidence(redis, "s3://bucket/ekyc")
        world.end(*names(3))
        assert world.sequencer().turn() == 3
        world.end(*names(2, 3), images=False)
        assert world.sequencer().turn() == 2
        assert world.audit().findings == []
        public = RegionLog(world.evidence.backend, REGION, LogKeys.parse(world.log_key))
        checkpoint = public.checkpoint()
        assert checkpoint is not None
        assert checkpoint.size == 5
        public.remove(commit_name(2))
        assert ("truncated", f"log/{REGION}/{CHECKPOINT}") in found(world.audit(offline=True))
