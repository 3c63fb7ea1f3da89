"""Encrypted evidence: what is in the store, who can read it, and what every change of it leads to."""

from __future__ import annotations

import os
import shutil
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from schemas.decision import Decision, EvidenceRef, decision_id
from tests.support.bucket_stub import S3
from worker.errors import (
    ConfigError,
    EvidenceConflict,
    EvidenceErased,
    EvidenceKeyUnknown,
    EvidenceUnavailable,
    EvidenceUnsuitable,
)
from worker.evidence.decision_record import DecisionRecord
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.manifest import FileEntry, Manifest
from worker.evidence.rotation import Rotated, rotate
from worker.evidence.store import Evidence
from worker.evidence.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from worker.evidence.data_keys import DataKeys
    from worker.evidence.store import StoredFile, VerificationEvidence

REGION, ID = "ph", "f302f5d2454a85c2"
ANSWER, IMAGE = b'{"code":"SUCCESS","name":"SANDBOX PERSON"}', b"\xff\xd8\xff SANDBOX PERSON"
OLD, NEW, OTHER = (f"{name}:{b64encode(name[0].encode() * 32).decode()}" for name in ("old", "new", "third"))


@pytest.fixture(params=["local", "bucket", "local, keys elsewhere", "bucket, keys in another"])
def open_evidence(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Evidence]]:
    """Return a function that opens the same place with other keys."""
    place, _, elsewhere = request.param.partition(", ")
    if place == "local":
        urls = [(tmp_path / name).as_uri() for name in ("evidence", "keys")]
    else:
        urls = ["s3://bucket/ekyc", "s3://keys/ekyc"]
    with S3().running() as stub:
        for name, value in stub.environment().items():
            monkeypatch.setenv(name, value)

        def opened(keys: str = OLD) -> Evidence:
            return Evidence(urls[0], keys=keys, keys_url=urls[1] if elsewhere else "")

        yield opened


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


@pytest.fixture
def local(root: Path) -> Callable[..., VerificationEvidence]:
    """Return a function that opens one verification in a local folder."""

    def opened(keys: str = OLD, signature_id: str = ID) -> VerificationEvidence:
        return Evidence(root.as_uri(), keys=keys).of(REGION, signature_id)

    return opened


def entry(name: str, body: bytes) -> FileEntry:
    role = name.partition(".")[0]
    return FileEntry(
        name, role, len(body), sha256(body).hexdigest(), "image/jpeg", "2026-01-02T03:04:05.006Z"
    )


def record(decision: str = "approve") -> DecisionRecord:
    return DecisionRecord.of(
        Decision(
            id=decision_id(REGION, ID),
            signature_id=ID,
            region=REGION,
            decision=decision,
            overall_result="PASS",
            error_code="SUCCESS",
            reason=None,
            decided_at=datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC),
            evidence=EvidenceRef("file:///e", complete=True),
            context={"customer": "SANDBOX PERSON"},
            polls=3,
            table="default@12345678",
        ),
        4,
    )


def fill(evidence: VerificationEvidence) -> Manifest:
    """Store what a verification has: answer, image, manifest and decision."""
    assert evidence.keep_answer(ANSWER) == ANSWER
    with evidence.adding() as add:
        add(entry("front.jpg", IMAGE), IMAGE)
    manifest = Manifest(
        signature_id=ID,
        region=REGION,
        overall_result="PASS",
        error_code="SUCCESS",
        transaction_id="d3fde1547eeaf226",
        archived_at="2026-01-02T03:04:06.007Z",
        complete=True,
        files=(replace(entry("answer.json", ANSWER), role="answer"), entry("front.jpg", IMAGE)),
        salt="0" * 32,
    )
    assert evidence.keep_manifest(manifest) == manifest
    assert evidence.keep_decision(made := record()) == made
    return manifest


def stored(evidence: Evidence) -> dict[str, bytes]:
    """Return every object of the verification as it lies in the store."""
    backend = evidence.of(REGION, ID)._backend
    return {
        found.path.rpartition("/")[2]: backend.read(found.path) or b""
        for found in backend.list(f"{REGION}/{ID}")
    }


def test_everything_comes_back_and_nothing_can_be_read_in_the_store(
    open_evidence: Callable[..., Evidence],
) -> None:
    evidence = open_evidence()
    manifest = fill(evidence.of(REGION, ID))
    for reader in (evidence, open_evidence(), open_evidence(f"{NEW},{OLD}")):
        found = reader.of(REGION, ID)
        assert found.answer() == ANSWER
        assert found.read("front.jpg") == IMAGE
        assert found.manifest() == manifest
        decision = found.decision()
        assert decision is not None
        assert decision.essence == record().essence
        assert decision.rule == 4
        assert verify(found) == []
    objects = stored(evidence)
    assert set(objects) - {"key.json"} == {"answer.json", "front.jpg", "manifest.json", "decision.json"}
    for name, raw in objects.items():
        assert b"SANDBOX" not in raw, name
        assert b"PASS" not in raw, name
        assert name == "key.json" or raw.startswith(b"EKYCE1\n")
    assert [file.name for file in evidence.of(REGION, ID).files()] == [
        "answer.json",
        "decision.json",
        "front.jpg",
        "manifest.json",
    ]


def test_each_file_is_still_written_once(open_evidence: Callable[..., Evidence]) -> None:
    evidence = open_evidence().of(REGION, ID)
    fill(evidence)
    fill_again = open_evidence().of(REGION, ID)
    assert fill_again.keep_answer(b"another") == ANSWER
    fill_again.keep("front.jpg", IMAGE)
    with pytest.raises(EvidenceConflict, match="other bytes"):
        fill_again.keep("front.jpg", b"another")
    with pytest.raises(EvidenceConflict, match="other bytes"), fill_again.adding() as add:
        add(entry("front.jpg", b"another"), b"another")
    with fill_again.adding() as add:
        add(entry("front.jpg", IMAGE), IMAGE)
    first = evidence.decision()
    assert fill_again.keep_decision(record("review")) == first


def test_a_decision_without_an_answer_is_encrypted_too(open_evidence: Callable[..., Evidence]) -> None:
    evidence = open_evidence()
    evidence.of(REGION, ID).keep_decision(record())
    assert stored(evidence)["decision.json"].startswith(b"EKYCE1\n")
    assert open_evidence().of(REGION, ID).decision() is not None
    assert open_evidence().of(REGION, ID).answer() is None


def test_without_keys_nothing_encrypted_is_read_and_nothing_plain_is_left_beside_it(
    open_evidence: Callable[..., Evidence],
) -> None:
    evidence = open_evidence()
    evidence.of(REGION, ID).keep_answer(ANSWER)
    before = stored(evidence)
    bare = open_evidence("").of(REGION, ID)
    for use in (
        bare.answer,
        lambda: bare.keep_answer(ANSWER),
        lambda: bare.keep_decision(record()),
    ):
        with pytest.raises((EvidenceKeyUnknown, EvidenceUnavailable)) as caught:
            use()
        assert caught.value.retry
    assert stored(evidence) == before


def test_a_key_that_is_not_configured_is_said_by_its_id(open_evidence: Callable[..., Evidence]) -> None:
    open_evidence(OLD).of(REGION, ID).keep_answer(ANSWER)
    with pytest.raises(EvidenceKeyUnknown, match="under the key old, and EKYC_EVIDENCE_KEYS has only new"):
        open_evidence(NEW).of(REGION, ID).answer()


def test_another_key_under_an_id_that_was_used_stops_a_worker_at_its_start(
    open_evidence: Callable[..., Evidence],
) -> None:
    open_evidence(OLD).check()
    open_evidence(f"{NEW},{OLD}").check()
    wrong = f"old:{b64encode(b'x' * 32).decode()}"
    with pytest.raises(EvidenceUnsuitable, match="the key old is not the one that was used") as caught:
        open_evidence(wrong).check()
    assert isinstance(caught.value, ConfigError)
    assert caught.value.exit_code == 2
    assert b64encode(b"x" * 32).decode() not in str(caught.value)


def test_a_doctor_notes_no_key_but_compares_it(open_evidence: Callable[..., Evidence]) -> None:
    wrong = f"old:{b64encode(b'x' * 32).decode()}"
    open_evidence(wrong).check(note=False)
    open_evidence(OLD).check()
    with pytest.raises(EvidenceUnsuitable, match="the key old is not the one that was used"):
        open_evidence(wrong).check(note=False)


def test_plain_evidence_of_before_stays_readable_and_is_encrypted_with_what_comes_late(
    open_evidence: Callable[..., Evidence],
) -> None:
    open_evidence("").of(REGION, ID).keep_answer(ANSWER)
    evidence = open_evidence()
    manifest = fill(evidence.of(REGION, ID))
    for reader in (evidence, open_evidence()):
        assert reader.of(REGION, ID).manifest() == manifest
        assert verify(reader.of(REGION, ID)) == []
    is_sealed = {name: raw.startswith(b"EKYCE1\n") for name, raw in stored(evidence).items()}
    is_sealed.pop("key.json", None)
    assert is_sealed == {
        "answer.json": True,
        "front.jpg": True,
        "manifest.json": True,
        "decision.json": True,
    }
    assert evidence.of(REGION, ID).answer() == ANSWER
    for reading in (open_evidence("").of(REGION, ID).answer, open_evidence("").of(REGION, ID).manifest):
        with pytest.raises(EvidenceKeyUnknown):
            reading()


def test_a_planted_file_leaves_nothing_of_a_person_readable(open_evidence: Callable[..., Evidence]) -> None:
    for write in ("keep_answer", "keep_decision", "keep_unreadable"):
        evidence = open_evidence()
        one = evidence.of(REGION, f"planted-{write}")
        one._backend.create(f"{one.folder}/unreadable-0123456789abcdef.bin", b"planted")
        getattr(one, write)(record() if write == "keep_decision" else ANSWER)
        names = {found.path: one._backend.read(found.path) or b"" for found in one._backend.list(one.folder)}
        written = [path for path, raw in names.items() if raw.startswith(b"EKYCE1\n")]
        assert len(written) == 2, write
        assert not [path for path in names.keys() - set(written) if not path.endswith("key.json")]
        assert one.may_be_planted("unreadable-0123456789abcdef.bin")
        assert not any(b"SANDBOX" in raw for raw in names.values())


def test_a_folder_whose_key_is_lost_gets_no_other_one(open_evidence: Callable[..., Evidence]) -> None:
    evidence = open_evidence()
    fill(evidence.of(REGION, ID))
    evidence.keys._backend.remove(f"{REGION}/{ID}/key.json")
    late = open_evidence().of(REGION, ID)
    with pytest.raises(EvidenceConflict, match="is gone"):
        late.keep_unreadable(b"<html>")
    with pytest.raises(EvidenceConflict, match="is gone"), late.adding() as add:
        add(entry("back.jpg", IMAGE), IMAGE)
    assert late.keys.read(late.folder) is None
    assert set(stored(evidence)) == {"answer.json", "front.jpg", "manifest.json", "decision.json"}


def test_workers_that_write_at_once_agree_on_one_key_and_one_answer(
    open_evidence: Callable[..., Evidence],
) -> None:
    writers = 8
    at_once = Barrier(writers)

    def write(number: int) -> bytes:
        evidence = open_evidence().of(REGION, ID)
        at_once.wait()
        return evidence.keep_answer(f"answer {number}".encode())

    for round_ in range(10):
        with ThreadPoolExecutor(writers) as threads:
            kept = set(threads.map(write, range(writers)))
        assert len(kept) == 1, round_
        assert open_evidence().of(REGION, ID).answer() in kept
        backend = open_evidence().of(REGION, ID)._backend
        for found in list(backend.list(f"{REGION}/{ID}")):
            backend.remove(found.path)
        keys = open_evidence().keys._backend
        for found in list(keys.list(f"{REGION}/{ID}")):
            keys.remove(found.path)


def test_what_is_erased_is_neither_written_nor_read(open_evidence: Callable[..., Evidence]) -> None:
    tombstone = dump_key(Tombstone("2027-01-02T03:04:05Z", "c" * 64))
    for keys in (OLD, ""):
        evidence = open_evidence(keys)
        evidence.keys.create(f"{REGION}/{ID}", tombstone)
        one = evidence.of(REGION, ID)
        for write in (
            partial(one.keep_answer, ANSWER),
            partial(one.keep_decision, record()),
            partial(one.keep_unreadable, b"<html>"),
        ):
            with pytest.raises(EvidenceErased, match="erased at 2027-01-02T03:04:05Z") as caught:
                write()
            assert not caught.value.retry
            assert not caught.value.quarantine
        assert set(stored(evidence)) <= {"key.json"}


def test_what_is_put_back_after_an_erasure_is_not_read(open_evidence: Callable[..., Evidence]) -> None:
    evidence = open_evidence("")
    fill(evidence.of(REGION, ID))
    evidence.keys.create(f"{REGION}/{ID}", dump_key(Tombstone("2027-01-02T03:04:05Z", "c" * 64)))
    for keys in ("", OLD):
        one = open_evidence(keys).of(REGION, ID)
        for read in (one.answer, one.manifest, one.decision, partial(one.read, "front.jpg")):
            with pytest.raises(EvidenceErased, match="erased at 2027-01-02T03:04:05Z"):
                read()


# Changes in a local folder, which stand for those in any store.


@pytest.mark.parametrize("name", ["answer.json", "front.jpg", "manifest.json", "decision.json"])
@pytest.mark.parametrize("change", ["flip", "cut", "empty", "plain"])
def test_a_changed_object_fails_loudly_with_its_name(
    local: Callable[..., VerificationEvidence], root: Path, name: str, change: str
) -> None:
    fill(local())
    path = root / REGION / ID / name
    raw = path.read_bytes()
    changed = {
        "flip": raw[:60] + bytes([raw[60] ^ 1]) + raw[61:],
        "cut": raw[:-1],
        "empty": b"",
        "plain": ANSWER,
    }[change]
    path.write_bytes(changed)
    with pytest.raises(EvidenceConflict) as caught:
        local().read(name)
    expected = EvidenceConflict.PLAIN_BYTES if change in {"plain", "empty"} else EvidenceConflict.SEALED_BYTES
    assert caught.value.reason == expected
    assert f"/{REGION}/{ID}/{name} " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.quarantine


def test_objects_that_change_places_fail_loudly(
    local: Callable[..., VerificationEvidence], root: Path
) -> None:
    fill(local())
    local(signature_id="another").keep_answer(b"the answer of another")
    ours, others = root / REGION / ID, root / REGION / "another"

    # Renamed in its folder.
    shutil.copy(ours / "answer.json", ours / "unreadable-0123456789abcdef.bin")
    with pytest.raises(EvidenceConflict, match="another key"):
        local().read("unreadable-0123456789abcdef.bin")
    # Swapped with that of another, without and with its key.
    shutil.copy(others / "answer.json", ours / "answer.json")
    with pytest.raises(EvidenceConflict, match="sealed under another key"):
        local().answer()
    shutil.copy(others / "key.json", ours / "key.json")
    with pytest.raises(EvidenceConflict, match="belongs to another verification"):
        local().answer()
    # The whole folder under another id.
    shutil.copytree(others, root / REGION / "third")
    with pytest.raises(EvidenceConflict, match="belongs to another verification"):
        local(signature_id="third").answer()


def test_a_key_that_is_gone_is_said_with_its_place(
    local: Callable[..., VerificationEvidence], root: Path
) -> None:
    fill(local())
    (root / REGION / ID / "key.json").unlink()
    with pytest.raises(EvidenceConflict, match=r"its key at file://.*/key.json is gone") as caught:
        local().answer()
    assert caught.value.reason == EvidenceConflict.KEY_MISSING
    (root / REGION / ID / "key.json").write_bytes(b"{")
    with pytest.raises(EvidenceConflict, match="is not JSON") as caught:
        local().answer()
    assert caught.value.reason == EvidenceConflict.KEY_UNREADABLE


def test_an_answer_that_a_worker_without_keys_stored_in_between_is_used(
    local: Callable[..., VerificationEvidence], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fleet restarts with keys, worker by worker: one without keys is first with the answer."""
    with_keys, without = local(), local("")
    listed = type(with_keys)._listed

    def too_early(self: VerificationEvidence) -> list[StoredFile]:
        monkeypatch.undo()
        found = listed(self)
        without.keep_answer(ANSWER)
        return found

    monkeypatch.setattr(type(with_keys), "_listed", too_early)
    assert with_keys.keep_answer(b"another") == ANSWER
    assert local().answer() == ANSWER
    assert local().may_be_planted("answer.json")
    with local().adding() as add:
        add(entry("front.jpg", IMAGE), IMAGE)
    assert local().read("front.jpg") == IMAGE
    assert (root / REGION / ID / "front.jpg").read_bytes().startswith(b"EKYCE1\n")


def test_what_a_worker_without_keys_writes_while_a_folder_is_encrypted_is_taken_back(
    local: Callable[..., VerificationEvidence], root: Path
) -> None:
    local("").keep_answer(ANSWER)

    def write() -> None:
        with local("").adding() as add:
            add(entry("front.jpg", IMAGE), IMAGE)
            # Another process encrypts the folder: it does not see the file that is being written.
            assert rotate(local()) is Rotated.ENCRYPTED

    with pytest.raises(EvidenceKeyUnknown):
        write()
    assert not (root / REGION / ID / "front.jpg").exists()
    assert local().answer() == ANSWER


def test_a_folder_of_before_that_is_encrypted_while_something_is_written_ends_encrypted(
    local: Callable[..., VerificationEvidence], root: Path
) -> None:
    local("").keep_answer(ANSWER)
    late = local()
    with late.adding() as add:
        add(entry("front.jpg", IMAGE), IMAGE)
        assert rotate(local()) is Rotated.CURRENT
    assert (root / REGION / ID / "front.jpg").read_bytes().startswith(b"EKYCE1\n")
    assert local().read("front.jpg") == IMAGE
    assert local().answer() == ANSWER
    (root / REGION / ID / "answer.json").write_bytes(ANSWER)
    with pytest.raises(EvidenceConflict, match="is not encrypted"):
        local().answer()


def test_keys_elsewhere_that_cannot_be_reached_are_said_by_their_setting(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    evidence = Evidence((tmp_path / "evidence").as_uri(), keys=OLD, keys_url=(tmp_path / "keys").as_uri())
    for use in (lambda: evidence.of(REGION, ID).keep_answer(ANSWER), evidence.check):
        with pytest.raises(EvidenceUnavailable, match=r"check EKYC_EVIDENCE_KEYS_URL") as caught:
            use()
        assert "EKYC_EVIDENCE_URL" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"^EKYC_EVIDENCE_KEYS_URL: "):
        Evidence((tmp_path / "evidence").as_uri(), keys=OLD, keys_url="http://example.com")


def test_a_key_elsewhere_is_durable_before_anything_is_sealed_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have given it its name, and not have synced that yet."""
    first, second = (
        Evidence((tmp_path / "evidence").as_uri(), keys=OLD, keys_url=(tmp_path / "keys").as_uri())
        for _ in range(2)
    )
    first.of(REGION, ID).keep_answer(ANSWER)
    synced = []
    sync = type(second.keys).sync

    def noted(self: DataKeys, folder: str) -> None:
        sync(self, folder)
        synced.append((folder, (tmp_path / "evidence" / folder / "decision.json").exists()))

    monkeypatch.setattr(type(second.keys), "sync", noted)
    second.of(REGION, ID).keep_decision(record())
    assert synced == [(f"{REGION}/{ID}", False)]


def test_no_copy_of_a_destroyed_key_is_left_where_keys_lie_elsewhere(tmp_path: Path) -> None:
    """A rotation that was killed left one."""
    evidence = Evidence((tmp_path / "evidence").as_uri(), keys=OLD, keys_url=(tmp_path / "keys").as_uri())
    one = evidence.of(REGION, ID)
    one.keep_answer(ANSWER)
    folder = tmp_path / "keys" / REGION / ID
    shutil.copy(folder / "key.json", folder / f"staged-{'a' * 32}")
    now = one.keys.read(one.folder)
    assert now is not None
    assert one.keys.replace(one.folder, dump_key(Tombstone("2027-01-02T03:04:05Z", "c" * 64)), expected=now)
    assert [path.name for path in folder.iterdir()] == ["key.json"]
    with pytest.raises(EvidenceErased):
        one.answer()


def test_a_writer_that_dies_between_key_and_answer_leaves_a_key_that_the_next_one_uses(
    local: Callable[..., VerificationEvidence], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def killed(source: str, name: str, **options: Any) -> None:
        if name == "answer.json":
            raise KeyboardInterrupt
        link(source, name, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            local().keep_answer(b"the answer of a killed worker")
    assert [path.name for path in (root / REGION / ID).iterdir()] == ["key.json"]
    before = (root / REGION / ID / "key.json").read_bytes()
    assert local().answer() is None
    assert local().keep_answer(ANSWER) == ANSWER
    assert local().answer() == ANSWER
    assert (root / REGION / ID / "key.json").read_bytes() == before
