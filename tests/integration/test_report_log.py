"""A report states the state of the evidence log that it was computed at."""

from __future__ import annotations

import base64
import json
import re
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.support.logged_evidence import PRIVATE, PUBLIC, REGION, LoggedEvidence, names
from worker.cli.program import run
from worker.errors import LogDamaged
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.log.log_keys import LogKeys, new_log_key
from worker.records.report.log_comparison import LogComparison
from worker.records.report.month import Month
from worker.records.report.reading import MonthReader, checkpoints
from worker.records.report.report import Checkpoint
from worker.settings import current

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

MARCH = datetime(2026, 3, 10, tzinfo=UTC)
MONTH = Month(2026, 3)


@pytest.fixture
def logged(redis: redis_py.Redis, tmp_path: Path) -> LoggedEvidence:
    made = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    made.end(*names(5), images=False, decided_at=MARCH)
    made.sequencer().turn()
    return made


def test_the_checkpoint_of_each_region_with_a_log_is_read_with_the_public_key(logged: LoggedEvidence) -> None:
    published = logged.log.checkpoint()
    assert published is not None
    assert published.size == 5
    expected = Checkpoint(REGION, 5, base64.b64encode(published.root).decode())
    for key in (PRIVATE, PUBLIC):
        assert checkpoints(logged.evidence, LogKeys.parse(key), (REGION, "sg")) == (expected,)


def test_the_log_lies_beside_the_evidence_and_is_not_counted(logged: LoggedEvidence) -> None:
    reader = MonthReader(Month(2026, 3))
    reader.read(logged.evidence, (REGION, "sg"))
    assert reader.figures().decided == 5
    assert reader.coverage().unreadable == 0


def compared(logged: LoggedEvidence, *, month: Month = MONTH) -> tuple[int, int | None, int | None]:
    """Return how many were decided in March, how many of them are not logged, and how many of the log are missing."""
    reader = MonthReader(month, logs={REGION: LogComparison(logged.log)})
    reader.read(logged.evidence, (REGION,))
    coverage = reader.coverage()
    return reader.figures().decided, coverage.not_logged, coverage.missing


def erase(logged: LoggedEvidence, signature_id: str, *, in_log: bool = True) -> None:
    folder = logged.root / REGION / signature_id
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "key.json").write_bytes(dump_key(Tombstone("2026-03-31T00:00:00Z", "5c" * 32)))
    if in_log:
        logged.queue.add(REGION, [signature_id])
        logged.sequencer().turn()


def test_a_report_without_a_log_key_compares_nothing(logged: LoggedEvidence) -> None:
    reader = MonthReader(MONTH)
    reader.read(logged.evidence, (REGION,))
    assert (reader.coverage().not_logged, reader.coverage().missing) == (None, None)


def test_what_was_added_to_the_store_is_counted_as_not_logged(logged: LoggedEvidence) -> None:
    assert compared(logged) == (5, 0, 0)
    logged.store("planted", images=False, decided_at=MARCH)
    assert compared(logged) == (6, 1, 0)
    assert compared(logged, month=Month(2026, 4)) == (0, 0, 0)
    logged.end("planted")
    logged.sequencer().turn()
    assert compared(logged) == (6, 0, 0)


def test_a_decision_that_was_removed_or_replaced_is_missing(logged: LoggedEvidence) -> None:
    first, second = (logged.root / REGION / name for name in names(2))
    shutil.rmtree(first)
    assert compared(logged) == (4, 0, 1)
    (second / "decision.json").unlink()
    logged.store(second.name, images=False, decided_at=MARCH)
    assert compared(logged) == (4, 1, 2)
    # The month of what is missing is not known.
    assert compared(logged, month=Month(2026, 4)) == (0, 0, 2)


def test_an_erasure_in_the_log_explains_one_decision(logged: LoggedEvidence) -> None:
    erased, removed, *_ = names(5)
    erase(logged, erased)
    assert compared(logged) == (4, 0, 0)
    shutil.rmtree(logged.root / REGION / removed)
    assert compared(logged) == (3, 0, 1)
    # The ids of a commit are signed: an erasure cannot be made to explain the removal of another verification.
    commit = logged.folder / "commits" / f"{1:012}"
    commit.write_text(commit.read_text().replace(removed, erased))
    with pytest.raises(LogDamaged, match="than it was signed with"):
        compared(logged)


def test_a_planted_tombstone_explains_nothing(logged: LoggedEvidence) -> None:
    erase(logged, names(1)[0], in_log=False)
    assert compared(logged) == (4, 0, 1)


def test_what_is_logged_during_the_reading_is_logged(logged: LoggedEvidence) -> None:
    logged.end("late", images=False, decided_at=MARCH)
    reader = MonthReader(MONTH, logs={REGION: LogComparison(logged.log)})
    logged.sequencer().turn()
    logged.end("later", images=False, decided_at=MARCH)
    logged.sequencer().turn()
    shutil.rmtree(logged.root / REGION / "later")
    reader.read(logged.evidence, (REGION,))
    assert (reader.coverage().not_logged, reader.coverage().missing) == (0, 0)


def test_a_log_whose_end_is_cut_off_or_changed_makes_no_report(logged: LoggedEvidence) -> None:
    logged.end("more", images=False, decided_at=MARCH)
    logged.sequencer().turn()
    commits = logged.folder / "commits"
    last = commits / f"{2:012}"
    body = last.read_text()
    last.unlink()
    with pytest.raises(LogDamaged, match="cut off"):
        compared(logged)
    last.write_text(re.sub('"decision":"[0-9a-f]{64}"', f'"decision":"{"0" * 64}"', body))
    with pytest.raises(LogDamaged):
        compared(logged)


def test_the_command_counts_what_differs_and_exits_with_1(
    logged: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EKYC_EVIDENCE_URL", logged.url)
    monkeypatch.setenv("EKYC_LOG_KEY", PUBLIC)
    current.cache_clear()
    try:
        logged.store("planted", images=False, decided_at=MARCH)
        assert run(["report", "--month", "2026-03", "--json"]) == 1
        said = capsys.readouterr()
        assert json.loads(said.out)["evidence"]["not_logged"] == 1
        assert (
            "1 decision of 2026-03 cannot be found in the log: run `ekyc evidence verify --all`" in said.err
        )
        for name in ("planted", names(1)[0]):
            shutil.rmtree(logged.root / REGION / name)
        assert run(["report", "--month", "2026-03", "--json"]) == 1
        said = capsys.readouterr()
        assert json.loads(said.out)["evidence"]["logged_and_missing"] == 1
        assert "1 decision of the log cannot be found in the store" in said.err
    finally:
        current.cache_clear()


def test_a_month_that_goes_on_may_have_decisions_that_are_not_logged_yet(
    logged: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC)
    monkeypatch.setenv("EKYC_EVIDENCE_URL", logged.url)
    monkeypatch.setenv("EKYC_LOG_KEY", PUBLIC)
    current.cache_clear()
    try:
        logged.store("under-way", images=False, decided_at=now)
        assert run(["report", "--month", f"{now:%Y-%m}", "--json"]) == 0
        assert "cannot be found in the log yet" in capsys.readouterr().err
    finally:
        current.cache_clear()


def test_a_checkpoint_that_another_key_signed_is_no_checkpoint(logged: LoggedEvidence) -> None:
    _, other = new_log_key("kyc.example/evidence")
    with pytest.raises(LogDamaged):
        checkpoints(logged.evidence, LogKeys.parse(other), (REGION,))


def test_the_command_states_the_checkpoint(
    logged: LoggedEvidence, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EKYC_EVIDENCE_URL", logged.url)
    monkeypatch.setenv("EKYC_LOG_KEY", PUBLIC)
    current.cache_clear()
    try:
        assert run(["report", "--month", "2026-03", "--json"]) == 0
        (stated,) = json.loads(capsys.readouterr().out)["log"]
        assert (stated["region"], stated["size"]) == (REGION, 5)
        assert run(["report", "--month", "2026-03"]) == 0
        assert stated["root"] in capsys.readouterr().out
        monkeypatch.setenv("EKYC_LOG_KEY", "PRIVATE")
        current.cache_clear()
        assert run(["report", "--month", "2026-03"]) == 2
        assert "EKYC_LOG_KEY: key 1 cannot be read" in capsys.readouterr().err
    finally:
        current.cache_clear()
