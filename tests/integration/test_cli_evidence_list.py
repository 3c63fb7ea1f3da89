"""`ekyc evidence list`: the store by region, time, state and decision, in an order from which it goes on."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cli_process import Ekyc, Ended
from tests.support.kept_evidence import PERSON, keep
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key

if TYPE_CHECKING:
    from pathlib import Path

KEYS = format_key(new_key("first"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return (tmp_path / "evidence").as_uri()


@pytest.fixture
def evidence(url: str) -> Evidence:
    return Evidence(url, keys=KEYS)


@pytest.fixture
def ekyc(url: str) -> Ekyc:
    return Ekyc({"EKYC_EVIDENCE_URL": url, "EKYC_EVIDENCE_KEYS": KEYS, "ADVANCE_REGIONS": "ph,sg"})


def lines(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def ids(ekyc: Ekyc, *options: str) -> list[str]:
    return [each["signature_id"] for each in lines(ekyc("evidence", "list", "--json", *options))]


def aged(tmp_path: Path, signature_id: str, day: datetime) -> None:
    for file in (tmp_path / "evidence" / "ph" / signature_id).iterdir():
        os.utime(file, (day.timestamp(), day.timestamp()))


def test_an_empty_store_says_so(ekyc: Ekyc, evidence: Evidence, url: str) -> None:
    evidence.check()
    assert ekyc("evidence", "list").out == f"no such evidence in ph or sg at {url}\n"
    assert lines(ekyc("evidence", "list", "--json")) == []


def test_each_verification_is_a_line_without_anything_personal(ekyc: Ekyc, evidence: Evidence) -> None:
    keep(evidence, "ph", "b")
    keep(evidence, "ph", "a", archived=False)
    keep(evidence, "sg", "c")
    ended = ekyc("evidence", "list")
    rows = [line.split() for line in ended.out.splitlines()]
    assert rows[0] == ["region", "stored", "state", "files", "bytes", "id"]
    assert [(row[0], row[2], row[3], row[5]) for row in rows[1:]] == [
        ("ph", "open", "2", "a"),
        ("ph", "archived", "4", "b"),
        ("sg", "archived", "4", "c"),
    ]
    assert PERSON not in ended.out
    (first, *_) = lines(ekyc("evidence", "list", "--json"))
    assert first["files"] == ["answer.json", "decision.json"]
    assert first["size_bytes"] > 0
    assert datetime.fromisoformat(first["stored_at"]) <= datetime.now(UTC)


def test_a_list_goes_on_after_any_id(ekyc: Ekyc, evidence: Evidence) -> None:
    everyone = [("ph", name) for name in ("-x", "a", "a-b", "b")] + [("sg", "a")]
    for region, name in everyone:
        keep(evidence, region, name, archived=False)
    every = lines(ekyc("evidence", "list", "--json"))
    assert sorted((each["region"], each["signature_id"]) for each in every) == sorted(everyone)
    order = [f"{each['region']}/{each['signature_id']}" for each in every]
    for number, place in enumerate(order, start=1):
        rest = lines(ekyc("evidence", "list", "--json", f"--after={place}"))
        assert [f"{each['region']}/{each['signature_id']}" for each in rest] == order[number:]
    page = ekyc("evidence", "list", "--limit", "2")
    assert page.out.splitlines()[-1] == f"there are more: pass --after {order[1]}, or --limit 0"
    assert len(ekyc("evidence", "list", "--limit", "0").out.splitlines()) == 1 + len(order)
    assert "there are more" not in ekyc("evidence", "list", "--limit", "5").out


def test_a_time_selects_by_the_first_file(ekyc: Ekyc, evidence: Evidence, tmp_path: Path) -> None:
    for name, day in (("old", 1), ("middle", 10), ("new", 20)):
        keep(evidence, "ph", name, archived=False)
        aged(tmp_path, name, datetime(2026, 1, day, tzinfo=UTC))
    assert ids(ekyc, "--since", "2026-01-10") == ["middle", "new"]
    assert ids(ekyc, "--until", "2026-01-10") == ["old"]
    assert ids(ekyc, "--since", "2026-01-10T00:00:00+00:00", "--until", "2026-01-20T00:00:01Z") == [
        "middle",
        "new",
    ]
    assert ids(ekyc, "--since", "1h") == []


def test_state_region_and_decision_select(ekyc: Ekyc, evidence: Evidence) -> None:
    keep(evidence, "ph", "done", decision="review")
    keep(evidence, "ph", "open", archived=False)
    keep(evidence, "sg", "other", decision="review")
    erased = keep(evidence, "ph", "gone", archived=False)
    raw = evidence.keys.read(erased.folder)
    assert raw
    tombstone = dump_key(Tombstone("2026-11-30T00:00:00Z", "0" * 64))
    assert evidence.keys.replace(erased.folder, tombstone, expected=raw)
    for name in ("answer.json", "decision.json"):
        evidence._backend.remove(f"{erased.folder}/{name}")
    assert ids(ekyc, "--state", "open") == ["open"]
    assert ids(ekyc, "--state", "erased") == ["gone"]
    assert ids(ekyc, "--decision", "review") == ["done", "other"]
    assert ids(ekyc, "--decision", "review", "--region", "sg") == ["other"]
    assert lines(ekyc("evidence", "list", "--json", "--decision", "review"))[0]["decision"] == "review"


def test_a_damaged_decision_is_said_and_the_rest_is_listed(
    ekyc: Ekyc, evidence: Evidence, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        keep(evidence, "ph", name, archived=False)
    damaged = tmp_path / "evidence" / "ph" / "b" / "decision.json"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    ended = ekyc("evidence", "list", "--json", "--decision", "approve")
    assert ended.code == 1
    assert [json.loads(line)["signature_id"] for line in ended.out.splitlines()] == ["a", "c"]
    (fault,) = ended.err_lines
    assert fault.startswith("ekyc: ")
    assert "ph/b/decision.json does not open" in fault


def test_a_decision_under_an_unknown_key_is_said_and_the_rest_is_listed(
    ekyc: Ekyc, evidence: Evidence, url: str
) -> None:
    keep(evidence, "ph", "a", archived=False)
    keep(Evidence(url, keys=f"other:{b64encode(b'o' * 32).decode()}"), "ph", "b", archived=False)
    keep(evidence, "ph", "c", archived=False)
    ended = ekyc("evidence", "list", "--json", "--decision", "approve")
    assert ended.code == 1
    assert [json.loads(line)["signature_id"] for line in ended.out.splitlines()] == ["a", "c"]
    (fault,) = ended.err_lines
    assert "ph/b/key.json is wrapped under the key other" in fault
    # Without any key the setting is missing.
    ended = ekyc.with_env(EKYC_EVIDENCE_KEYS="")("evidence", "list", "--json", "--decision", "approve")
    assert (ended.code, ended.out, len(ended.err_lines)) == (1, "", 1)
    assert "EKYC_EVIDENCE_KEYS is not set here" in ended.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--since", "yesterday"), "must be a day such as 2026-11-01"),
        (("--since", "2026-11-01T08:00:00"), "must be a day such as 2026-11-01"),
        (("--until", "2026-13-01"), "must be a day such as 2026-11-01"),
        (("--after", "ph"), "must be REGION/ID"),
        (("--after", "xx/a"), "must be REGION/ID"),
        (("--after", "my/a"), "my is not among the regions that are listed, ph, sg"),
    ],
)
def test_invalid_input_is_one_line(ekyc: Ekyc, options: tuple[str, ...], says: str) -> None:
    ended = ekyc("evidence", "list", *options)
    assert ended.code == 2
    (line,) = ended.err_lines
    assert says in line


def test_a_store_that_is_gone_is_one_line(ekyc: Ekyc) -> None:
    ended = ekyc.with_env(EKYC_EVIDENCE_URL="file:///dev/null/evidence")("evidence", "list")
    assert ended.code == 1
    (line,) = ended.err_lines
    assert line.startswith("ekyc: evidence cannot be listed at file:///dev/null/evidence: not a directory;")
