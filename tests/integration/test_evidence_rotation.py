"""Rotation: every verification under the current key, also if it is interrupted, or while other processes work."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bucket_stub import S3
from tests.support.cli_process import Ekyc, run_program
from worker.errors import EvidenceConflict, EvidenceErased, EvidenceKeyUnknown, EvidenceUnsuitable
from worker.evidence.keys import Tombstone, WrappedKey, dump_key
from worker.evidence.manifest import FileEntry
from worker.evidence.marks import Act, dump_closed, dump_holds
from worker.evidence.review import Review, ReviewVerdict
from worker.evidence.rotation import Rotated, rotate
from worker.evidence.sealing import Origin
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from worker.evidence.store import VerificationEvidence

REGION, ID = "ph", "one"
ANSWER, IMAGE = b'{"code":"SUCCESS"}', b"\xff\xd8\xff image"
OLD, NEW = (f"{name}:{b64encode(name[0].encode() * 32).decode()}" for name in ("old", "new"))
BOTH = f"{NEW},{OLD}"


@pytest.fixture(params=["local", "bucket", "local, keys elsewhere", "bucket, keys in another"])
def open_evidence(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Evidence]]:
    place, _, elsewhere = request.param.partition(", ")
    urls = (
        [(tmp_path / name).as_uri() for name in ("evidence", "keys")]
        if place == "local"
        else ["s3://bucket/ekyc", "s3://keys/ekyc"]
    )
    with S3().running() as stub:
        for name, value in stub.environment().items():
            monkeypatch.setenv(name, value)

        def opened(keys: str = "") -> Evidence:
            return Evidence(urls[0], keys=keys, keys_url=urls[1] if elsewhere else "")

        opened.stub = stub  # type: ignore[attr-defined]
        yield opened


def fill(evidence: VerificationEvidence) -> None:
    evidence.keep_answer(ANSWER)
    with evidence.adding() as add:
        add(FileEntry("front.jpg", "front", len(IMAGE), sha256(IMAGE).hexdigest(), "image/jpeg", ""), IMAGE)


def is_whole(evidence: VerificationEvidence) -> bool:
    return (evidence.answer(), evidence.read("front.jpg")) == (ANSWER, IMAGE)


def raw(evidence: VerificationEvidence, name: str) -> bytes:
    return evidence._backend.read(f"{evidence.folder}/{name}") or b""


def test_a_wrapped_key_is_wrapped_again_and_no_other_object_changes(
    open_evidence: Callable[..., Evidence],
) -> None:
    fill(open_evidence(OLD).of(REGION, ID))
    one = open_evidence(BOTH).of(REGION, ID)
    before = raw(one, "answer.json"), raw(one, "front.jpg")
    assert rotate(one) is Rotated.REWRAPPED
    assert rotate(one) is Rotated.CURRENT
    assert (raw(one, "answer.json"), raw(one, "front.jpg")) == before
    assert is_whole(open_evidence(NEW).of(REGION, ID))
    with pytest.raises(EvidenceKeyUnknown):
        open_evidence(OLD).of(REGION, ID).answer()


def test_what_was_kept_plain_is_encrypted(open_evidence: Callable[..., Evidence]) -> None:
    fill(open_evidence("").of(REGION, ID))
    one = open_evidence(NEW).of(REGION, ID)
    assert is_whole(one)
    assert rotate(one) is Rotated.ENCRYPTED
    assert rotate(one) is Rotated.CURRENT
    assert raw(one, "answer.json").startswith(b"EKYCE1\n")
    assert raw(one, "front.jpg").startswith(b"EKYCE1\n")
    assert is_whole(open_evidence(NEW).of(REGION, ID))
    found = one.keys.stored(one.folder)
    assert isinstance(found, WrappedKey)
    assert not found.plain
    with pytest.raises(EvidenceKeyUnknown):
        open_evidence("").of(REGION, ID).answer()


@pytest.mark.parametrize("worker_writes", [True, False])
def test_an_interrupted_encryption_is_readable_and_goes_on(
    open_evidence: Callable[..., Evidence], monkeypatch: pytest.MonkeyPatch, *, worker_writes: bool
) -> None:
    fill(open_evidence("").of(REGION, ID))
    one = open_evidence(NEW).of(REGION, ID)
    encrypt = type(one).encrypt
    with monkeypatch.context() as patched:

        def interrupted(self: VerificationEvidence, name: str, *rest: Any) -> bool:
            if name == "front.jpg":
                raise KeyboardInterrupt
            return encrypt(self, name, *rest)

        patched.setattr(type(one), "encrypt", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rotate(one)
    assert raw(one, "answer.json").startswith(b"EKYCE1\n")
    assert raw(one, "front.jpg") == IMAGE
    assert is_whole(open_evidence(NEW).of(REGION, ID))
    # A reviewer who adds something meanwhile leaves the rest to the next rotation.
    review = Review("0" * 32, REGION, ID, datetime(2027, 1, 1, tzinfo=UTC), "ann", ReviewVerdict.CONFIRMED)
    open_evidence(NEW).of(REGION, ID).keep_review(review)
    assert raw(one, "front.jpg") == IMAGE
    if worker_writes:
        open_evidence(NEW).of(REGION, ID).keep("back.jpg", IMAGE)
        assert rotate(open_evidence(NEW).of(REGION, ID)) is Rotated.CURRENT
    else:
        assert rotate(open_evidence(NEW).of(REGION, ID)) is Rotated.ENCRYPTED
    assert raw(one, "front.jpg").startswith(b"EKYCE1\n")
    assert one.may_be_planted("front.jpg") is worker_writes
    assert not one.may_be_planted("answer.json")
    assert is_whole(open_evidence(NEW).of(REGION, ID))


def test_what_is_erased_stays_erased(
    open_evidence: Callable[..., Evidence], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(open_evidence(OLD).of(REGION, ID))
    one = open_evidence(BOTH).of(REGION, ID)
    tombstone = dump_key(Tombstone("2027-01-02T03:04:05Z", "c" * 64))
    wrapped = type(one.keys).wrapped

    def erase_meanwhile(self: object, data_key: object) -> bytes:
        now = one.keys.read(one.folder)
        assert now is not None
        if now != tombstone:
            assert one.keys.replace(one.folder, tombstone, expected=now)
        return wrapped(self, data_key)  # type: ignore[arg-type]

    monkeypatch.setattr(type(one.keys), "wrapped", erase_meanwhile)
    assert rotate(one) is Rotated.ERASED
    monkeypatch.undo()
    assert one.keys.read(one.folder) == tombstone
    with pytest.raises(EvidenceErased):
        one.answer()


def test_a_lost_key_is_not_replaced_by_a_new_one(open_evidence: Callable[..., Evidence]) -> None:
    fill(open_evidence(OLD).of(REGION, ID))
    one = open_evidence(BOTH).of(REGION, ID)
    one.keys._backend.remove(f"{one.folder}/key.json")
    with pytest.raises(EvidenceConflict, match="is gone"):
        rotate(one)
    assert one.keys.read(one.folder) is None


def test_what_is_removed_while_it_is_replaced_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation has compared the bytes, and does not have written the new ones yet, when an erasure removes them."""
    fill(Evidence(tmp_path.as_uri()).of(REGION, ID))
    one = Evidence(tmp_path.as_uri(), keys=NEW).of(REGION, ID)
    other = Evidence(tmp_path.as_uri()).backend
    rename, removers = os.rename, []

    def slowly(*args: Any, **options: Any) -> None:
        removers.append(Thread(target=other.remove, args=(f"{REGION}/{ID}/front.jpg",)))
        removers[-1].start()
        removers[-1].join(0.3)
        rename(*args, **options)

    monkeypatch.setattr(os, "rename", slowly)
    data_key, _ = one.keys.new(one.folder)
    one.encrypt("front.jpg", data_key, Origin.ROTATED)
    removers[0].join(30)
    assert not (tmp_path / REGION / ID / "front.jpg").exists()
    assert not removers[0].is_alive()


def test_several_at_once_change_nothing_twice(open_evidence: Callable[..., Evidence]) -> None:
    for number in range(6):
        fill(open_evidence("" if number % 2 else OLD).of(REGION, f"id-{number}"))

    def run(_: int) -> list[Rotated]:
        evidence = open_evidence(BOTH)
        return [rotate(evidence.of(REGION, signature_id)) for signature_id in evidence.ids(REGION)]

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(run, range(4)))
    rewrapped = sum(result.count(Rotated.REWRAPPED) for result in results)
    assert rewrapped == 3
    evidence = open_evidence(NEW)
    assert list(evidence.ids(REGION)) == [f"id-{number}" for number in range(6)]
    for signature_id in evidence.ids(REGION):
        assert is_whole(evidence.of(REGION, signature_id))
        assert raw(evidence.of(REGION, signature_id), "front.jpg").startswith(b"EKYCE1\n")


def test_what_a_killed_writer_left_plain_is_removed(tmp_path: Path) -> None:
    fill(Evidence(tmp_path.as_uri()).of(REGION, ID))
    old, fresh = (tmp_path / REGION / ID / f"staged-{letter * 32}" for letter in "ab")
    for path in (old, fresh):
        path.write_bytes(b"half of an image")
    os.utime(old, (time.time() - 7200,) * 2)
    rotate(Evidence(tmp_path.as_uri(), keys=NEW).of(REGION, ID))
    assert not old.exists()
    assert fresh.exists()


def test_a_store_that_replaces_what_was_changed_meanwhile_is_refused(
    open_evidence: Callable[..., Evidence],
) -> None:
    keys = open_evidence(NEW).keys
    keys.check_replacing()
    if "s3:" not in keys.url:
        return
    # What it compares and when it writes are two steps.
    open_evidence.stub.races = True  # type: ignore[attr-defined]
    with pytest.raises(EvidenceUnsuitable, match="a rotation could undo an erasure there"):
        keys.check_replacing()


# Marks.

AT = datetime(2027, 1, 1, tzinfo=UTC)
MARKS = ("closed.json", "hold.json")


def mark(evidence: Evidence) -> None:
    lifecycle = evidence.lifecycle(REGION, ID)
    lifecycle.close(AT)
    lifecycle.change_holds(lambda known: known.placing(Act(AT, "ann", "court")))


def marks(evidence: Evidence) -> tuple[datetime | None, bool]:
    lifecycle = evidence.lifecycle(REGION, ID)
    return lifecycle.closed(), lifecycle.holds().in_force is not None


def encrypt_marks(evidence: Evidence) -> None:
    """What releases before this one did to marks."""
    one = evidence.of(REGION, ID)
    data_key = one.keys.find(one.folder, fresh=True)
    assert data_key
    for name in MARKS:
        one.encrypt(name, data_key, Origin.ROTATED)
        assert raw(one, name).startswith(b"EKYCE1\n")


@pytest.mark.parametrize("how", ["a rotation", "a worker"])
def test_marks_stay_plain_and_are_read_without_a_key(
    open_evidence: Callable[..., Evidence], how: str
) -> None:
    fill(open_evidence("").of(REGION, ID))
    mark(open_evidence(""))
    one = open_evidence(NEW).of(REGION, ID)
    if how == "a rotation":
        assert rotate(one) is Rotated.ENCRYPTED
    else:
        one.encrypt_plain()
    assert raw(one, "answer.json").startswith(b"EKYCE1\n")
    for keys in (NEW, OLD, ""):
        assert marks(open_evidence(keys)) == (AT, True)
    assert is_whole(open_evidence(NEW).of(REGION, ID))
    assert rotate(open_evidence(NEW).of(REGION, ID)) is Rotated.CURRENT


def test_a_folder_of_marks_alone_gets_no_key(open_evidence: Callable[..., Evidence]) -> None:
    mark(open_evidence(""))
    one = open_evidence(NEW).of(REGION, ID)
    assert rotate(one) is Rotated.CURRENT
    assert one.keys.stored(one.folder) is None
    assert marks(open_evidence("")) == (AT, True)


@pytest.mark.parametrize("keys", [OLD, BOTH])
def test_marks_that_an_earlier_release_encrypted_are_plain_again_after_a_rotation(
    open_evidence: Callable[..., Evidence], keys: str
) -> None:
    fill(open_evidence(OLD).of(REGION, ID))
    mark(open_evidence(OLD))
    encrypt_marks(open_evidence(OLD))
    # With the key they can be read before that, too.
    assert marks(open_evidence(OLD)) == (AT, True)
    rotate(open_evidence(keys).of(REGION, ID))
    one = open_evidence("").of(REGION, ID)
    assert raw(one, "closed.json") == dump_closed(AT)
    assert raw(one, "hold.json") == dump_holds(open_evidence("").lifecycle(REGION, ID).holds())
    assert marks(open_evidence("")) == (AT, True)
    assert is_whole(open_evidence(keys).of(REGION, ID))


def test_a_mark_that_an_earlier_release_encrypted_is_plain_after_a_change(
    open_evidence: Callable[..., Evidence],
) -> None:
    fill(open_evidence(NEW).of(REGION, ID))
    mark(open_evidence(NEW))
    encrypt_marks(open_evidence(NEW))
    later = AT.replace(year=2028)
    assert open_evidence(NEW).lifecycle(REGION, ID).close(later) == later
    assert raw(open_evidence("").of(REGION, ID), "closed.json") == dump_closed(later)


@pytest.mark.parametrize("keys", ["", OLD])
def test_an_encrypted_mark_without_its_key_is_never_taken_for_none(
    open_evidence: Callable[..., Evidence], keys: str
) -> None:
    fill(open_evidence(NEW).of(REGION, ID))
    mark(open_evidence(NEW))
    encrypt_marks(open_evidence(NEW))
    lifecycle = open_evidence(keys).lifecycle(REGION, ID)
    for read in (lifecycle.closed, lifecycle.holds, lambda: lifecycle.close(AT)):
        with pytest.raises(EvidenceKeyUnknown, match="EKYC_EVIDENCE_KEYS"):
            read()


def test_an_encrypted_mark_that_does_not_open_is_named(open_evidence: Callable[..., Evidence]) -> None:
    fill(open_evidence(NEW).of(REGION, ID))
    evidence = open_evidence(NEW)
    one = evidence.of(REGION, ID)
    # Bytes of another file, sealed under the right key.
    evidence.backend.create(f"{one.folder}/hold.json", raw(one, "answer.json"))
    with pytest.raises(EvidenceConflict, match=r"hold\.json cannot be read") as caught:
        evidence.lifecycle(REGION, ID).holds()
    assert caught.value.reason == "MARK_UNREADABLE"
    with pytest.raises(EvidenceConflict, match=r"hold\.json"):
        rotate(one)


# The command.


def ekyc(root: Path, keys: str) -> Ekyc:
    return Ekyc({"EKYC_EVIDENCE_URL": root.as_uri(), "EKYC_EVIDENCE_KEYS": keys})


def test_the_command_rotates_all_and_names_what_it_cannot(tmp_path: Path) -> None:
    for region, signature_id, keys in (("ph", "plain", ""), ("sg", "old", OLD), ("my", "new", BOTH)):
        fill(Evidence(tmp_path.as_uri(), keys=keys).of(region, signature_id))
    ended = ekyc(tmp_path, NEW)("evidence", "rotate", "--json")
    assert ended.code == 1
    report = json.loads(ended.out)
    assert (report["encrypted"], report["current"], report["unused_keys"]) == (1, 1, [])
    (failed,) = report["failed"]
    assert (failed["region"], failed["signature_id"]) == ("sg", "old")
    assert "wrapped under the key old, and EKYC_EVIDENCE_KEYS has only new" in failed["why"]

    ended = ekyc(tmp_path, BOTH)("evidence", "rotate")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "current 2, rewrapped 1, encrypted 0, erased 0, failed 0",
        (
            "no evidence is under the key old: once each worker has the new key first, rotate again; "
            "if this line comes again, remove that key from EKYC_EVIDENCE_KEYS"
        ),
    ]
    for region, signature_id in (("ph", "plain"), ("sg", "old"), ("my", "new")):
        assert is_whole(Evidence(tmp_path.as_uri(), keys=NEW).of(region, signature_id))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("", "EKYC_EVIDENCE_KEYS is not set: `ekyc evidence keygen` makes a key"),
        ("new:c2VzYW1l", "EKYC_EVIDENCE_KEYS: a key has 32 bytes, this one has 6"),
        (f"new:{b64encode(b'x' * 32).decode()}", "the key new is not the one that was used"),
    ],
)
def test_keys_that_cannot_be_used_end_it_with_one_line(tmp_path: Path, keys: str, says: str) -> None:
    Evidence(tmp_path.as_uri(), keys=NEW).check()
    ended = ekyc(tmp_path, keys)("evidence", "rotate")
    assert ended.code == 2
    (line,) = ended.err_lines
    assert says in line
    assert "c2VzYW1l" not in line


def test_keys_in_another_place_than_before_end_it_before_it_changes_anything(tmp_path: Path) -> None:
    root, keys, other = (tmp_path / name for name in ("evidence", "keys", "other"))
    evidence = Evidence(root.as_uri(), keys=OLD, keys_url=keys.as_uri())
    evidence.check()
    fill(evidence.of(REGION, ID))
    for place in (other.as_uri(), ""):
        more = {"EKYC_EVIDENCE_KEYS_URL": place} if place else {}
        ended = ekyc(root, BOTH).with_env(**more)("evidence", "rotate")
        assert ended.code == 2
        (line,) = ended.err_lines
        assert line.startswith(
            f"ekyc: EKYC_EVIDENCE_KEYS_URL: the keys of the evidence at {root.as_uri()} are not at"
        )
    ended = ekyc(root, BOTH).with_env(EKYC_EVIDENCE_KEYS_URL=keys.as_uri())("evidence", "rotate")
    assert ended.code == 0, ended.err


COUNT = 16

#: The command, which gets a signal at its n-th replacement, before the new file has its name.
ROTATE = """
    import os, sys, threading
    from worker.cli.program import run

    rename, lock, left = os.rename, threading.Lock(), int(sys.argv[1])

    def interrupted(*args, **kwargs):
        global left
        with lock:
            left -= not args[1].startswith("probe-")
            if left == 0:
                os.kill(os.getpid(), int(sys.argv[2]))
        rename(*args, **kwargs)

    os.rename = interrupted
    sys.exit(run(["evidence", "rotate", "--jobs", "2"]))
"""


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_ends_in_the_middle_leaves_everything_readable_and_the_next_goes_on(
    tmp_path: Path, ends: signal.Signals
) -> None:
    plain, sealed = Evidence(tmp_path.as_uri()), Evidence(tmp_path.as_uri(), keys=OLD)
    ids = [f"id-{number:02}" for number in range(COUNT)]
    for number, signature_id in enumerate(ids):
        fill((plain if number % 2 else sealed).of(REGION, signature_id))
    environment = {"EKYC_EVIDENCE_URL": tmp_path.as_uri(), "EKYC_EVIDENCE_KEYS": BOTH}
    codes = []
    for replacement in (1, 2, 3):
        ended = run_program(textwrap.dedent(ROTATE), str(replacement), str(int(ends)), **environment)
        codes.append(ended.code)
        if ends is signal.SIGINT:
            assert "ekyc: so far: current" in ended.err
        reader = Evidence(tmp_path.as_uri(), keys=BOTH)
        for signature_id in ids:
            assert is_whole(reader.of(REGION, signature_id)), (replacement, signature_id)
    assert codes == [130 if ends is signal.SIGINT else -ends] * 3
    last = ekyc(tmp_path, BOTH)("evidence", "rotate", "--json")
    assert last.code == 0, last.err
    report = json.loads(last.out)
    assert report["current"] > 0
    assert report["failed"] == []
    for signature_id in ids:
        one = Evidence(tmp_path.as_uri(), keys=NEW).of(REGION, signature_id)
        assert is_whole(one)
        assert raw(one, "front.jpg").startswith(b"EKYCE1\n")
