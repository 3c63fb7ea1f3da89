"""Where `ekyc` finds evidence: no command creates a store, and a region is found by the id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import decide
from tests.support.kept_evidence import keep
from tests.support.logged_evidence import PRIVATE, PUBLIC
from worker.errors import EvidenceUnavailable
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key
from worker.signatures import format_private_key, new_private_key

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc
    from worker.ledger import Ledger

KEYS: Final = format_key(new_key("first"))
WHY: Final = ("--why", "case 7")
QUIETLY: Final = ("--without-vendor", "--yes")


@pytest.fixture
def ekyc(ekyc: Ekyc, tmp_path: Path) -> Ekyc:
    return ekyc.with_env(
        EKYC_EVIDENCE_URL=(tmp_path / "evidence").as_uri(),
        EKYC_EVIDENCE_KEYS=KEYS,
        EKYC_LOG_KEY=PRIVATE,
        EKYC_SIGNING_KEY=format_private_key(new_private_key()),
        LOGNAME="maria",
    )


COMMANDS: Final = [
    ("evidence", "list"),
    ("evidence", "show", "one"),
    ("evidence", "verify", "--all"),
    ("evidence", "verify", "--all", "--key", PUBLIC, "--offline"),
    ("evidence", "export", "one", *WHY, "--output", "case.tar"),
    ("evidence", "hold", "one", "--region", "ph", *WHY),
    ("evidence", "release", "one", "--region", "ph", *WHY),
    ("evidence", "retain"),
    ("evidence", "retain", "--sweep", *QUIETLY),
    ("evidence", "erase", "one", "--region", "ph", *WHY, *QUIETLY),
    ("evidence", "certificate", "one", "--region", "ph"),
    ("evidence", "rotate"),
    ("evidence", "sequence"),
    ("report", "--month", "2026-03", "--json"),
    ("ledger", "accept", "--yes"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:3]))
def test_a_mistyped_folder_is_one_line_and_is_not_created(
    ekyc: Ekyc, tmp_path: Path, command: tuple[str, ...]
) -> None:
    wrong = tmp_path / "evidense"
    places = {"EKYC_EVIDENCE_URL": wrong.as_uri(), "EKYC_EVIDENCE_KEYS_URL": (tmp_path / "keis").as_uri()}
    ended = ekyc.with_env(**places)(*command)
    assert ended.code == 2
    assert ended.err_lines == [
        f"ekyc: EKYC_EVIDENCE_URL: there is no folder {wrong}: give the workers' setting"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS[:-1], ids=lambda command: " ".join(command[:3]))
def test_the_folder_under_a_disk_that_is_not_mounted_is_no_empty_store(
    ekyc: Ekyc, tmp_path: Path, command: tuple[str, ...]
) -> None:
    root = tmp_path / "under"
    root.mkdir()
    ended = ekyc.with_env(EKYC_EVIDENCE_URL=root.as_uri())(*command)
    assert ended.code == 2
    assert ended.err_lines == [
        f"ekyc: EKYC_EVIDENCE_URL: the folder {root} is empty: mount its disk, or give the workers' setting"
    ]
    assert list(root.iterdir()) == []


def test_a_mistyped_place_of_the_keys_is_not_created_either(ekyc: Ekyc, tmp_path: Path) -> None:
    keep(Evidence((tmp_path / "evidence").as_uri(), keys=KEYS), "ph", "one")
    wrong = ekyc.with_env(EKYC_EVIDENCE_KEYS_URL=(tmp_path / "keis").as_uri())
    for command in COMMANDS[:4]:
        assert "Traceback" not in wrong(*command).err
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]


def test_a_reader_that_creates_nothing_waits_for_the_folder(tmp_path: Path) -> None:
    one = Evidence((tmp_path / "evidence").as_uri(), creates=False).of("ph", "one")
    with pytest.raises(EvidenceUnavailable):
        one.files()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "evidence").mkdir()
    assert one.files() == ()


def test_the_doctor_creates_no_place_of_keys(ekyc: Ekyc, tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    places = {"EKYC_EVIDENCE_KEYS_URL": (tmp_path / "keis").as_uri()}
    checks = json.loads(ekyc.with_env(**places)("doctor", "--json").out)["checks"]
    (found,) = [each for each in checks if each["check"] == "evidence"]
    assert (found["level"], found["said"].startswith(f"{tmp_path / 'keis'} does not exist yet")) == (
        "warning",
        True,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]


def test_the_region_of_one_verification_is_found_by_its_evidence(
    ekyc: Ekyc, tmp_path: Path, redis: Redis
) -> None:
    evidence = Evidence((tmp_path / "evidence").as_uri(), keys=KEYS)
    keep(evidence, "sg", "one")
    assert ekyc("evidence", "hold", "one", *WHY).out.startswith("sg/one is on legal hold since ")
    assert ekyc("evidence", "release", "one", *WHY).out == "sg/one is not on legal hold\n"
    assert ekyc("evidence", "retain", "one").out.startswith("sg/one (approve, ")
    closed = ekyc("evidence", "retain", "one", "--closed", "2026-11-30", "--json")
    assert json.loads(closed.out)[0]["closed_at"] == "2026-11-30T00:00:00.000Z"
    erased = ekyc("evidence", "erase", "one", *WHY, *QUIETLY)
    assert (erased.code, '"region": "sg"' in erased.out) == (0, True), erased.err
    assert ekyc("evidence", "certificate", "one").out == erased.out
    assert redis.exists("ekyc:{sg}:v:one")
    assert not redis.exists("ekyc:{ph}:v:one")


def test_several_ids_may_be_of_several_regions_and_nothing_is_closed_if_one_is_unknown(
    ekyc: Ekyc, tmp_path: Path
) -> None:
    evidence = Evidence((tmp_path / "evidence").as_uri(), keys=KEYS)
    keep(evidence, "sg", "one")
    keep(evidence, "ph", "two")
    ended = ekyc("evidence", "retain", "one", "two", "three", "--closed", "2026-11-30")
    assert (ended.code, len(ended.err_lines)) == (2, 1)
    rows = json.loads(ekyc("evidence", "retain", "one", "two", "--json").out)
    assert [(row["region"], row["closed_at"]) for row in rows] == [("sg", None), ("ph", None)]


@pytest.mark.parametrize("command", ["hold", "release", "retain", "erase", "certificate"])
def test_an_id_of_two_regions_or_of_none_is_one_line(ekyc: Ekyc, tmp_path: Path, command: str) -> None:
    evidence = Evidence((tmp_path / "evidence").as_uri(), keys=KEYS)
    keep(evidence, "ph", "both")
    keep(evidence, "sg", "both")
    more: tuple[str, ...] = () if command in {"retain", "certificate"} else WHY
    more += QUIETLY if command == "erase" else ()
    both, none = ekyc("evidence", command, "both", *more), ekyc("evidence", command, "none", *more)
    assert (both.code, none.code) == (2, 2)
    (line,) = both.err_lines
    assert line.endswith("in ph and sg: pass --region")
    (line,) = none.err_lines
    assert "none in ph or sg" in line


def test_what_only_the_ledger_knows_is_erased_where_the_ledger_has_it(
    ekyc: Ekyc, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "evidence" / "ledger").mkdir(parents=True)
    decide(ledger, "two", region="sg")
    ledger.enqueue([EnqueueRequest("one", "sg")])
    under_way = ekyc("evidence", "erase", "one", *WHY, *QUIETLY)
    assert under_way.err_lines[0].startswith("ekyc: sg/one is under way")
    assert '"region": "sg"' in ekyc("evidence", "erase", "two", *WHY, *QUIETLY).out
