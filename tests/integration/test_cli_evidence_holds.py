"""`ekyc evidence hold` and `release` with several holds on one verification."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from operator import methodcaller
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.support.kept_evidence import keep
from tests.support.logged_evidence import PRIVATE
from tests.support.ports import free_port
from worker.cli.evidence.legal_hold import release as released
from worker.errors import InvalidInput
from worker.evidence.marks import Act
from worker.evidence.store import Evidence
from worker.ledger.audit import AuditLog
from worker.ledger.erasures import Erasures

AT = datetime(2027, 1, 31, tzinfo=UTC)

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc
    from worker.evidence.lifecycle import Lifecycle


@pytest.fixture
def ekyc(ekyc: Ekyc, tmp_path: Path) -> Ekyc:
    evidence = Evidence((tmp_path / "evidence").as_uri())
    keep(evidence, "ph", "one")
    return ekyc.with_env(EKYC_EVIDENCE_URL=evidence.url, LOGNAME="maria", EKYC_LOG_KEY=PRIVATE)


def test_a_release_while_redis_is_away_changes_nothing(ekyc: Ekyc, tmp_path: Path, redis: Redis) -> None:
    away = ekyc.with_env(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert ekyc("evidence", "hold", "one", "--why", "case 7").code == 0
    assert away("evidence", "release", "one", "--why", "over").code == 1
    lifecycle = Evidence((tmp_path / "evidence").as_uri()).lifecycle("ph", "one")
    assert lifecycle.holds().in_force
    assert ekyc("evidence", "release", "one", "--why", "over").code == 0
    assert [each.act for each in AuditLog(redis).entries()] == ["evidence_release", "evidence_hold"]


def test_a_hold_that_cannot_be_recorded_is_not_placed(ekyc: Ekyc, tmp_path: Path, redis: Redis) -> None:
    redis.set("ekyc:{ph}:audit:evidence", "junk")
    assert ekyc("evidence", "hold", "one", "--why", "case 7").code == 1
    assert not Evidence((tmp_path / "evidence").as_uri()).lifecycle("ph", "one").holds().holds
    assert not Erasures(redis).is_held("ph", "one")


def test_a_release_that_was_killed_halfway_is_recorded_by_the_next_one(
    ekyc: Ekyc, tmp_path: Path, redis: Redis
) -> None:
    assert ekyc("evidence", "hold", "one", "--why", "case 7").code == 0
    lifecycle = Evidence((tmp_path / "evidence").as_uri()).lifecycle("ph", "one")
    lifecycle.change_holds(lambda known: known.releasing(Act(datetime.now(UTC), "ben", "over")))
    ended = ekyc("evidence", "release", "one", "--why", "over")
    assert (ended.code, ended.err) == (
        0,
        "ekyc: the hold was released already, and the ledger knows it now, too\n",
    )
    assert [each.act for each in AuditLog(redis).entries()] == ["evidence_release", "evidence_hold"]
    assert not Erasures(redis).is_held("ph", "one")


def test_a_hold_that_is_placed_during_a_release_stays_in_force_for_the_ledger(
    ekyc: Ekyc, tmp_path: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ekyc("evidence", "hold", "one", "--why", "case 7").code == 0
    lifecycle = Evidence((tmp_path / "evidence").as_uri()).lifecycle("ph", "one")
    release = Erasures.release

    def late(self: Erasures, region: str, signature_id: str) -> None:
        act = Act(datetime.now(UTC), "judge", "case 8")
        self.hold(region, signature_id)
        lifecycle.change_holds(lambda known: known.placing(act))
        release(self, region, signature_id)

    monkeypatch.setattr(Erasures, "release", late)
    for name, value in ekyc.env.items():
        monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(released, ["one", "--why", "over"])
    assert (ended.exit_code, "judge: case 8" in ended.output) == (0, True)
    assert Erasures(redis).is_held("ph", "one")


def test_each_matter_has_its_hold_and_a_release_names_all_that_it_ends(ekyc: Ekyc) -> None:
    first = ekyc("evidence", "hold", "one", "--why", "case 7")
    assert (first.out.count("is on legal hold since"), first.err) == (1, "")
    second = ekyc("evidence", "hold", "one", "--why", "case 8", "--who", "judge")
    assert [line.partition(" (")[2] for line in second.out.splitlines()] == [
        "maria: case 7)",
        "judge: case 8)",
    ]
    assert second.err == "ekyc: a hold was in force already: both count, and a release ends both\n"
    again = ekyc("evidence", "hold", "one", "--why", "case 8", "--who", "judge", "--json")
    assert [each["why"] for each in json.loads(again.out)["holds"]] == ["case 7", "case 8"]
    assert again.err == "ekyc: you placed this hold before, for the same reason: nothing is added\n"
    refused = ekyc("evidence", "erase", "one", "--why", "asked", "--without-vendor", "--yes")
    assert (refused.code, "is on legal hold" in refused.err) == (1, True)
    ended = ekyc("evidence", "release", "one", "--why", "both are closed")
    assert (ended.code, ended.out) == (0, "ph/one is not on legal hold\n")
    assert [line.partition(" (")[2] for line in ended.err_lines] == ["maria: case 7)", "judge: case 8)"]
    nothing = ekyc("evidence", "release", "one", "--why", "both are closed")
    assert nothing.err == "ekyc: there was no hold to release: check the id\n"
    assert ekyc("evidence", "erase", "one", "--why", "asked", "--without-vendor", "--yes").code == 0


def test_no_hold_is_stored_that_could_not_be_read_or_released(tmp_path: Path) -> None:
    """Also with the longest texts, of which each character takes twelve bytes."""
    long = "\U0001f4a5" * 200
    for name, rounds in (("many in force", 1), ("one after the other", 200)):
        lifecycle = Evidence((tmp_path / "evidence").as_uri()).lifecycle("ph", name.replace(" ", "-"))
        (tmp_path / "evidence" / "ph" / name.replace(" ", "-")).mkdir(parents=True)

        def fill(lifecycle: Lifecycle = lifecycle, rounds: int = rounds) -> None:
            for number in range(1000):
                act = Act(AT, f"{number}{long}"[:200], long)
                lifecycle.change_holds(methodcaller("placing", act))
                if rounds > 1:
                    lifecycle.change_holds(lambda known: known.releasing(Act(AT, long, long)))

        with pytest.raises(InvalidInput, match="no more can be stored"):
            fill()
        if rounds > 1:
            assert len(lifecycle.holds().holds) > 10
        else:
            assert len(lifecycle.holds().all_in_force) == 20
        assert lifecycle.change_holds(lambda known: known.releasing(Act(AT, long, long))).in_force is None
        assert lifecycle.holds().in_force is None
