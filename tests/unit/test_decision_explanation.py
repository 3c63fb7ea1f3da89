"""Explanations and cases of a table, and the shadow table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.docs_pages import page
from tests.support.tables import PASS_RULE, load_table
from worker.decisions import shadow
from worker.decisions.cases import failures, read_cases
from worker.decisions.check import check
from worker.decisions.explanation import Explanation, explain
from worker.decisions.facts import CUT, Facts
from worker.decisions.table import Source, Table
from worker.errors import ConfigError, InvalidInput
from worker.ledger import transitions
from worker.ledger.models import Stage, Verification

if TYPE_CHECKING:
    from pathlib import Path

RULES = (
    """
    [[rules]]
    decision = "second_look"
    text = "A label of a forgery."
    forgery_labels = ["photocopy", "screen"]

    [[rules]]
    decision = "call_them"
    reason = "DOC_RESULT"

    [[rules]]
    decision = "reject"
    similarity_score = { at_least = 10, below = 60 }
    region = "ph"
    """
    + PASS_RULE
)

PASSED = Facts(overall_result="PASS", error_codes=("SUCCESS",), region="ph", similarity_score=60.5)


def test_each_earlier_rule_has_the_condition_that_does_not_hold(tmp_path: Path) -> None:
    assert explain(load_table(tmp_path, RULES), PASSED) == Explanation(
        "approve",
        4,
        "",
        (
            "forgery_labels is none, not photocopy or screen",
            "reason is none, not DOC_RESULT",
            "similarity_score is 60.5, not at least 10 and below 60",
        ),
    )


def test_the_rule_that_matches_has_its_text(tmp_path: Path) -> None:
    table = load_table(tmp_path, RULES)
    labelled = replace(PASSED, forgery_labels=("x", "screen"))
    assert explain(table, labelled) == Explanation("second_look", 1, "A label of a forgery.", ())


def test_where_no_rule_matches_all_are_earlier(tmp_path: Path) -> None:
    found = explain(load_table(tmp_path, RULES), replace(PASSED, reason="IDV_RESULT", region="sg"))
    assert (found.decision, found.rule) == ("review", None)
    assert found.earlier == (
        "reason is IDV_RESULT, and the rule names no reason",
        "reason is IDV_RESULT, not DOC_RESULT",
        "reason is IDV_RESULT, and the rule names no reason",
        "reason is IDV_RESULT, and the rule names no reason",
    )


def test_a_list_that_was_cut_is_why_it_is_not_approved(tmp_path: Path) -> None:
    found = explain(load_table(tmp_path, RULES), replace(PASSED, forgery_labels=("x", CUT)))
    assert (found.decision, found.rule) == ("review", None)
    assert "so it is not approved" in found.earlier[3]


# Cases


def write(folder: Path, text: str) -> Path:
    path = folder / "cases.toml"
    path.write_text(text)
    return path


def test_the_packaged_cases_are_those_of_the_packaged_table() -> None:
    cases, table = read_cases(None), Table.load(None)
    assert failures(table, cases) == []
    assert {case.decision for case in cases} == table.decisions
    assert {table.match(case.facts) for case in cases} == {None, *range(len(table.rules))}


def test_the_table_and_the_cases_of_the_page_are_sound(tmp_path: Path) -> None:
    table, cases = (block.text for block in page("docs/decisions.md").blocks if block.language == "toml")
    path = tmp_path / "table.toml"
    path.write_text(table)
    checked = check(Source.read(path), Table.load(None))
    assert checked.table is not None
    # It is short: the codes of the packaged table are left out, and with them their decisions.
    said = [each.said for each in checked.findings]
    assert said
    assert all("has no rule" in each or "which no rule decides" in each for each in said)
    assert failures(checked.table, read_cases(write(tmp_path, cases))) == []


def test_a_case_that_is_decided_otherwise_is_named(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
[[cases]]
overall_result = "PASS"
error_code = ["SUCCESS"]
region = "id"
document_type = "ID-KTP"
quality_labels = ["isBlur"]
liveness_score = 50
similarity_score = 60.5
decision = "approve"

[[cases]]
name = "a screen"
forgery_labels = "screen"
decision = "approve"
""",
    )
    cases = read_cases(path)
    assert cases[0].facts == Facts(
        overall_result="PASS",
        error_codes=("SUCCESS",),
        region="global",
        document_type="ID-KTP",
        quality_labels=("isBlur",),
        liveness_score=50,
        similarity_score=60.5,
    )
    (failure,) = failures(load_table(tmp_path, RULES), cases)
    assert (failure.case.name, failure.case.line, failure.decided) == ("a screen", 12, "second_look")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no cases: write each under a line"),
        ("cases = 5", "has no cases"),
        ("x = 1\n[[cases]]\ndecision = 'a'", "has no cases"),
        ("cases = [5]", "1: case 1: write it under a line [[cases]]"),
        ("[[cases]]\nregion = 'ph'", "1: case 1: decision is missing"),
        ("[[cases]]\ndecision = 'A'", "1: case 1: decision is missing or no name"),
        ("[[cases]]\ndecision = 'a'\nregion = 'xx'", "1: case 1: "),
        ("[[cases]]\ndecision = 'a'\nerorr_code = 'x'", "1: case 1: erorr_code is unknown: known are "),
        ("[[cases]]\ndecision = 'a'\nerror_code = 5", "1: case 1: error_code is no text"),
        ("[[cases]]\ndecision = 'a'\nreason = ['a', 'b']", "1: case 1: reason has more than one value"),
        ("[[cases]]\ndecision = 'a'\nliveness_score = 101", "1: case 1: liveness_score is no score"),
        ("[[cases]]\ndecision = 'a'\nliveness_score = {below = 5}", "1: case 1: liveness_score is no score"),
        ("[[cases]]\ndecision = 'a'\nname = 5", "1: case 1: name is no line of text"),
        ("[[cases]]\ndecision = 'a'\n[[cases]]\ndecision = 5", "3: case 2: decision is missing"),
    ],
)
def test_a_broken_file_of_cases_is_refused_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidInput) as caught:
        read_cases(path)
    assert str(caught.value).removeprefix(f"{path}:").lstrip().startswith(fault)


def test_a_file_of_cases_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        read_cases(tmp_path / "absent.toml")


# The shadow table


def routing(**fields: Any) -> Verification:
    return Verification("a", "ph", Stage.ROUTING, 0, overall_result="PASS", error_code="SUCCESS", **fields)


def test_a_shadow_table_counts_what_it_would_decide_otherwise(tmp_path: Path) -> None:
    table, one = load_table(tmp_path, RULES), routing(facts='{"f":["screen"]}')
    decide = transitions.decide(one, name="approve", decision="{}")
    counted = shadow.counted(table, one, decide)
    assert counted == replace(decide, counts={"shadow:approve:second_look": 1})


def test_a_shadow_table_that_agrees_counts_nothing(tmp_path: Path) -> None:
    table, one = load_table(tmp_path, RULES), routing(facts="{}")
    decide = transitions.decide(one, name="approve", decision="{}")
    assert shadow.counted(table, one, decide) is decide
    assert shadow.counted(None, one, decide) is decide


def test_a_delivery_that_is_tried_again_is_not_counted_again(tmp_path: Path) -> None:
    one = routing(facts='{"f":["screen"]}', decision="{}", decision_name="approve")
    decide = transitions.decide(one, name="approve", decision="{}")
    assert shadow.counted(load_table(tmp_path, RULES), one, decide) is decide
