"""The check of one verification's evidence for a page: what it proves, and what keeps it from proving anything."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.logged_evidence import NAME, PRIVATE, PUBLIC, REGION, LoggedEvidence, names
from worker.evidence.log.log_keys import new_log_key
from worker.keyring import format_key, new_key
from worker.records import checking
from worker.records.checking import Checked, State
from worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

IDS = names(4)


@pytest.fixture
def world(redis: Redis, tmp_path: Path) -> LoggedEvidence:
    """Four verifications in two commits."""
    made = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    for start in (0, 2):
        made.end(*IDS[start : start + 2])
        made.sequencer().turn()
    return made


def check(world: LoggedEvidence, signature_id: str = IDS[1], **settings: str) -> Checked:
    given: dict[str, Any] = {"evidence_url": world.url, "log_key": PUBLIC, "evidence_keys": world.keys}
    return checking.check(Settings(**given | settings), world.redis, REGION, signature_id)


def test_what_was_logged_is_unchanged_by_the_public_key_or_the_private_one(world: LoggedEvidence) -> None:
    for key in (PUBLIC, PRIVATE):
        found = check(world, log_key=key)
        assert found.state is State.UNCHANGED
        assert "its size is 4" in found.lines[1]


@pytest.mark.parametrize("name", ["answer.json", "front.jpg", "manifest.json", "decision.json"])
def test_a_changed_file_is_named(world: LoggedEvidence, name: str) -> None:
    path = world.root / REGION / IDS[1] / name
    path.write_bytes(path.read_bytes()[:-3] + b"???")
    found = check(world)
    assert found.state is State.CHANGED
    assert any(name in line for line in found.lines)
    assert check(world, IDS[0]).state is State.UNCHANGED


def test_a_fault_of_the_log_itself_shows_with_each_verification(world: LoggedEvidence) -> None:
    (world.folder / "commits" / f"{2:012}").unlink()
    found = check(world, IDS[0])
    assert found.state is State.CHANGED
    assert "ekyc evidence verify --region ph" in found.lines[-1]


def test_the_log_of_another_key_proves_nothing(world: LoggedEvidence) -> None:
    found = check(world, log_key=new_log_key(NAME)[1])
    assert found.state is State.CHANGED


def test_without_a_key_of_the_log_the_manifest_is_compared(world: LoggedEvidence) -> None:
    found = check(world, log_key="")
    assert (found.state, found.lines[0]) == (State.UNCHANGED, "its files are as its manifest says")
    assert "EKYC_LOG_KEY is not set here" in found.lines[1]
    (world.root / REGION / IDS[1] / "front.jpg").unlink()
    assert check(world, log_key="").lines[0] == "front.jpg is missing"


def test_without_a_store_it_says_what_to_set(world: LoggedEvidence) -> None:
    found = check(world, evidence_url="")
    assert found.state is State.UNPROVED
    assert "EKYC_EVIDENCE_URL is not set" in found.lines[0]


def test_without_the_keys_of_the_evidence_nothing_is_proved(redis: Redis, tmp_path: Path) -> None:
    keys = format_key(new_key("k1"))
    world = LoggedEvidence(redis, (tmp_path / "sealed").as_uri(), keys=keys)
    world.end(IDS[0])
    world.sequencer().turn()
    assert check(world, IDS[0]).state is State.UNCHANGED
    found = check(world, IDS[0], evidence_keys="")
    assert found.state is State.UNPROVED
    assert "EKYC_EVIDENCE_KEYS" in found.lines[0]


def test_what_is_not_stored_and_what_is_not_archived_is_said(world: LoggedEvidence) -> None:
    assert check(world, "unknown").state is State.CHANGED
    assert check(world, "unknown", log_key="").lines[0] == "the store has no evidence of it"
    world.store("decided", images=False)
    assert "there is no manifest yet" in check(world, "decided", log_key="").lines[0]


def test_an_erased_one_is_said_to_be(world: LoggedEvidence) -> None:
    world.erase(IDS[1])
    assert "it was erased" in check(world, log_key="").lines[0]
    world.queue.add(REGION, [IDS[1]])
    world.sequencer().turn()
    assert check(world).lines[0] == "it is as it was logged"


def test_a_log_that_takes_too_long_ends_the_check(
    world: LoggedEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are compared all the same, and the answer says what is left to do."""
    began = time.monotonic()
    settings = Settings(evidence_url=world.url, log_key=PUBLIC)
    found = checking.check(settings, world.redis, REGION, IDS[1], longest_s=0)
    assert found.state is State.UNPROVED
    assert found.lines[0] == "its files are as its manifest says"
    assert f"ekyc evidence verify --region ph -- {IDS[1]}" in found.lines[1]
    (world.root / REGION / IDS[1] / "front.jpg").unlink()
    assert checking.check(settings, world.redis, REGION, IDS[1], longest_s=0).state is State.CHANGED
    assert time.monotonic() - began < 10
    # It also ends in the middle of the log.
    moments = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))
    found = checking.check(settings, world.redis, REGION, IDS[0], longest_s=4)
    assert "the log is too long to be read within 4 s" in found.lines[1]
