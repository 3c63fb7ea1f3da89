"""Promise 7 for any table and any facts: nothing but PASS with SUCCESS, without a contradiction, is approved."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st

from worker.decisions.draft import REASONS
from worker.decisions.explanation import explain
from worker.decisions.facts import CUT, Facts
from worker.decisions.rules import covering, unsafe
from worker.decisions.table import Source, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)
promise = settings(calm, max_examples=400)

RESULTS = ("PASS", "FAIL", "INCOMPLETE")
CODES = ("SUCCESS", "ERROR", "LIVENESS_ATTACK")
LABELS = ("photocopy", "screen")


def one_or_more(*values: str) -> st.SearchStrategy[Any]:
    several = st.lists(st.sampled_from([*values, "*"]), min_size=1, max_size=2, unique=True)
    return st.sampled_from(values) | several


ranges = st.fixed_dictionaries(
    {}, optional={"at_least": st.sampled_from([0, 50]), "below": st.sampled_from([50, 70.5])}
)

rules = st.fixed_dictionaries(
    {"decision": st.sampled_from(["approve", "approve", "reject", "review"])},
    optional={
        "overall_result": st.sampled_from(RESULTS)
        | st.lists(st.sampled_from(RESULTS), min_size=1, max_size=2, unique=True),
        "error_code": one_or_more(*CODES),
        "region": one_or_more("ph", "sg"),
        "document_type": one_or_more("PH-UMID", "PASSPORT"),
        "forgery_labels": one_or_more(*LABELS),
        "quality_labels": one_or_more("isBlur"),
        "reason": one_or_more(*REASONS[:3]),
        "liveness_score": ranges,
        "similarity_score": ranges,
    },
)

safe_rule = st.just({"decision": "approve", "overall_result": "PASS", "error_code": "SUCCESS"})
tables = st.lists(rules | safe_rule, max_size=5)

scores = st.none() | st.sampled_from([0.0, 49.9, 50.0, 70.5, 100.0])
facts = st.builds(
    Facts,
    overall_result=st.none() | st.sampled_from(RESULTS),
    error_codes=st.lists(st.sampled_from([*CODES, CUT]), max_size=3).map(tuple),
    region=st.sampled_from(["ph", "sg", "th"]),
    document_type=st.none() | st.sampled_from(["PH-UMID", "PASSPORT", "OTHER"]),
    forgery_labels=st.lists(st.sampled_from([*LABELS, CUT]), max_size=2).map(tuple),
    quality_labels=st.lists(st.sampled_from(["isBlur", "isDim", CUT]), max_size=2).map(tuple),
    liveness_score=scores,
    similarity_score=scores,
    reason=st.none() | st.sampled_from(REASONS[:4]),
)


def made(given_rules: list[dict[str, Any]], otherwise: str = "review") -> Table | None:
    """The table, or None where it is refused."""
    document: Mapping[str, Any] = {"name": "x", "otherwise": otherwise, "rules": given_rules}
    table = Source("x.toml", "", json.loads(json.dumps(document))).table()
    return table if isinstance(table, Table) else None


PASSED = Facts(overall_result="PASS", error_codes=("SUCCESS",), region="ph")


@promise
@given(tables, st.sampled_from(["review", "approve"]), facts)
@example([{"decision": "approve", "overall_result": "PASS", "error_code": "SUCCESS"}], "review", PASSED)
@example([{"decision": "approve", "error_code": "SUCCESS"}], "review", Facts(error_codes=("SUCCESS",)))
def test_promise_7_no_table_that_is_taken_approves_anything_else(
    given_rules: list[dict[str, Any]], otherwise: str, said: Facts
) -> None:
    table = made(given_rules, otherwise)
    assume(table is not None)
    assert table is not None
    if table.decide(said) == "approve":
        event("approved")
        assert (said.overall_result, set(said.error_codes), said.reason) == ("PASS", {"SUCCESS"}, None)
    else:
        event("not approved")


@calm
@given(tables, facts)
def test_a_refused_rule_is_one_that_could_approve_something_else(
    given_rules: list[dict[str, Any]], said: Facts
) -> None:
    """The proof is not too strict: rules that name anything but `approve` are never refused for it."""
    del said
    table = made([{**rule, "decision": "review"} for rule in given_rules])
    if table is not None:
        assert not any(map(unsafe, table.rules))


@calm
@given(tables, facts)
def test_a_rule_that_is_said_never_to_decide_never_does(
    given_rules: list[dict[str, Any]], said: Facts
) -> None:
    table = made([{**rule, "decision": f"d{number}"} for number, rule in enumerate(given_rules)])
    assume(table is not None)
    assert table is not None
    decides = table.match(said)
    if decides is not None:
        event("a rule decides")
        assert covering(table.rules, decides) == []


@calm
@given(tables, facts)
def test_an_explanation_is_what_the_table_does(given_rules: list[dict[str, Any]], said: Facts) -> None:
    table = made(given_rules)
    assume(table is not None)
    assert table is not None
    number, explained = table.match(said), explain(table, said)
    assert explained.decision == table.decide(said)
    assert explained.rule == (None if number is None else number + 1)
    assert len(explained.earlier) == (len(table.rules) if number is None else number)
