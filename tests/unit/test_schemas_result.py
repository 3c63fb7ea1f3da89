"""The result: everything the vendor is known to send is read, and nothing doubtful is."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.document import DocEvent, QualityLabels, Sides
from schemas.errors import SchemaError
from schemas.result import DocDetail, OverallResult, Result, load_outcome, load_result
from tests.unit import vendor_examples
from tests.unit.vendor_examples import SIGNATURE_ID

if TYPE_CHECKING:
    from collections.abc import Callable

PASSED = json.loads(vendor_examples.PASSED)["data"]
FAILED = json.loads(vendor_examples.FAILED)["data"]
PENDING = json.loads(vendor_examples.PENDING)["data"]


def load(**changes: Any) -> Result:
    """What becomes of a plain passed result with some fields changed."""
    data = {"signatureId": SIGNATURE_ID, "overallResult": "PASS", "errorCode": "SUCCESS"} | changes
    return load_result(data, signature_id=SIGNATURE_ID)


def load_doc_detail(**doc_detail: Any) -> DocDetail:
    result = load(docDetail=doc_detail)
    assert result.doc_detail is not None
    return result.doc_detail


def refusal(data: Any) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        load_result(data, signature_id=SIGNATURE_ID)
    return caught.value


# What the vendor's page shows


def test_the_vendors_passed_example_is_read() -> None:
    assert load_result(PASSED, signature_id=SIGNATURE_ID) == Result(
        signature_id=SIGNATURE_ID,
        overall_result=OverallResult.PASS,
        submission_completed=True,
        error_code="SUCCESS",
        doc_detail=DocDetail(
            doc_result="PASS",
            front_image="https://abc.com/idFrontImage.jpg",
            back_image="https://abc.com/idBackImage.jpg",
            doc_type=Sides("MY-ID-MYKAD", "MY-ID-MYKAD"),
            sub_doc_type=Sides("MY-ID-MYKAD", "MY-ID-MYKAD"),
            ocr_info=Sides(
                {
                    "gender": "PEREMPUAN",
                    "name": "****** ******",
                    "address": "****** ****** ****** ******",
                    "idNumber": "************",
                    "religion": "",
                    "birthday": "1977/10/28",
                    "citizen": "MYS",
                },
                {"idNumber": "************"},
            ),
            quality_labels=Sides(QualityLabels(is_blur=False, is_dim=False, is_exposure=True), None),
            forgery_labels=("photocopy",),
            events=(DocEvent("FE_DOCUMENT_SCAN", "PASS", 1665993522952),),
        ),
        country_code_iso3="PHL",
    )


def test_the_vendors_failed_example_in_lower_case_is_read() -> None:
    assert load_result(FAILED, signature_id=SIGNATURE_ID) == Result(
        signature_id=SIGNATURE_ID,
        overall_result=OverallResult.FAIL,
        submission_completed=True,
        error_code="NOT_SUPPORTED_CARD",
        doc_detail=DocDetail(),
        country_code_iso3="PHL",
    )


def test_the_vendors_pending_example_is_read_though_it_has_no_id() -> None:
    result = load_result(PENDING, signature_id=SIGNATURE_ID)

    assert not result.settled
    assert result.signature_id is None
    assert result.doc_detail is not None
    assert result.doc_detail.front_image == "https://abc.com/idFrontImage.jpg"
    assert result.doc_detail.quality_labels == Sides()


@pytest.mark.parametrize("data", [PASSED, FAILED, PENDING], ids=["passed", "failed", "pending"])
def test_read_again_an_answer_comes_to_the_same_outcome_and_links(data: Any) -> None:
    whole = load_result(data, signature_id=SIGNATURE_ID)
    again = load_outcome(data, signature_id=SIGNATURE_ID)
    assert whole.doc_detail is not None
    assert again == Result(
        signature_id=whole.signature_id,
        overall_result=whole.overall_result,
        error_code=whole.error_code,
        doc_detail=DocDetail(
            front_image=whole.doc_detail.front_image, back_image=whole.doc_detail.back_image
        ),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"signatureId": "another"},
        {"overallResult": "MAYBE"},
        {"idvResult": "FAIL"},
        {"errorCodes": ["LIVENESS_ATTACK"]},
        {"docDetail": {"docFrontImage": 7}},
    ],
)
def test_what_an_outcome_cannot_be_is_refused_also_when_read_again(changes: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        load_outcome(PASSED | changes, signature_id=SIGNATURE_ID)


# What its other pages and its habits add


@pytest.mark.parametrize("word", ["PASS", "pass", "Pass", "FAIL", "fail", "INCOMPLETE", "incomplete"])
def test_the_case_of_a_result_does_not_matter(word: str) -> None:
    assert load(overallResult=word).overall_result is OverallResult(word.upper())


@pytest.mark.parametrize("word", ["PASS", "fail", "INCOMPLETE"])
def test_an_older_answer_has_only_idv_result(word: str) -> None:
    result = load_result({"signatureId": SIGNATURE_ID, "idvResult": word}, signature_id=SIGNATURE_ID)

    assert result.overall_result is OverallResult(word.upper())


def test_a_newer_answer_may_do_without_idv_result() -> None:
    assert load(idvResult=None).overall_result is OverallResult.PASS


def test_a_null_overall_result_is_pending_whatever_idv_result_says() -> None:
    """Null is the vendor's word for being still at work; the older field may be filled before."""
    assert not load(overallResult=None, idvResult="PASS").settled


def test_the_same_result_in_two_spellings_is_no_contradiction() -> None:
    assert load(overallResult="FAIL", idvResult="fail").overall_result is OverallResult.FAIL


@pytest.mark.parametrize("name", ["createTimestmap", "createTimestamp"])
@pytest.mark.parametrize("moment", [1665993522952, "1665993522952"])
def test_an_event_has_its_time_under_either_name(name: str, moment: object) -> None:
    doc_detail = load_doc_detail(eventDetails=[{"event": "E", "result": None, name: moment}])

    assert doc_detail.events == (DocEvent("E", None, 1665993522952),)


@pytest.mark.parametrize("name", ["ocrResult", "docResult"])
def test_the_document_has_its_result_under_either_name(name: str) -> None:
    assert load_doc_detail(**{name: "PASS"}).doc_result == "PASS"
    assert load_doc_detail(**{"ocrResult": None, "docResult": None, name: "PASS"}).doc_result == "PASS"


def test_fields_of_sibling_products_and_of_later_releases_are_left_out() -> None:
    result = load(
        faceDetail={"image": "https://abc.com/face.jpg"},
        later=[{"deeper": None}],
        docDetail={"later": 1, "qualityLabels": {"front": {"isUpsideDown": True}, "inside": 7}},
    )

    assert result == load(docDetail={"qualityLabels": {"front": {}}})


@pytest.mark.parametrize("codes", [None, [], [None], ["SUCCESS"], ["SUCCESS", None, "SUCCESS"]])
def test_an_array_of_codes_beside_the_code_is_read(codes: object) -> None:
    assert load(errorCodes=codes) == load()


@pytest.mark.parametrize("codes", [["CARD_NOT_FOUND"], ["ADDRESS_A", "ADDRESS_B"]])
def test_an_array_of_codes_of_what_did_not_pass_changes_nothing(codes: object) -> None:
    plain = {"overallResult": "FAIL", "errorCode": "CARD_NOT_FOUND"}

    assert load(**plain, errorCodes=codes) == load(**plain)


def test_an_array_of_codes_is_not_taken_for_the_code() -> None:
    """Only `errorCode` decides: an answer of a sibling product goes to review, it never approves."""
    assert load(errorCode=None, errorCodes=["SUCCESS"]).error_code is None


@pytest.mark.parametrize("code", ["LIVENESS_ATTACK", "success", "SOMETHING_NEW_2"])
def test_a_code_that_nobody_knows_is_read_as_it_is(code: str) -> None:
    assert load(errorCode=code).error_code == code


@pytest.mark.parametrize("code", ["SUCCESS ", " SUCCESS", "SUCCESS\n", "Juana Cruz", "\ud800", "X" * 65, "É"])
def test_a_code_that_looks_like_none_goes_no_further(code: str) -> None:
    """Codes reach logs, the ledger and messages: what may be a name or an address must not."""
    assert load(errorCode=code).error_code == "UNPRINTABLE"


def test_an_empty_code_or_link_says_nothing() -> None:
    result = load(errorCode="", docDetail={"docFrontImage": ""})

    assert result.error_code is None
    assert result.doc_detail == DocDetail()


NULLS = [
    {"docDetail": None},
    {"submissionCompleted": None, "errorCode": None, "countryCodeIso3": None, "errorCodes": None},
    {"docDetail": {}},
    {"docDetail": dict.fromkeys(PASSED["docDetail"])},
    {"docDetail": {"docType": {"front": None, "back": None}, "subDocType": {}}},
    {"docDetail": {"ocrInfo": {"front": None, "back": {}}}},
    {"docDetail": {"ocrInfo": {"front": {"name": None, "more": [{"deeper": None}]}}}},
    {"docDetail": {"qualityLabels": {"front": {"isBlur": None}, "back": None}}},
    {"docDetail": {"forgeryLabels": [None]}},
    {"docDetail": {"eventDetails": [None, {}, {"event": None, "result": None, "createTimestmap": None}]}},
]


@pytest.mark.parametrize("changes", NULLS)
def test_nulls_are_read_at_every_level(changes: dict[str, Any]) -> None:
    assert load(**changes).overall_result is OverallResult.PASS


@pytest.mark.parametrize("data", [{}, dict.fromkeys(PASSED), {"docDetail": {"ocrResult": "PASS"}}])
def test_an_answer_with_next_to_nothing_in_it_is_pending(data: dict[str, Any]) -> None:
    result = load_result(data, signature_id=SIGNATURE_ID)

    assert not result.settled
    assert not result.submission_completed


def test_a_pending_result_knows_whether_the_user_is_done() -> None:
    assert load(overallResult=None, submissionCompleted=True).submission_completed


def test_labels_of_two_kinds_may_come_with_a_pass() -> None:
    doc_detail = load_doc_detail(
        forgeryLabels=["photocopy", "screen"], qualityLabels={"front": {"isExposure": True}}
    )

    assert doc_detail.forgery_labels == ("photocopy", "screen")
    assert doc_detail.quality_labels.front == QualityLabels(is_exposure=True)


# What comes out


def test_a_result_is_frozen_to_the_bottom() -> None:
    result = load_result(PASSED, signature_id=SIGNATURE_ID)
    assert result.doc_detail is not None
    assert result.doc_detail.ocr_info.front is not None

    with pytest.raises(dataclasses.FrozenInstanceError):
        result.overall_result = OverallResult.FAIL  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.doc_detail.front_image = None  # type: ignore[misc]
    with pytest.raises(TypeError):
        result.doc_detail.ocr_info.front["name"] = ""  # type: ignore[index]


def test_a_result_keeps_what_is_personal_out_of_its_repr() -> None:
    text = repr(load_result(PASSED, signature_id=SIGNATURE_ID))

    assert "PEREMPUAN" not in text
    assert "abc.com" not in text


def test_what_was_loaded_from_is_left_as_it_was() -> None:
    data = deepcopy(PASSED)
    load_result(data, signature_id=SIGNATURE_ID)

    assert data == PASSED


# What is refused


@pytest.mark.parametrize("data", [None, [], "MARKER", 17, True, [PASSED]])
def test_success_without_an_object_as_data_is_refused(data: object) -> None:
    assert refusal(data).field == "data"


@pytest.mark.parametrize(
    "other", ["MARKER", "", SIGNATURE_ID.upper(), SIGNATURE_ID + "\n", " " + SIGNATURE_ID, 17, [SIGNATURE_ID]]
)
@pytest.mark.parametrize("data", [PASSED, FAILED, PENDING], ids=["passed", "failed", "pending"])
def test_an_answer_for_another_id_is_refused(data: dict[str, Any], other: object) -> None:
    error = refusal(data | {"signatureId": other})

    assert error.field == "data.signatureId"
    assert "MARKER" not in str(error)


@pytest.mark.parametrize("word", ["PASS", "FAIL", "INCOMPLETE"])
@pytest.mark.parametrize("name", ["overallResult", "idvResult"])
@pytest.mark.parametrize("said", [{}, {"signatureId": None}], ids=["missing", "null"])
def test_a_settled_result_without_an_id_is_refused(name: str, word: str, said: dict[str, Any]) -> None:
    assert refusal({name: word, "errorCode": "SUCCESS", **said}).field == "data.signatureId"


@pytest.mark.parametrize(
    ("newer", "older"), [("PASS", "FAIL"), ("FAIL", "PASS"), ("INCOMPLETE", "FAIL"), ("pass", "fail")]
)
def test_two_results_that_contradict_each_other_are_refused(newer: str, older: str) -> None:
    error = refusal(PASSED | {"overallResult": newer, "idvResult": older})

    assert str(error) == "data.idvResult: contradicts overallResult"


@pytest.mark.parametrize(
    ("code", "codes"),
    [
        ("SUCCESS", ["ID_FORGERY_DETECTED"]),
        ("SUCCESS", ["SUCCESS", "ID_FORGERY_DETECTED"]),
        ("SUCCESS", ["any text"]),
        ("ID_FORGERY_DETECTED", ["SUCCESS"]),
        (None, ["SUCCESS", "ID_FORGERY_DETECTED"]),
    ],
)
def test_promise_7_success_beside_another_code_is_refused(code: str | None, codes: list[str]) -> None:
    error = refusal(PASSED | {"errorCode": code, "errorCodes": codes})

    assert str(error) == "data.errorCodes: contradicts SUCCESS"


NOT_A_RESULT = [
    1,
    0,
    True,
    False,
    1.0,
    "MARKER",
    "MAYBE",
    "",
    " PASS",
    "PASS ",
    "PASS\n",
    "null",
    "PASSED",
    [],
    ["PASS"],
    {},
]


@pytest.mark.parametrize("value", NOT_A_RESULT)
@pytest.mark.parametrize("name", ["overallResult", "idvResult"])
def test_a_result_of_unknown_type_or_value_is_refused(name: str, value: object) -> None:
    error = refusal(PASSED | {name: value})

    assert str(error) == f"data.{name}: must be PASS, FAIL, INCOMPLETE or null"


@pytest.mark.parametrize("word", ["pa\u017fs", "PA\u017f\u017f", "\uff30\uff21\uff33\uff33", "pa\u00df"])
def test_letters_that_become_pass_in_capitals_are_not_pass(word: str) -> None:
    """Unicode capitalises the long s to S and the sharp s to SS."""
    assert refusal(PASSED | {"overallResult": word}).field == "data.overallResult"


@pytest.mark.parametrize("value", ["yes", "true", "false", "", "MARKER", 1, 0, 1.0, [], {}])
def test_a_truth_that_is_no_boolean_is_refused(value: object) -> None:
    assert str(refusal(PASSED | {"submissionCompleted": value})) == (
        "data.submissionCompleted: must be true or false"
    )


WRONG_TYPES: list[tuple[dict[str, Any], str]] = [
    ({"errorCode": 17}, "data.errorCode"),
    ({"errorCode": True}, "data.errorCode"),
    ({"errorCode": ["SUCCESS"]}, "data.errorCode"),
    ({"errorCode": {"MARKER": "MARKER"}}, "data.errorCode"),
    ({"errorCodes": "MARKER"}, "data.errorCodes"),
    ({"errorCodes": {"MARKER": 1}}, "data.errorCodes"),
    ({"errorCodes": ["SUCCESS", 17]}, "data.errorCodes.1"),
    ({"countryCodeIso3": ["MARKER"]}, "data.countryCodeIso3"),
    ({"docDetail": []}, "data.docDetail"),
    ({"docDetail": "MARKER"}, "data.docDetail"),
    ({"docDetail": True}, "data.docDetail"),
    ({"docDetail": {"docFrontImage": ["MARKER"]}}, "data.docDetail.docFrontImage"),
    ({"docDetail": {"docFrontImage": 17}}, "data.docDetail.docFrontImage"),
    ({"docDetail": {"docBackImage": {"url": "MARKER"}}}, "data.docDetail.docBackImage"),
    ({"docDetail": {"docBackImage": "https://MARKER/\ud800"}}, "data.docDetail.docBackImage"),
    ({"docDetail": {"docBackImage": "https://MARKER/\r\nX: y"}}, "data.docDetail.docBackImage"),
    ({"docDetail": {"docResult": 1}}, "data.docDetail.docResult"),
    ({"docDetail": {"ocrResult": ["MARKER"]}}, "data.docDetail.ocrResult"),
    ({"docDetail": {"docType": "MARKER"}}, "data.docDetail.docType"),
    ({"docDetail": {"docType": {"front": ["MARKER"]}}}, "data.docDetail.docType.front"),
    ({"docDetail": {"subDocType": ["MARKER"]}}, "data.docDetail.subDocType"),
    ({"docDetail": {"ocrInfo": ["MARKER"]}}, "data.docDetail.ocrInfo"),
    ({"docDetail": {"ocrInfo": {"back": "MARKER"}}}, "data.docDetail.ocrInfo.back"),
    ({"docDetail": {"ocrInfo": {"front": ["MARKER"]}}}, "data.docDetail.ocrInfo.front"),
    ({"docDetail": {"qualityLabels": "MARKER"}}, "data.docDetail.qualityLabels"),
    ({"docDetail": {"qualityLabels": {"front": ["MARKER"]}}}, "data.docDetail.qualityLabels.front"),
    (
        {"docDetail": {"qualityLabels": {"front": {"isDim": "MARKER"}}}},
        "data.docDetail.qualityLabels.front.isDim",
    ),
    ({"docDetail": {"forgeryLabels": "MARKER"}}, "data.docDetail.forgeryLabels"),
    ({"docDetail": {"forgeryLabels": {"MARKER": 1}}}, "data.docDetail.forgeryLabels"),
    ({"docDetail": {"forgeryLabels": ["photocopy", {"MARKER": 1}]}}, "data.docDetail.forgeryLabels.1"),
    ({"docDetail": {"eventDetails": {"MARKER": 1}}}, "data.docDetail.eventDetails"),
    ({"docDetail": {"eventDetails": ["MARKER"]}}, "data.docDetail.eventDetails.0"),
    ({"docDetail": {"eventDetails": [{"event": 17}]}}, "data.docDetail.eventDetails.0.event"),
    (
        {"docDetail": {"eventDetails": [{"createTimestmap": "MARKER"}]}},
        "data.docDetail.eventDetails.0.createTimestmap",
    ),
    (
        {"docDetail": {"eventDetails": [{}, {"createTimestamp": True}]}},
        "data.docDetail.eventDetails.1.createTimestamp",
    ),
]


@pytest.mark.parametrize(("changes", "field"), WRONG_TYPES)
def test_a_field_of_another_type_is_refused_by_name_and_not_by_value(
    changes: dict[str, Any], field: str
) -> None:
    error = refusal(PASSED | changes)

    assert error.field == field
    assert "MARKER" not in str(error)


LISTS: list[tuple[Callable[[list[Any]], dict[str, Any]], str]] = [
    (lambda entries: {"errorCodes": entries}, "data.errorCodes"),
    (lambda entries: {"docDetail": {"forgeryLabels": entries}}, "data.docDetail.forgeryLabels"),
    (lambda entries: {"docDetail": {"eventDetails": entries}}, "data.docDetail.eventDetails"),
]


@pytest.mark.parametrize(("changes", "field"), LISTS)
@pytest.mark.parametrize("entry", [17, None, "SUCCESS", {}, []])
def test_of_a_list_without_end_no_entry_is_looked_at(
    changes: Callable[[list[Any]], dict[str, Any]], field: str, entry: Any
) -> None:
    """A body has room for a million; as many faults, or values, took up to 155 MB."""
    data = PASSED | changes([entry] * 1_000_000)
    tracemalloc.start()
    try:
        error = refusal(data)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (error.field, error.problem) == (field, "must have at most 1000 entries")
    assert most_bytes < 100_000


@pytest.mark.parametrize(("changes", "field"), LISTS)
def test_a_list_may_have_a_thousand_entries_and_no_more(
    changes: Callable[[list[Any]], dict[str, Any]], field: str
) -> None:
    assert error_of(PASSED | changes([None] * 1000)) == ""
    assert error_of(PASSED | changes([None] * 1001)) == f"{field}: must have at most 1000 entries"


# Whatever may come

MARKER = "\u00a7"
NUMBER = 918_273_645
NAMES = sorted(
    {
        *PASSED,
        *PASSED["docDetail"],
        *PASSED["docDetail"]["eventDetails"][0],
        "front",
        "back",
        "errorCodes",
        "isDim",
    }
)
marked = st.text(max_size=4).map(lambda text: f"{MARKER}{text}{MARKER}")
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([NUMBER, -NUMBER, NUMBER / 1e9, SIGNATURE_ID, "PASS", "fail", "SUCCESS"])
    | marked,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | marked, inner, max_size=4)
    ),
    max_leaves=12,
)


def error_of(data: Any) -> str:
    """What an answer is refused with; empty for one that is read."""
    try:
        result = load_result(data, signature_id=SIGNATURE_ID)
    except SchemaError as error:
        return str(error)
    assert result.signature_id == SIGNATURE_ID or not result.settled
    return ""


def assert_read_or_refused_unquoted(data: Any) -> None:
    error = error_of(data)
    assert MARKER not in error
    assert str(NUMBER) not in error


calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@calm
@given(anything)
def test_any_json_is_read_or_refused_and_never_quoted(data: Any) -> None:
    assert_read_or_refused_unquoted(data)


@calm
@given(st.dictionaries(st.sampled_from(sorted(PASSED)), anything))
def test_any_json_in_any_field_is_read_or_refused_and_never_quoted(changes: dict[str, Any]) -> None:
    assert_read_or_refused_unquoted(PASSED | changes)


@calm
@given(st.dictionaries(st.sampled_from(sorted(PASSED["docDetail"])), anything))
def test_any_json_in_any_field_of_the_document_is_read_or_refused_and_never_quoted(
    changes: dict[str, Any],
) -> None:
    assert_read_or_refused_unquoted(PASSED | {"docDetail": PASSED["docDetail"] | changes})


def test_a_mapping_nested_without_end_is_read_or_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"docDetail": deep, "front": deep}

    assert load(docDetail={"ocrInfo": {"front": deep}}).settled
    assert load(docDetail=deep).settled
