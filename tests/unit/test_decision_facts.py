"""The facts that a decision table reads: bounded, nothing personal, and the same from an answer as from the ledger."""

from __future__ import annotations

import json
import time
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.labels import LABEL
from schemas.result import Contradiction, OverallResult, Result
from tests.support.odd_answers import passed
from worker.advance.answers import Settled, read_again
from worker.decisions.facts import CUT, MAX_BYTES, MAX_ENTRIES, Facts, of_result, of_verification, packed
from worker.ledger.models import Stage, Verification

ID = "f302"


def answered(**said: Any) -> Result:
    given: dict[str, Any] = {"overall_result": OverallResult.FAIL, "error_code": "ID_FORGERY_DETECTED"}
    return Result(**given | said)


def facts(**said: Any) -> Facts:
    return of_result(answered(**said), "ph")


def kept(**said: Any) -> Facts:
    """The facts that a worker reads from the ledger after that answer."""
    answer = answered(**said)
    text = packed(of_result(answer, "ph"), answer.error_code)
    assert len(text.encode()) <= MAX_BYTES
    return of_verification(
        Verification(
            ID,
            "ph",
            Stage.ROUTING,
            0,
            overall_result=answer.overall_result,
            error_code=answer.error_code,
            reason=answer.contradiction,
            facts=text,
        )
    )


def test_facts_have_these_attributes_and_no_other() -> None:
    assert [field.name for field in fields(Facts)] == [
        "overall_result",
        "error_codes",
        "region",
        "document_type",
        "forgery_labels",
        "quality_labels",
        "liveness_score",
        "similarity_score",
        "reason",
    ]


def test_an_answer_of_a_document_has_its_facts() -> None:
    answer = read_again(
        passed(
            ID,
            docDetail={
                "docType": {"front": None, "back": "PH-UMID"},
                "forgeryLabels": ["photocopy", "photocopy", "screen"],
                "qualityLabels": {"front": {"isBlur": False, "isDim": True}, "back": {"isExposure": True}},
            },
        ),
        signature_id=ID,
    )
    assert isinstance(answer, Settled)
    assert of_result(answer.result, "th") == Facts(
        overall_result="PASS",
        error_codes=("SUCCESS",),
        region="th",
        document_type="PH-UMID",
        forgery_labels=("photocopy", "screen"),
        quality_labels=("isDim", "isExposure"),
    )


def test_an_answer_that_says_no_more_than_its_code_needs_two_bytes() -> None:
    result = Result(signature_id=ID, overall_result=OverallResult.PASS, error_code="SUCCESS")
    found = of_result(result, "ph")
    assert packed(found, "SUCCESS") == "{}"
    assert found == Facts(overall_result="PASS", error_codes=("SUCCESS",), region="ph")


def test_a_contradiction_is_the_reason() -> None:
    assert facts(contradiction=Contradiction.FACE_RESULT).reason == "FACE_RESULT"


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"error_code": None},
        {"error_code": None, "error_codes": ("A", "B")},
        {"error_codes": ("ID_FORGERY_DETECTED", "OTHER")},
        {"document_type": "PH-UMID", "liveness_score": 0.0, "similarity_score": 69.99999},
        {"forgery_labels": ("a",) * 3, "quality_labels": tuple("abcdefghijk")},
        {"forgery_labels": tuple(f"label_{number}" + "x" * 40 for number in range(8))},
        {"contradiction": Contradiction.IDV_RESULT},
    ],
)
def test_the_ledger_gives_back_the_facts_of_the_answer(said: dict[str, Any]) -> None:
    assert kept(**said) == facts(**said)


@pytest.mark.parametrize("score", [0.0, 49.999, 50.0, 100.0])
def test_a_score_is_kept_as_it_is(score: float) -> None:
    assert (kept(liveness_score=score).liveness_score, kept(similarity_score=score).similarity_score) == (
        score,
        score,
    )


@pytest.mark.parametrize("label", ["Juan dela Cruz", "a" * 65, "ü", "a\n", "1990/01/02", "{}", '"'])
def test_what_is_no_code_is_never_kept(label: str) -> None:
    document = {
        "docType": {"front": label},
        "forgeryLabels": [label, "photocopy"],
        "qualityLabels": {label: True},
    }
    answer = read_again(passed(ID, docDetail=document), signature_id=ID)
    assert isinstance(answer, Settled)
    found = of_result(answer.result, "ph")
    assert (found.document_type, found.forgery_labels, found.quality_labels) == (
        "UNPRINTABLE",
        ("UNPRINTABLE", "photocopy"),
        (),
    )


def test_a_list_has_eight_entries_at_most_and_says_that_it_was_cut() -> None:
    labels = tuple("abcdefgh")
    assert kept(forgery_labels=labels).forgery_labels == labels
    found = kept(forgery_labels=(*labels, "i"), quality_labels=(*labels, "i"))
    assert found.forgery_labels == found.quality_labels == (*labels[: MAX_ENTRIES - 1], CUT)


def test_what_does_not_fit_is_cut_from_the_list_that_matters_least() -> None:
    long = tuple(f"{letter * 30}" for letter in "abcd")
    found = kept(forgery_labels=long, quality_labels=long)
    assert found.forgery_labels == long
    assert found.quality_labels[-1] == CUT
    assert set(found.quality_labels) <= {*long, CUT}


codes = st.text(st.sampled_from("ABC_"), min_size=1, max_size=64)
words = st.from_regex(LABEL, fullmatch=True)
scores = st.none() | st.floats(0, 100)
answers = st.fixed_dictionaries(
    {
        "error_code": st.none() | codes,
        "error_codes": st.lists(codes, max_size=20).map(tuple),
        "document_type": st.none() | words,
        "forgery_labels": st.lists(words, max_size=20).map(tuple),
        "quality_labels": st.lists(words, max_size=20).map(tuple),
        "liveness_score": scores,
        "similarity_score": scores,
    }
)


@settings(deadline=None)
@given(answers)
def test_whatever_an_answer_says_it_fits_and_comes_back(said: dict[str, Any]) -> None:
    found = kept(**said)
    assert found == facts(**said)
    for name in ("forgery_labels", "quality_labels"):
        entries, given_ = set(getattr(found, name)), set(said[name])
        assert len(getattr(found, name)) <= MAX_ENTRIES
        assert entries <= {*given_, CUT}
        # Nothing is left out without a mark.
        assert CUT in entries or entries == given_


def test_a_verification_of_an_older_release_has_result_code_and_reason() -> None:
    old = Verification(ID, "my", Stage.DONE, 0, overall_result="FAIL", error_code="OCR_NO_RESULT")
    assert of_verification(old) == Facts(overall_result="FAIL", error_codes=("OCR_NO_RESULT",), region="my")
    late = replace(old, overall_result=None, error_code=None, reason="DEADLINE_PASSED")
    assert of_verification(late) == Facts(region="my", reason="DEADLINE_PASSED")


def test_what_a_later_release_keeps_beside_is_ignored() -> None:
    known = Verification(ID, "my", Stage.DONE, 0, facts=json.dumps({"l": 5, "zz": [1]}))
    assert of_verification(known) == Facts(region="my", liveness_score=5)


def test_the_time_for_many_labels_grows_with_their_number_and_no_faster() -> None:
    """A body has room for a million labels; the schema lets a thousand of a list through."""

    def took_s(number: int) -> float:
        labels = tuple(f"{at:064d}" for at in range(number))
        began = time.thread_time()
        for _ in range(5):
            facts(forgery_labels=labels, quality_labels=labels, error_codes=labels)
        return time.thread_time() - began

    took_s(1000)
    first = took_s(1000)
    for factor in (2, 4, 8):
        assert took_s(1000 * factor) < 10 * factor * first + 0.1
