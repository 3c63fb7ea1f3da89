"""Timestamps of the log: a real authority over HTTP, whose answers OpenSSL verifies; and what else it may answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.logged_evidence import REGION, LoggedEvidence, names
from tests.support.ports import free_port
from tests.support.timestamp_authority import TimestampAuthority
from worker.errors import TimestampUnavailable
from worker.evidence.log.timestamps import MAX_ANSWER, Authority, stamp_day

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis as redis_py

NOW = datetime(2026, 12, 1, 0, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def world(redis: redis_py.Redis, tmp_path: Path) -> LoggedEvidence:
    made = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    made.end(*names(3), images=False)
    made.sequencer().turn()
    return made


@pytest.fixture
def tsa(tmp_path: Path) -> Iterator[TimestampAuthority]:
    folder = tmp_path / "tsa"
    folder.mkdir()
    with TimestampAuthority(folder).running() as running:
        yield running


def test_openssl_accepts_the_timestamp_of_a_days_checkpoint(
    world: LoggedEvidence, tsa: TimestampAuthority
) -> None:
    assert stamp_day(world.log, Authority(tsa.url), NOW) == "2026-11-30"
    checkpoint, answer = (world.folder / f"timestamps/2026-11-30.{kind}" for kind in ("checkpoint", "tsr"))
    assert checkpoint.read_bytes() == (world.folder / "checkpoint").read_bytes()
    assert tsa.accepts(answer, checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes() + b"\n")
    assert not tsa.accepts(answer, checkpoint)


def test_a_day_is_stamped_once_and_a_day_without_entries_not_at_all(
    world: LoggedEvidence, tsa: TimestampAuthority
) -> None:
    authority = Authority(tsa.url)
    assert stamp_day(world.log, authority, NOW) == "2026-11-30"
    assert stamp_day(world.log, authority, NOW + timedelta(hours=3)) is None
    assert stamp_day(world.log, authority, NOW + DAY) is None
    world.end("more", images=False)
    world.sequencer().turn()
    assert stamp_day(world.log, authority, NOW + DAY) == "2026-12-01"
    assert tsa.requests == 2
    assert world.audit().findings == []


def test_a_log_that_does_not_grow_is_not_stamped_again_on_any_later_day(
    world: LoggedEvidence, tsa: TimestampAuthority
) -> None:
    authority = Authority(tsa.url)
    stamped = [stamp_day(world.log, authority, NOW + day * DAY) for day in range(5)]
    assert stamped == ["2026-11-30", None, None, None, None]
    world.end("more", images=False)
    world.sequencer().turn()
    assert stamp_day(world.log, authority, NOW + 5 * DAY) == "2026-12-05"
    assert world.audit().findings == []


def test_an_empty_log_is_not_stamped(redis: redis_py.Redis, tmp_path: Path, tsa: TimestampAuthority) -> None:
    empty = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    assert stamp_day(empty.log, Authority(tsa.url), NOW) is None
    assert tsa.requests == 0


def test_a_process_that_was_killed_between_its_two_files_is_continued(
    world: LoggedEvidence, tsa: TimestampAuthority
) -> None:
    tsa.answer = 500
    with pytest.raises(TimestampUnavailable, match="HTTP 500"):
        stamp_day(world.log, Authority(tsa.url), NOW)
    world.end("more", images=False)
    world.sequencer().turn()
    tsa.answer = None
    assert stamp_day(world.log, Authority(tsa.url), NOW) == "2026-11-30"
    stem = world.folder / "timestamps/2026-11-30"
    assert b"\n3\n" in stem.with_suffix(".checkpoint").read_bytes()
    assert tsa.accepts(stem.with_suffix(".tsr"), stem.with_suffix(".checkpoint"))


@pytest.mark.parametrize("answer", [b"", b"\x30\x03\x02\x01\x02", b"<html>", bytes(MAX_ANSWER + 1), 404, 503])
def test_any_other_answer_is_no_timestamp(
    world: LoggedEvidence, tsa: TimestampAuthority, answer: bytes | int
) -> None:
    tsa.answer = answer
    with pytest.raises(TimestampUnavailable, match="the timestamp authority"):
        stamp_day(world.log, Authority(tsa.url), NOW)
    assert not (world.folder / "timestamps/2026-11-30.tsr").exists()


def test_the_timestamp_of_another_text_and_an_old_one_are_refused(
    world: LoggedEvidence, tsa: TimestampAuthority
) -> None:
    authority = Authority(tsa.url)
    note = (world.folder / "checkpoint").read_bytes()
    tsa.answer = authority.stamp(b"another text")
    with pytest.raises(TimestampUnavailable, match="another text"):
        authority.stamp(note)
    tsa.answer = None
    tsa.answer = authority.stamp(note)
    with pytest.raises(TimestampUnavailable, match="old timestamp"):
        authority.stamp(note)


def test_an_authority_that_is_not_there_is_one_line() -> None:
    with pytest.raises(TimestampUnavailable, match="does not answer"):
        Authority(f"http://127.0.0.1:{free_port()}/").stamp(b"text")


def test_changed_and_strange_timestamps_are_found(world: LoggedEvidence, tsa: TimestampAuthority) -> None:
    stamp_day(world.log, Authority(tsa.url), NOW)
    stem = world.folder / "timestamps/2026-11-30"
    good = stem.with_suffix(".tsr").read_bytes()
    stem.with_suffix(".tsr").write_bytes(Authority(tsa.url).stamp(b"another"))
    stem.with_name("2026-11-29.tsr").write_bytes(good)
    stem.with_name("notes.txt").write_bytes(b"")
    found = {(finding.kind.value, finding.path.rpartition("/")[2]) for finding in world.audit().findings}
    assert found == {("changed", "2026-11-30.tsr"), ("changed", "2026-11-29.tsr"), ("added", "notes.txt")}
    assert f"log/{REGION}/timestamps/notes.txt" in {finding.path for finding in world.audit().findings}
