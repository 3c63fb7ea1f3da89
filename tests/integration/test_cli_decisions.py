"""`ekyc decisions`: each command on real files, a real ledger, and what it ends with."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.cli_process import Terminal
from tests.support.decided import ROWS_TABLE
from tests.support.odd_answers import passed
from tests.support.outcomes import decide_all, settle_all
from tests.support.tables import HEAD, PASS_RULE, write_table
from tests.support.waiting import until
from worker.decisions.facts import Facts
from worker.decisions.table import PACKAGED, Table
from worker.evidence.store import Evidence

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from tests.support.cli_process import Ekyc
    from worker.ledger import Ledger
    from worker.ledger.models import Verification

VERSION = Table.load(None).version
RULES = PACKAGED.read_text("utf-8")
RULES = RULES[RULES.index("[[rules]]") :]

#: A table that looks twice at whatever may be a copy, and is sound.
STRICTER = (
    '[[rules]]\ndecision = "review"\noverall_result = "PASS"\nforgery_labels = ["photocopy", "screen"]\n'
    '[[rules]]\ndecision = "review"\noverall_result = "PASS"\nliveness_score = { below = 60 }\n' + RULES
)

PASSED = Facts(overall_result="PASS", error_codes=("SUCCESS",), region="ph", document_type="PH-UMID")
ANSWERS = {
    "plain": PASSED,
    "copy": replace(PASSED, forgery_labels=("photocopy",)),
    "shot": replace(PASSED, forgery_labels=("screen",)),
    "still": replace(PASSED, liveness_score=59.5),
    "lively": replace(PASSED, liveness_score=60.0),
    "late": Facts(region="ph", reason="DEADLINE_PASSED"),
    "poor": Facts(overall_result="INCOMPLETE", error_codes=("CARD_LOW_QUALITY_IMAGE",), region="ph"),
}


def by_the_packaged_table(answers: dict[str, Facts]) -> Any:
    table = Table.load(None)

    def decide(verification: Verification) -> str:
        return table.decide(answers[verification.signature_id])

    return decide


@pytest.fixture
def history(ledger: Ledger) -> None:
    """Seven decisions in ph, and one in sg by an older release that the packaged table would not make."""
    decide_all(ledger, "ph", ANSWERS, by_the_packaged_table(ANSWERS), table=VERSION)
    decide_all(
        ledger, "sg", {"old": replace(PASSED, region="sg")}, lambda _: "review", table="1", facts=False
    )


def out(ended: Any, code: int = 0) -> Any:
    assert (ended.code, ended.err) == (code, "")
    return json.loads(ended.out)


# show


def test_the_table_in_use_is_shown_to_people_and_machines(ekyc: Ekyc, tmp_path: Path) -> None:
    shown = ekyc("decisions", "show")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"{VERSION} (packaged default.toml): the first rule that matches decides\n")
    assert "rule 3: approve (The verification has passed.)\n    overall_result: PASS\n" in shown.out
    assert shown.out.endswith("otherwise: review\n")
    path = write_table(tmp_path, '[deliveries]\nreview = "celery"\n' + PASS_RULE)
    found = out(ekyc.with_env(EKYC_DECISIONS_FILE=str(path))("decisions", "show", "--json"))
    assert found == out(ekyc("decisions", "show", str(path), "--json"))
    assert found == {
        "version": Table.load(path).version,
        "file": str(path),
        "format": "rules",
        "rules": [
            {
                "decision": "approve",
                "text": "",
                "conditions": {"overall_result": "PASS", "error_code": "SUCCESS"},
            }
        ],
        "otherwise": "review",
        "deliveries": {"approve": ["celery"], "review": ["celery"]},
        "consumes": None,
    }


def test_a_table_with_rows_is_shown_and_printed_with_rules(ekyc: Ekyc, tmp_path: Path) -> None:
    assert out(ekyc("decisions", "show", str(ROWS_TABLE), "--json"))["format"] == "rows"
    printed = ekyc("decisions", "show", "--toml", str(ROWS_TABLE))
    path = tmp_path / "new.toml"
    path.write_text(printed.out)
    assert out(ekyc("decisions", "check", str(path), "--json"))["ok"]
    (failed,) = out(ekyc("decisions", "test", "--table", str(path), "--json"), code=1)["failed"]
    assert failed["name"] == "an attack on the liveness check"  # The older table had no row for it.


def test_a_table_that_a_worker_would_refuse_is_not_shown(ekyc: Ekyc, tmp_path: Path) -> None:
    path = write_table(tmp_path, PASS_RULE.replace("PASS", "FAIL"))
    ended = ekyc("decisions", "show", str(path))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"ekyc: {path}:5: rule 1 may not be approve: ")
    absent = ekyc("decisions", "show", str(tmp_path / "absent.toml"))
    assert (absent.code, "cannot be read: No such file" in absent.err) == (2, True)


# check


def test_a_sound_table_passes_the_check(ekyc: Ekyc, tmp_path: Path) -> None:
    path = write_table(tmp_path, STRICTER)
    ended = ekyc("decisions", "check", str(path))
    version = Table.load(path).version
    assert (ended.code, ended.out) == (0, f"{path}: table {version} with 11 rules is fine\n")
    assert out(ekyc("decisions", "check", "--json"))["version"] == VERSION


def test_each_finding_of_the_check_has_file_line_and_cure(ekyc: Ekyc, tmp_path: Path) -> None:
    path = write_table(tmp_path, RULES.replace('"TOO_MANY_CARDS"', '"TO_MANY_CARDS"') + PASS_RULE)
    ended = ekyc("decisions", "check", str(path))
    assert (ended.code, ended.err) == (1, "")
    lines = ended.out.splitlines()
    numbers = [int(line.removeprefix(f"{path}:").partition(":")[0]) for line in lines]
    assert numbers == sorted(numbers)
    assert any(
        "warning: rule 5: TO_MANY_CARDS is no documented errorCode; write TOO" in line for line in lines
    )
    assert any(
        "rule 10 never decides: rule 3 matches all that it matches; write it" in line for line in lines
    )
    found = out(ekyc("decisions", "check", str(path), "--json"), code=1)
    assert [finding["line"] for finding in found["findings"]] == numbers
    assert (found["ok"], set(found["findings"][0])) == (False, {"severity", "line", "said", "cure"})


def test_an_error_and_a_file_that_is_no_toml_end_differently(ekyc: Ekyc, tmp_path: Path) -> None:
    path = write_table(tmp_path, "[[rules]]\ndecision = 5\n")
    found = out(ekyc("decisions", "check", str(path), "--json"), code=1)
    assert (found["version"], [each["severity"] for each in found["findings"]]) == (None, ["error"])
    path.write_text("name = ")
    ended = ekyc("decisions", "check", str(path))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"ekyc: {path}: is not TOML: ")


def test_the_older_format_passes_the_check_with_a_note(ekyc: Ekyc) -> None:
    ended = ekyc("decisions", "check", str(ROWS_TABLE))
    assert ended.code == 0
    assert f"{ROWS_TABLE}: note: has the older format with [[rows]]" in ended.out


# explain


def test_a_decision_is_explained_by_the_facts_in_the_ledger(ekyc: Ekyc, history: None) -> None:
    found = out(ekyc("decisions", "explain", "copy", "--region", "ph", "--json"))
    assert found["facts"] == {
        "overall_result": "PASS",
        "error_code": ["SUCCESS"],
        "region": "ph",
        "document_type": "PH-UMID",
        "forgery_labels": ["photocopy"],
        "quality_labels": [],
        "liveness_score": None,
        "similarity_score": None,
        "reason": None,
    }
    assert (found["decision"], found["rule"], found["table"]) == ("approve", 3, VERSION)
    assert found["recorded"] == {"decision": "approve", "table": VERSION}
    assert (found["partial"], len(found["earlier"])) == (False, 2)
    shown = ekyc("decisions", "explain", "copy").out.splitlines()
    assert shown[0] == f"copy: approve, by rule 3, of table {VERSION} (The verification has passed.)"
    assert shown[1].startswith(
        "facts: overall_result PASS; error_code SUCCESS; region ph; document_type PH-UMID"
    )
    assert shown[2].startswith("rule 1 does not match: reason is none, not ")


def test_a_decision_is_explained_by_another_table(ekyc: Ekyc, history: None, tmp_path: Path) -> None:
    path = write_table(tmp_path, STRICTER)
    shown = ekyc("decisions", "explain", "still", "--table", str(path)).out.splitlines()
    assert shown[0].startswith("still: review, by rule 2, of table mine-")
    assert f"decided approve by table {VERSION}: that decision stays" in shown
    assert "rule 1 does not match: forgery_labels is none, not photocopy or screen" in shown


def test_what_an_older_release_settled_is_explained_by_its_code(ekyc: Ekyc, history: None) -> None:
    found = out(ekyc("decisions", "explain", "old", "--region", "sg", "--json"))
    assert (found["decision"], found["partial"]) == ("approve", True)
    assert found["recorded"] == {"decision": "review", "table": "1"}
    assert "an older release settled it" in ekyc("decisions", "explain", "old").out


def test_a_reason_is_explained(ekyc: Ekyc, history: None) -> None:
    found = out(ekyc("decisions", "explain", "late", "--json"))
    assert (found["decision"], found["rule"], found["facts"]["reason"]) == ("review", 1, "DEADLINE_PASSED")
    assert found["partial"] is False


def test_what_is_unknown_or_not_settled_is_not_explained(ekyc: Ekyc, ledger: Ledger) -> None:
    unknown = ekyc("decisions", "explain", "nobody", "--region", "ph")
    assert (unknown.code, unknown.out) == (1, "")
    assert "the ledger does not know this id in ph: " in unknown.err
    assert "or was done longer ago than the ledger remembers (7 days)" in unknown.err
    ledger.enqueue([EnqueueRequest("waits", "ph")])
    waits = ekyc("decisions", "explain", "waits")
    assert (waits.code, waits.out) == (1, "")
    assert "it has no result yet, it is polling: `ekyc status waits --region ph` shows" in waits.err


def test_what_is_settled_and_not_decided_yet_is_explained(ekyc: Ekyc, ledger: Ledger) -> None:
    settle_all(ledger, "ph", {"new": ANSWERS["still"]})
    found = out(ekyc("decisions", "explain", "new", "--json"))
    assert (found["decision"], found["recorded"], found["facts"]["liveness_score"]) == ("approve", None, 59.5)


def test_an_answer_is_explained_without_a_ledger(ekyc: Ekyc, tmp_path: Path) -> None:
    offline = ekyc.with_env(REDIS_URL="redis://127.0.0.1:1/0")
    path = tmp_path / "answer.json"
    path.write_bytes(
        passed("f302", docDetail={"forgeryLabels": ["screen"], "docType": {"front": "PH-UMID", "back": None}})
    )
    table = str(write_table(tmp_path, STRICTER))
    found = out(offline("decisions", "explain", "--answer", str(path), "--table", table, "--json"))
    assert (found["signature_id"], found["decision"], found["rule"]) == ("f302", "review", 1)
    assert (found["recorded"], found["facts"]["document_type"]) == (None, "PH-UMID")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ('{"code":"SUCCESS","data":{"signatureId":"a","overallResult":null}}', 1, "has no result yet"),
        ('{"code":"SERVICE_BUSY","data":null}', 1, "the answer is busy: no table decides it"),
        ('{"code":"SUCCESS","data":{"signatureId":"a","overallResult":5}}', 1, "is unreadable: no table"),
        ('{"code":5}', 2, "is no answer of get-result"),
        ("<html>Juan dela Cruz</html>", 2, "is no answer of get-result"),
        ("", 2, "is no answer of get-result"),
    ],
)
def test_what_is_no_result_is_named_and_never_quoted(
    ekyc: Ekyc, tmp_path: Path, answer: str, code: int, said: str
) -> None:
    path = tmp_path / "answer.json"
    path.write_text(answer)
    ended = ekyc("decisions", "explain", "--answer", str(path))
    assert (ended.code, ended.out, said in ended.err) == (code, "", True)
    assert "Juan" not in ended.err


def test_an_answer_about_an_unknown_id_has_its_reason(ekyc: Ekyc, tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    path.write_text('{"code":"SIGNATURE_NOT_EXIST","data":null}')
    found = out(ekyc("decisions", "explain", "--answer", str(path), "--json"))
    assert (found["signature_id"], found["facts"]["reason"], found["rule"]) == (
        None,
        "SIGNATURE_NOT_EXIST",
        1,
    )


@pytest.mark.parametrize("arguments", [(), ("a", "--answer", "x"), ("a b",), ("a", "--region", "xx")])
def test_explain_asks_for_one_thing(ekyc: Ekyc, arguments: tuple[str, ...]) -> None:
    assert ekyc("decisions", "explain", *arguments).code == 2


# diff


def test_a_diff_counts_what_would_change_and_names_it(ekyc: Ekyc, history: None, tmp_path: Path) -> None:
    path = str(write_table(tmp_path, STRICTER))
    found = out(ekyc("decisions", "diff", path, "--json"), code=1)
    assert found == {
        "before": VERSION,
        "after": Table.load(tmp_path / "mine.toml").version,
        "compared": 8,
        "without_facts": 1,
        "decided_otherwise": 1,
        "changed": 3,
        "changes": [
            {
                "from": "approve",
                "to": "review",
                "count": 3,
                "ids": [{"region": "ph", "signature_id": name} for name in ("copy", "shot", "still")],
            }
        ],
    }
    shown = ekyc("decisions", "diff", path, "--ids", "2")
    assert (shown.code, shown.err) == (1, "")
    lines = shown.out.splitlines()
    assert lines[0].endswith(": 3 of 8 decisions would change")
    assert lines[1] == "  approve -> review: 3"
    assert len([line for line in lines if line.startswith("    ph ")]) == 2
    assert lines[4] == "    and 1 more"
    assert lines[5].startswith("1 were settled by an older release")


def test_a_diff_of_the_same_rules_changes_nothing(ekyc: Ekyc, history: None, tmp_path: Path) -> None:
    ended = ekyc("decisions", "diff", str(write_table(tmp_path, RULES)))
    assert (ended.code, "0 of 8 decisions would change" in ended.out) == (0, True)
    rows = ekyc("decisions", "diff", str(ROWS_TABLE), "--region", "PH")
    assert (rows.code, "0 of 7 decisions would change" in rows.out) == (0, True)


def test_a_diff_reads_what_the_ledger_lacks_from_the_kept_answers(
    ekyc: Ekyc, history: None, tmp_path: Path
) -> None:
    url = (tmp_path / "evidence").as_uri()
    evidence = Evidence(url)
    evidence.of("sg", "old").keep_answer(passed("old", docDetail={"forgeryLabels": ["screen"]}))
    # The ledger has its facts: this one is not read.
    evidence.of("ph", "plain").keep_answer(passed("plain", docDetail={"forgeryLabels": ["screen"]}))
    diff = ("decisions", "diff", str(write_table(tmp_path, STRICTER)), "--answers", "--json")
    found = out(ekyc.with_env(EKYC_EVIDENCE_URL=url)(*diff), code=1)
    assert (found["compared"], found["without_facts"], found["changed"]) == (8, 0, 4)
    assert {"region": "sg", "signature_id": "old"} in found["changes"][0]["ids"]
    (tmp_path / "empty" / "ledger").mkdir(parents=True)
    nowhere = out(ekyc.with_env(EKYC_EVIDENCE_URL=(tmp_path / "empty").as_uri())(*diff), code=1)
    assert (nowhere["without_facts"], nowhere["changed"]) == (1, 3)
    unset = ekyc(*diff)
    assert (unset.code, "EKYC_EVIDENCE_URL is not set" in unset.err) == (2, True)


def test_a_diff_since_then_leaves_out_what_is_older(
    ekyc: Ekyc, history: None, redis: Redis, tmp_path: Path
) -> None:
    path = str(write_table(tmp_path, STRICTER))
    seconds, _ = redis.time()
    redis.hset("ekyc:{ph}:v:copy", "z", (seconds - 3 * 86_400) * 1000)
    recent = out(ekyc("decisions", "diff", path, "--since", "2d", "--json"), code=1)
    assert (recent["compared"], recent["changed"]) == (7, 2)
    longer = out(ekyc("decisions", "diff", path, "--since", "7d", "--json"), code=1)
    assert (longer["compared"], longer["changed"]) == (8, 3)


def test_a_diff_of_an_empty_ledger_says_so(ekyc: Ekyc, tmp_path: Path) -> None:
    path = str(write_table(tmp_path, RULES))
    ended = ekyc("decisions", "diff", path, "--since", "7d")
    assert (ended.code, ended.out) == (
        0,
        "the ledger has no decisions of the last 7 d 0 h: there is nothing to compare\n",
    )
    assert out(ekyc("decisions", "diff", path, "--json"))["compared"] == 0


def test_a_diff_reads_and_writes_nothing(ekyc: Ekyc, history: None, redis: Redis, tmp_path: Path) -> None:
    def content() -> dict[Any, Any]:
        return {key: redis.dump(key) for key in sorted(redis.keys())}

    before = content()
    ekyc("decisions", "diff", str(write_table(tmp_path, STRICTER)))
    assert content() == before


def test_a_diff_of_many_shows_a_bar_and_can_be_interrupted(ekyc: Ekyc, redis: Redis, tmp_path: Path) -> None:
    with redis.pipeline(transaction=False) as pipe:
        for number in range(40_000):
            fields: dict[Any, Any] = {"s": "done", "e": 1, "o": "PASS", "r": "SUCCESS", "j": "{}", "z": 1}
            fields["y"] = "approve"
            pipe.hset(f"ekyc:{{ph}}:v:{number}", mapping=fields)
        pipe.execute()
    path = str(write_table(tmp_path, STRICTER))
    with Terminal() as terminal:
        process = ekyc.with_env(TERM="xterm").start("decisions", "diff", path, stderr=terminal.end)
        until(lambda: "replaying" in terminal.seen or process.poll() is not None, "the bar is shown")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert "replaying" in terminal.seen
        assert "Traceback" not in terminal.seen
        # It may have been done before the signal came.
        assert process.returncode in {0, 130}
    found = out(ekyc("decisions", "diff", path, "--json"))
    assert (found["compared"], found["changed"]) == (40_000, 0)


def test_a_diff_with_a_broken_table_or_without_redis(ekyc: Ekyc, tmp_path: Path) -> None:
    broken = ekyc("decisions", "diff", str(write_table(tmp_path, "[[rules]]\n")))
    assert (broken.code, f"{tmp_path / 'mine.toml'}:3: rule 1: decision is missing" in broken.err) == (
        2,
        True,
    )
    path = str(write_table(tmp_path, RULES))
    away = ekyc.with_env(REDIS_URL="redis://127.0.0.1:1/0")("decisions", "diff", path)
    assert (away.code, "Redis does not answer" in away.err) == (1, True)
    assert ekyc("decisions", "diff", path, "--since", "soon").code == 2


# test


def test_the_packaged_cases_pass(ekyc: Ekyc) -> None:
    ended = ekyc("decisions", "test")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"17 of 17 cases pass with table {VERSION}\n"


def test_cases_that_fail_are_named_with_their_facts(ekyc: Ekyc, tmp_path: Path) -> None:
    cases = tmp_path / "cases.toml"
    cases.write_text(
        '[[cases]]\nname = "a screen"\noverall_result = "PASS"\nerror_code = "SUCCESS"\n'
        'forgery_labels = "screen"\ndecision = "review"\n\n[[cases]]\ndecision = "review"\n'
    )
    ended = ekyc("decisions", "test", str(cases))
    assert ended.code == 1
    assert ended.out.splitlines() == [
        f"{cases}:1: a screen: decided approve, not review",
        "    overall_result PASS; error_code SUCCESS; forgery_labels screen",
        f"1 of 2 cases pass with table {VERSION}",
    ]
    table = str(write_table(tmp_path, STRICTER))
    assert ekyc("decisions", "test", str(cases), "--table", table).code == 0
    found = out(ekyc("decisions", "test", str(cases), "--json"), code=1)
    assert found["failed"] == [{"name": "a screen", "line": 1, "expected": "review", "decided": "approve"}]


def test_cases_that_cannot_be_read_are_named(ekyc: Ekyc, tmp_path: Path) -> None:
    cases = tmp_path / "cases.toml"
    cases.write_text('[[cases]]\ndecision = "review"\nerror_code = 5\n')
    ended = ekyc("decisions", "test", str(cases))
    assert (ended.code, ended.err) == (2, f"ekyc: {cases}:1: case 1: error_code is no text\n")


@pytest.mark.parametrize("command", ["show", "check", "explain", "diff", "test"])
def test_each_command_has_a_help_with_its_exit_status(ekyc: Ekyc, command: str) -> None:
    ended = ekyc("decisions", command, "--help")
    assert (ended.code, "Exit status: 0 " in ended.out, "--json" in ended.out) == (0, True, True)


def test_a_broken_environment_does_not_stop_the_check_of_a_file(ekyc: Ekyc, tmp_path: Path) -> None:
    broken = ekyc.with_env(EKYC_RATE="fast")
    path = str(write_table(tmp_path, RULES, head=HEAD))
    assert broken("decisions", "check", path).code == 0
    assert broken("decisions", "check").code == 2
