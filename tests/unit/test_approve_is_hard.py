"""Promise 7 from the bytes of an answer to its decision, by the functions of the tasks.

`approve` follows only from PASS with SUCCESS for the id that was asked, under a rule that says so, of the answer that
is kept. Contradiction, doubt and novelty go to `review` or into quarantine.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from tests.support.answer_path import (
    ASKED,
    POLICY,
    QUARANTINED,
    SEALER,
    WAITS,
    answer_to,
    fate,
    may_be_approved,
    recorded,
)
from tests.support.odd_answers import data
from worker.advance.answers import Settled
from worker.decisions.table import Source, Table
from worker.errors import EvidenceConflict
from worker.evidence.recent_answers import RecentAnswers
from worker.evidence.store import Evidence
from worker.ledger.fields import Field
from worker.ledger.models import Stage, Verification

if TYPE_CHECKING:
    from pathlib import Path

#: The module: the package has a task of its name.
polling: Any = import_module("tasks.get_result")

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=200)

#: What a member may be, the documented values more often than others.
words = st.sampled_from(
    [
        None,
        "PASS",
        "pass",
        "FAIL",
        "INCOMPLETE",
        "",
        " PASS",
        "PENDING",
        "SUCCESS",
        "success",
        "NEW_CODE",
        True,
        1,
    ]
)
results = st.sampled_from(["PASS", "PASS", "PASS", "FAIL", "INCOMPLETE", "fail", None, "MAYBE", 1])
codes = st.sampled_from(
    ["SUCCESS", "SUCCESS", "SUCCESS", "ID_FORGERY_DETECTED", "ERROR", "NEW_CODE", None, "", "Success"]
)
ids = st.sampled_from([ASKED, ASKED, ASKED, ASKED, "other-person", None, "", ASKED.upper(), f"{ASKED} "])
truths = st.sampled_from([True, True, None, False, "true", 0])

members = st.fixed_dictionaries(
    {"signatureId": ids, "overallResult": results, "errorCode": codes},
    optional={
        "idvResult": results,
        "submissionCompleted": truths,
        "errorCodes": st.lists(codes, max_size=3),
        "docDetail": st.fixed_dictionaries({}, optional={"docResult": words, "ocrResult": words})
        | st.sampled_from([None, [], "x"]),
        "faceDetail": st.fixed_dictionaries(
            {},
            optional={
                "faceResult": words,
                "livenessAttackType": st.sampled_from([None, 0, 1, 2, 3, 4, "1"]),
                "faceLivenessScore": st.sampled_from([None, 0, 49.9, 80, 101, "80"]),
            },
        ),
        "OverallResult": results,
        "novelty": words,
    },
)
#: Those with a result for the id that was asked.
settled = st.fixed_dictionaries(
    {"signatureId": st.just(ASKED), "overallResult": st.sampled_from(["PASS", "FAIL"]), "errorCode": codes},
    optional={"idvResult": st.sampled_from(["PASS", "FAIL"]), "submissionCompleted": st.booleans()},
)
envelopes = st.sampled_from(
    ["SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS", "Success", "ERROR", "NEW_CODE", None]
)

junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def whole(code: Any, content: Any) -> bytes:
    return json.dumps({"code": code, "message": "OK", "data": content, "transactionId": "t"}).encode()


#: A member by its path.
paths = st.sampled_from(
    [
        *(
            ("signatureId",),
            ("overallResult",),
            ("errorCode",),
            ("idvResult",),
            ("submissionCompleted",),
            ("docDetail",),
        ),
        *(
            ("docDetail", "ocrResult"),
            ("docDetail", "docType"),
            ("docDetail", "forgeryLabels"),
            ("faceDetail",),
        ),
        *(
            ("docDetail", "qualityLabels"),
            ("errorCodes",),
            ("docDetail", "eventDetails"),
            ("countryCodeIso3",),
        ),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A genuine PASS with one to three members replaced by anything."""
    content: dict[str, Any] = data(ASKED)
    for path in draw(st.lists(paths, min_size=1, max_size=3)):
        place = content
        for name in path[:-1]:
            place = place[name] if isinstance(place.get(name), dict) else place
        place[path[-1]] = draw(junk)
    return whole("SUCCESS", content)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A genuine PASS with some bytes replaced."""
    raw = whole("SUCCESS", data(ASKED))
    for at in draw(st.lists(st.integers(0, len(raw)), min_size=1, max_size=3)):
        raw = raw[:at] + draw(st.binary(max_size=4)) + raw[at + draw(st.integers(0, 8)) :]
    return raw


answers = (
    st.builds(whole, envelopes, members)
    | mutated()
    | damaged()
    | st.builds(whole, envelopes, junk)
    | st.binary()
)


@calm
@given(answers)
@example(whole("SUCCESS", data(ASKED)))
@example(whole("SUCCESS", data(ASKED, errorCodes=["SUCCESS", "LIVENESS_ATTACK"])))
@example(whole("SUCCESS", data("other-person")))
def test_only_pass_with_success_for_the_id_that_was_asked_is_approved(raw: bytes) -> None:
    decided = fate(raw)
    event(decided)
    if decided == "approve":
        assert may_be_approved(raw)


@calm
@given(answers, st.sampled_from([201, 204, 302, 400, 403, 404, 429, 500, 503]))
def test_nothing_is_approved_with_another_status(raw: bytes, status: int) -> None:
    assert fate(raw, status=status) != "approve"


@calm
@given(members)
def test_contradiction_doubt_and_novelty_go_to_a_person_or_wait(content: dict[str, Any]) -> None:
    """What contradicts itself, or is not documented, is decided by a person, or is no result at all."""
    raw = whole("SUCCESS", content)
    decided, answer = fate(raw), answer_to(raw)
    if isinstance(answer, Settled):
        result = answer.result
        known = (result.overall_result, result.error_code)
        if result.contradiction or result.error_code in {None, "NEW_CODE", "Success"}:
            event("doubt")
            assert decided == "review"
        elif known[0] == "PASS" and known[1] != "SUCCESS":
            event("contradiction of result and code")
            assert decided == "review"
        else:
            event(decided)
    else:
        event("no result")
        assert decided in {QUARANTINED, WAITS}
    if content["signatureId"] not in {ASKED, None}:
        assert decided in {QUARANTINED, WAITS}


def approving(*conditions: tuple[str, Any]) -> Table:
    """A table whose only rule approves PASS with SUCCESS under further conditions."""
    rule = {"decision": "approve", "overall_result": "PASS", "error_code": "SUCCESS"} | dict(conditions)
    found = Source("x.toml", "", {"name": "x", "otherwise": "review", "rules": [rule]}).table()
    assert isinstance(found, Table)
    return found


@calm
@given(members)
def test_a_rule_must_say_so(content: dict[str, Any]) -> None:
    raw = whole("SUCCESS", content)
    nobody = Source("x.toml", "", {"name": "x", "otherwise": "review", "rules": []}).table()
    assert isinstance(nobody, Table)
    assert fate(raw, table=nobody) != "approve"
    strict = approving(("liveness_score", {"at_least": 60}))
    if fate(raw, table=strict) == "approve":
        event("approved by the score")
        assert content["faceDetail"]["faceLivenessScore"] >= 60
        assert may_be_approved(raw)


@calm
@given(
    settled,
    st.sampled_from(["overall_result", "error_code", "reason", "facts"]),
    st.sampled_from([None, "PASS", "SUCCESS", "{}", "DEADLINE_PASSED", '{"f":[]}']),
)
def test_no_field_of_the_ledger_can_be_changed_into_an_approval(
    content: dict[str, Any], name: str, value: str | None
) -> None:
    """With the MAC of before it is refused, unless nothing has changed."""
    found = recorded(answer_to(whole("SUCCESS", content)))
    assert isinstance(found, Verification)
    fields: dict[str, Any] = {name: value}
    changed = replace(found, **fields)
    assert SEALER.confirms_outcome(changed) == (changed == found)


@settings(calm, max_examples=60)
@given(settled, settled)
def test_the_answer_that_is_kept_counts(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Of two answers, the task decides by the first one that was stored, or not at all."""
    raws = [whole("SUCCESS", content) for content in (first, second)]
    found = [answer_to(raw) for raw in raws]
    folder: Path = tmp_path_factory.mktemp("evidence")
    evidence = Evidence(folder.as_uri())
    with pytest.MonkeyPatch.context() as patch:
        services = SimpleNamespace(
            evidence=evidence, policy=POLICY, sealer=SEALER, recent_answers=RecentAnswers()
        )
        patch.setattr(polling, "services", lambda: services)
        before = Verification(ASKED, "ph", Stage.POLLING, 1, read_at_ms=1000)
        made = polling.keep(before, found[0])
        assert made.fields[Field.OUTCOME_SEAL]
        try:
            again = polling.keep(before, found[1])
        except EvidenceConflict:
            event("another result")
        else:
            event("the same result")
            wanted = (Field.OVERALL_RESULT, Field.ERROR_CODE, Field.FACTS, Field.OUTCOME_SEAL)
            assert [again.fields[name] for name in wanted] == [made.fields[name] for name in wanted]
    assert evidence.of("ph", ASKED).answer() == raws[0]
