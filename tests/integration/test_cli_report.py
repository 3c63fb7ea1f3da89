"""`ekyc report`: a month from the stored evidence, a sample of its approvals, and the verdicts on it."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from schemas.decision import EvidenceRef
from tests.support.cli_process import Ekyc, Terminal
from tests.support.kept_decisions import DECIDED_AT, PERSON, keep_decision, write_decision
from worker.cli.program import run
from worker.evidence.decision_record import Course
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.manifest import Manifest, Missing
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MARCH: Final = ("report", "--month", "2026-03")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def members(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


@pytest.fixture
def evidence(root: Path) -> Evidence:
    return Evidence(root.as_uri())


@pytest.fixture
def ekyc(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """Return a function that runs a command line in this process. `keys`: EKYC_EVIDENCE_KEYS."""
    for name in list(os.environ):
        if name.startswith(("EKYC_", "ADVANCE_", "REDIS_", "CELERY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EKYC_EVIDENCE_URL", root.as_uri())

    def command(*arguments: str, keys: str = "") -> Ended:
        monkeypatch.setenv("EKYC_EVIDENCE_KEYS", keys)
        current.cache_clear()
        code = run(arguments)
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    yield command
    current.cache_clear()


def verdicts(path: Path, listed: str, verdict: str = "right") -> Path:
    """Fill a list of a sample with one verdict."""
    head, *rows = listed.splitlines()
    path.write_text("\n".join([head, *(f"{row}{verdict}" for row in rows)]) + "\n")
    return path


def test_a_month_is_counted_from_the_evidence_alone(evidence: Evidence, ekyc: Callable[..., Ended]) -> None:
    for number in range(6):
        keep_decision(evidence, f"approved-{number}", took_s=10 * (number + 1))
    keep_decision(evidence, "rejected", "reject", region="sg")
    keep_decision(evidence, "earlier", decided_at=datetime(2026, 2, 28, 23, 59, 59, 999000, tzinfo=UTC))
    keep_decision(evidence, "later", decided_at=datetime(2026, 4, 1, tzinfo=UTC))
    keep_decision(evidence, "first", decided_at=datetime(2026, 3, 1, tzinfo=UTC), took_s=70)
    ended = ekyc(*MARCH, "--json")
    assert (ended.code, ended.err) == (0, "")
    found = ended.members
    assert found["decided"] == 8
    assert found["outcomes"] == [
        {"outcome": "approve", "count": 7, "rate": 0.875},
        {"outcome": "reject", "count": 1, "rate": 0.125},
    ]
    assert {each["name"]: each["count"] for each in found["regions"]} == {"my": 7, "sg": 1}
    assert {each["name"]: each["count"] for each in found["document_types"]} == {"MY-ID-MYKAD": 8}
    assert found["times"]["by_outcome"]["approve"]["median_s"] == 40
    assert found["month_is_over"] is True
    only = ekyc(*MARCH, "--json", "--region", "sg").members
    assert (only["decided"], only["regions_read"]) == (1, ["sg"])


def test_the_fleets_evidence_is_reported_by_each_format_and_nothing_personal_is_in_it(
    evidence: Evidence, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    for number in range(3):
        keep_decision(evidence, f"signature-{number}")
    page, table, members = (ekyc(*MARCH, "--format", form) for form in ("html", "csv", "json"))
    assert page.out.startswith("<!DOCTYPE html>")
    assert "outcomes,approve,count,3\r\n" in table.out
    assert members.members["decided"] == 3
    file = tmp_path / "report.html"
    assert ekyc(*MARCH, "--output", str(file)).out == ""
    assert file.read_text().startswith("<!DOCTYPE html>")
    for text in (page.out, table.out, members.out, file.read_text()):
        assert PERSON not in text
        assert "signature-" not in text
        assert str(evidence.url) not in text


def test_encrypted_evidence_is_read_with_its_keys_and_refused_without(
    root: Path, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    keys = format_key(new_key("first"))
    for number in range(3):
        keep_decision(Evidence(root.as_uri(), keys=keys), f"id-{number}")
    assert ekyc(*MARCH, "--json", keys=keys).members["decided"] == 3
    ended = ekyc(*MARCH, "--output", str(tmp_path / "report"))
    assert (ended.code, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    assert "EKYC_EVIDENCE_KEYS is not set here" in ended.err
    assert not (tmp_path / "report").exists()


def test_a_store_that_does_not_exist_is_no_empty_month(root: Path, ekyc: Callable[..., Ended]) -> None:
    ended = ekyc(*MARCH)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"ekyc: EKYC_EVIDENCE_URL: there is no folder {root}: give the workers' setting\n"
    assert not root.exists()


def test_a_month_without_data_is_a_page_that_says_so(root: Path, ekyc: Callable[..., Ended]) -> None:
    (root / "ledger").mkdir(parents=True)
    ended = ekyc(*MARCH)
    assert ended.code == 0
    assert "holds no verification that was decided in March 2026" in ended.out
    assert ended.err == "ekyc: no verification was decided in 2026-03 in sg, ph, th, my, vn, global\n"
    assert ekyc(*MARCH, "--json").members["decided"] == 0


def test_the_month_that_is_not_over_is_reported_so_far(
    evidence: Evidence, ekyc: Callable[..., Ended]
) -> None:
    now = datetime.now(UTC)
    keep_decision(evidence, "id-1", decided_at=now)
    found = ekyc("report", "--month", f"{now:%Y-%m}", "--json").members
    assert (found["decided"], found["month_is_over"]) == (1, False)


def test_a_sample_of_a_month_that_goes_on_is_written_with_a_warning_and_its_verdicts_say_why_they_may_not_fit(
    evidence: Evidence, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    keep_decision(evidence, "id-1", decided_at=now)
    sample = ("report", "--month", f"{now:%Y-%m}", "--sample", "1", "--seed", "1")
    listed = ekyc(*sample)
    assert listed.code == 0
    assert listed.err == f"ekyc: {now:%Y-%m} is not over: each approval that follows may change the sample\n"
    assert "is not over" not in ekyc("report", "--month", f"{now:%Y-%m}", "--json").err
    keep_decision(evidence, "id-2", decided_at=now)
    drawn_now = ekyc(*sample).out
    drawn_before = (
        drawn_now.replace("id-2", "id-1") if "id-2" in drawn_now else drawn_now.replace("id-1", "id-2")
    )
    file = verdicts(tmp_path / "list.csv", drawn_before)
    ended = ekyc(*sample, "--verdicts", str(file))
    assert ended.code == 2
    assert "if they are the same, approvals were added or erased since: make a new list" in ended.err


def test_rates_of_nothing_are_not_zero(evidence: Evidence, root: Path, ekyc: Callable[..., Ended]) -> None:
    (root / "ledger").mkdir(parents=True)
    empty = ekyc(*MARCH, "--json").members
    assert {(each["rate"], each["approval_rate"]) for each in empty["days"]} == {(None, None)}
    keep_decision(evidence, "id-1")
    keep_decision(evidence, "id-2", "reject", decided_at=DECIDED_AT + timedelta(days=1))
    days = {each["name"]: each for each in ekyc(*MARCH, "--json").members["days"]}
    assert (days["2026-03-01"]["rate"], days["2026-03-01"]["approval_rate"]) == (0, None)
    assert (days["2026-03-10"]["rate"], days["2026-03-10"]["approval_rate"]) == (0.5, 1)
    assert (days["2026-03-11"]["rate"], days["2026-03-11"]["approval_rate"]) == (0.5, 0)
    rows = ekyc(*MARCH, "--format", "csv").out.splitlines()
    assert "days,2026-03-01,approval_rate," in rows
    assert "days,2026-03-11,approval_rate,0.0" in rows
    assert "report,,month_is_over,true" in rows


def test_a_sample_of_no_approvals_says_that_there_is_nothing_to_check(
    evidence: Evidence, ekyc: Callable[..., Ended]
) -> None:
    keep_decision(evidence, "id-1", "reject")
    ended = ekyc(*MARCH, "--sample", "5", "--seed", "1")
    assert ended.err == (
        "ekyc: --sample 5: no verification was decided approve in 2026-03: there is nothing to check\n"
    )


def test_what_is_not_decided_or_was_erased_is_counted_apart(
    evidence: Evidence, root: Path, ekyc: Callable[..., Ended]
) -> None:
    this_month = f"{datetime.now(UTC):%Y-%m}"
    waiting = evidence.of("my", "waiting")
    waiting.keep_answer(b"{}")
    waiting.keep_unreadable(b"<html>")
    keep_decision(evidence, "decided", decided_at=datetime.now(UTC)).keep_unreadable(b"{")
    for name, at in (
        ("erased-now", datetime.now(UTC)),
        ("erased-long-ago", datetime(2025, 1, 1, tzinfo=UTC)),
    ):
        (root / "my" / name).mkdir()
        (root / "my" / name / "key.json").write_bytes(dump_key(Tombstone(at.isoformat(), "0" * 64)))
    found = ekyc("report", "--month", this_month, "--json").members
    assert found["evidence"] == {
        "incomplete": 0, "undecided": 1, "erased": 1, "unreadable": 0, "not_logged": None, "logged_and_missing": None,
    }  # fmt: skip
    assert found["vendor"]["unreadable_answers"] == 2
    # In another month they are nothing.
    assert ekyc(*MARCH, "--json").members["evidence"]["undecided"] == 0


def test_faults_of_the_vendor_come_from_the_record_and_the_manifest(
    evidence: Evidence, ekyc: Callable[..., Ended]
) -> None:
    kept = keep_decision(
        evidence, "id-1", course=Course(vendor_faults=3), evidence=EvidenceRef("file:///e", complete=False)
    )
    kept.keep_manifest(
        Manifest(
            "id-1", "my", "PASS", "SUCCESS", None, "2026-03-10T12:00:00.000Z", complete=False, files=(),
            missing=(Missing("front", "NOT_AN_IMAGE"), Missing("back", "NOT_AN_IMAGE")), salt="0" * 32,
        )
    )  # fmt: skip
    keep_decision(evidence, "id-2", "review", reason="DEADLINE_PASSED", overall_result=None, error_code=None)
    found = ekyc(*MARCH, "--json").members
    assert found["vendor"] == {
        "recorded": 2, "faulty_answers": 3, "verifications_with_faulty_answers": 1, "unreadable_answers": 0,
        "reasons": {"DEADLINE_PASSED": 1}, "error_codes": {}, "missing_objects": {"NOT_AN_IMAGE": 2},
    }  # fmt: skip
    assert found["evidence"]["incomplete"] == 1
    assert found["reviews"] == {"count": 1, "by": {"DEADLINE_PASSED": 1}}


def test_evidence_that_cannot_be_read_is_counted_and_the_exit_code_is_1(
    evidence: Evidence, root: Path, ekyc: Callable[..., Ended]
) -> None:
    for number in range(14):
        keep_decision(evidence, f"id-{number:02}")
    for number in range(12):
        (root / "my" / f"id-{number:02}" / "decision.json").write_bytes(b'{"version":1')
    # The decision of another verification.
    (root / "my" / "id-12" / "decision.json").write_bytes(
        (root / "my" / "id-13" / "decision.json").read_bytes()
    )
    ended = ekyc(*MARCH, "--json")
    assert ended.code == 1
    assert (ended.members["decided"], ended.members["evidence"]["unreadable"]) == (1, 13)
    lines = ended.err.splitlines()
    assert len(lines) == 11
    assert all(line.startswith("ekyc: not read: ") and "decision.json" in line for line in lines[:10])
    assert lines[10] == "ekyc: the evidence of 13 verifications could not be read, 10 of them named above"


def test_a_store_that_goes_away_ends_the_command(
    evidence: Evidence, root: Path, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    for number in range(40):
        keep_decision(evidence, f"id-{number:02}")
        decision = root / "my" / f"id-{number:02}" / "decision.json"
        decision.unlink()
        decision.symlink_to(decision)  # an error of the file system, also for root
    ended = ekyc(*MARCH, "--output", str(tmp_path / "report"))
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("ekyc: evidence cannot be")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--month", "2026-13"),
            "Invalid value for '--month': give a year from 2000 on and a month, such as 2026-11",
        ),
        (("--month", "9999-12"), "--month 9999-12 is in the future"),
        ((), "Missing option '--month'"),
        (("--month", "2026-03", "--region", "mars"), "unknown region"),
        (("--month", "2026-03", "--seed", "7"), "--seed and --verdicts need --sample"),
        (("--month", "2026-03", "--verdicts", "x"), "--seed and --verdicts need --sample"),
        (("--month", "2026-03", "--sample", "5"), "--sample needs --seed"),
        (("--month", "2026-03", "--sample", "0", "--seed", "7"), "0 is not in the range x>=1"),
        (
            ("--month", "2026-03", "--output", "/no/such/folder/report"),
            "--output /no/such/folder/report: No such file",
        ),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(
    arguments: tuple[str, ...], said: str, ekyc: Callable[..., Ended]
) -> None:
    ended = ekyc("report", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert said in ended.err


def test_output_that_exists_stays_as_it_is(ekyc: Callable[..., Ended], tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("mine")
    ended = ekyc(*MARCH, "--output", str(file))
    assert (ended.code, file.read_text()) == (2, "mine")
    assert ended.err == f"ekyc: --output {file} exists: give the name of a new file\n"


def test_a_sample_is_a_list_of_approvals_without_their_outcome(
    evidence: Evidence, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    for number in range(30):
        keep_decision(evidence, f"approved-{number:02}")
        keep_decision(evidence, f"rejected-{number:02}", "reject")
    keep_decision(evidence, "approved-later", decided_at=DECIDED_AT + timedelta(days=40))
    sample = (*MARCH, "--sample", "10", "--seed", "7")
    listed = ekyc(*sample)
    assert (listed.code, listed.err) == (0, "")
    head, *rows = listed.out.splitlines()
    assert head == "region,signature_id,verdict"
    ids = [row.split(",")[1] for row in rows]
    assert len(set(ids)) == 10
    assert all(row == f"my,{signature_id}," for row, signature_id in zip(rows, ids, strict=True))
    assert all(each.startswith("approved-") and each != "approved-later" for each in ids)
    assert ids != sorted(ids)
    assert not any(word in listed.out for word in ("approve,", "PASS", "SUCCESS", PERSON))
    assert ekyc(*sample).out == listed.out
    assert ekyc(*MARCH, "--sample", "10", "--seed", "8").out != listed.out
    assert [each["signature_id"] for each in ekyc(*sample, "--json").members] == ids
    # The list has ids, so only its owner may read it.
    ekyc(*sample, "--output", str(tmp_path / "list.csv"))
    assert stat.S_IMODE((tmp_path / "list.csv").stat().st_mode) == 0o600
    assert (tmp_path / "list.csv").read_bytes().decode() == listed.out.replace("\n", "\r\n").replace(
        "\r\r", "\r"
    )


def test_verdicts_become_a_rate_of_false_acceptance(
    evidence: Evidence, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    for number in range(30):
        keep_decision(evidence, f"id-{number:02}")
    sample = (*MARCH, "--sample", "20", "--seed", "7")
    file = verdicts(tmp_path / "list.csv", ekyc(*sample).out)
    text = file.read_text()
    file.write_text(text.replace("right", "wrong", 1))
    found = ekyc(*sample, "--verdicts", str(file), "--json").members["false_acceptance"]
    assert (found["approvals"], found["sampled"], found["wrong"], found["rate"]) == (30, 20, 1, 0.05)
    assert found["rate_low"] == pytest.approx(0.001265, abs=1e-6)
    assert found["rate_high"] == pytest.approx(0.248733, abs=1e-6)
    assert 1 == found["wrong_in_month_low"] < found["wrong_in_month_high"] < 11
    page = ekyc(*sample, "--verdicts", str(file)).out
    assert "Of 30 approvals, 20 were drawn at random and checked" in page
    assert not re.search(r"id-\d", page)


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace(",", ";").encode(),
        lambda text: b"\xff\xfe" + text.replace(",", "\t").encode("utf-16-le"),
        lambda text: ("sep=;\r\n" + text.replace(",", ";").replace("\n", "\r\n")).encode(),
        lambda text: text.replace("right", " RIGHT ").replace("signature_id", "signatureId").encode(),
        lambda text: "\n".join([text.splitlines()[0], *sorted(text.splitlines()[1:])]).encode(),
    ],
    ids=["BOM", "CRLF", "semicolons", "Unicode text", "sep=", "spaces and case", "sorted"],
)
def test_verdicts_come_back_as_spreadsheets_write_them(
    rewrite: Callable[[str], bytes], evidence: Evidence, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    for number in range(5):
        keep_decision(evidence, f"id-{number}")
    sample = (*MARCH, "--sample", "3", "--seed", "1")
    file = verdicts(tmp_path / "list.csv", ekyc(*sample).out)
    file.write_bytes(rewrite(file.read_text()))
    ended = ekyc(*sample, "--verdicts", str(file), "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.members["false_acceptance"]["sampled"] == 3


@pytest.mark.parametrize(
    ("rewrite", "said"),
    [
        (lambda rows: [*rows[:-1], "my,id-x,right"], "line 4: this verification is not in the sample"),
        (lambda rows: [*rows, rows[1]], "line 5: this verification has a verdict already, on line 2"),
        (lambda rows: rows[:-1], "1 of the 3 verifications of the sample are missing"),
        (lambda rows: [*rows[:-1], rows[-1].replace("right", "")], "line 4: the verdict is missing"),
        (
            lambda rows: [*rows[:-1], rows[-1].replace("right", "yes")],
            "line 4: the verdict is not one of right, wrong",
        ),
        (lambda rows: rows[1:], "line 1 must be the header, such as region,signature_id,verdict"),
        (lambda rows: ["region,signature_id", *rows[1:]], "line 1 must be the header"),
        (lambda rows: [*rows[:-1], '"my,id'], "is not CSV: a quote is opened"),
        (lambda rows: [], "line 1 must be the header"),
    ],
)
def test_verdicts_that_do_not_fit_the_sample_are_refused_and_not_quoted(
    rewrite: Callable[[list[str]], list[str]],
    said: str,
    evidence: Evidence,
    ekyc: Callable[..., Ended],
    tmp_path: Path,
) -> None:
    for number in range(5):
        keep_decision(evidence, f"id-{number}")
    sample = (*MARCH, "--sample", "3", "--seed", "1")
    file = verdicts(tmp_path / "list.csv", ekyc(*sample).out)
    file.write_text("\n".join(rewrite(file.read_text().splitlines())))
    ended = ekyc(*sample, "--verdicts", str(file), "--output", str(tmp_path / "report"))
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "id-" not in ended.err
    assert not (tmp_path / "report").exists()


def test_verdicts_with_many_faults_name_the_first_and_count_the_rest(
    evidence: Evidence, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    keep_decision(evidence, "id-1")
    file = tmp_path / "list.csv"
    file.write_text("region,signature_id,verdict\n" + "my,id-2,right\n" * 1000)
    ended = ekyc(*MARCH, "--sample", "1", "--seed", "1", "--verdicts", str(file))
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 11
    assert ended.err.endswith("and 990 more\n")


def test_a_sample_larger_than_the_month_and_a_missing_file_are_one_line(
    evidence: Evidence, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    keep_decision(evidence, "id-1")
    keep_decision(evidence, "id-2", "reject")
    for more in ((), ("--verdicts", str(tmp_path / "list.csv"))):
        ended = ekyc(*MARCH, "--sample", "2", "--seed", "1", *more)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == (
            "ekyc: --sample 2: only 1 verification was decided approve in 2026-03: "
            "pass --sample 1 to check all of them\n"
        )
    ended = ekyc(*MARCH, "--sample", "1", "--seed", "1", "--verdicts", str(tmp_path / "list.csv"))
    assert (ended.code, ended.err) == (
        2,
        f"ekyc: --verdicts {tmp_path / 'list.csv'}: No such file or directory\n",
    )


# As a process, on a terminal.


@pytest.fixture
def process(root: Path) -> Ekyc:
    return Ekyc({"EKYC_EVIDENCE_URL": root.as_uri(), "TERM": "xterm", "COLUMNS": "100"})


def test_a_long_reading_has_a_bar_on_a_terminal_and_standard_output_stays_clean(
    root: Path, process: Ekyc
) -> None:
    for number in range(1200):
        write_decision(root, f"id-{number}")
    with Terminal() as terminal, process.start(*MARCH, "--json", stderr=terminal.end) as running:
        out, _ = running.communicate(timeout=60)
        terminal.wait_for("reading")
        assert "verifications" in terminal.seen
    assert (running.returncode, json.loads(out)["decided"]) == (0, 1200)


def test_a_page_is_not_written_to_a_terminal(process: Ekyc) -> None:
    with Terminal() as terminal, process.start(*MARCH, stdout=terminal.end) as running:
        _, said = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "this is a page for a browser: pass --output FILE, or --format csv" in said


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)], ids=["Ctrl-C", "kill"]
)
def test_a_report_that_is_interrupted_leaves_no_file(
    sent: signal.Signals, status: int, root: Path, process: Ekyc, tmp_path: Path
) -> None:
    for number in range(4000):
        write_decision(root, f"id-{number}")
    folder = tmp_path / "reports"
    folder.mkdir()
    command = (*MARCH, "--output", str(folder / "report.html"))
    with Terminal() as terminal, process.start(*command, stderr=terminal.end) as running:
        terminal.wait_for("reading")
        running.send_signal(sent)
        assert running.wait(timeout=60) == status
    assert list(folder.iterdir()) == []
    assert "Traceback" not in terminal.seen


def test_a_name_that_cannot_be_one_is_refused_before_anything_is_read(
    evidence: Evidence, ekyc: Callable[..., Ended], tmp_path: Path
) -> None:
    keep_decision(evidence, "id-1")
    for name, said in (("x" * 300, "File name too long"), ("a\0b", "this is not a file name")):
        ended = ekyc(*MARCH, "--output", str(tmp_path / name))
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.endswith(f": {said}\n")
