"""The result: everything the vendor is known to send is read, and nothing doubtful is."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.document import UNUSABLE_LINK, DocEvent, QualityLabels, Sides
from schemas.errors import SchemaError
from schemas.result import Contradiction, DocDetail, OverallResult, Result, load_outcome, load_result
from tests.support.decided import decided
from tests.support.odd_answers import may_approve
from tests.unit import vendor_examples
from tests.unit.vendor_examples import SIGNATURE_ID
from worker.decisions.table import Table

TABLE = Table.load(None)

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
        error_codes=("SUCCESS",),
        document_type="MY-ID-MYKAD",
        forgery_labels=("photocopy",),
        quality_labels=("isExposure",),
    )


def test_the_vendors_failed_example_in_lower_case_is_read() -> None:
    assert load_result(FAILED, signature_id=SIGNATURE_ID) == Result(
        signature_id=SIGNATURE_ID,
        overall_result=OverallResult.FAIL,
        submission_completed=True,
        error_code="NOT_SUPPORTED_CARD",
        doc_detail=DocDetail(),
        country_code_iso3="PHL",
        error_codes=("NOT_SUPPORTED_CARD",),
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
        error_codes=whole.error_codes,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"signatureId": "another"},
        {"overallResult": "MAYBE"},
        {"idvResult": 17},
        {"errorCodes": "LIVENESS_ATTACK"},
        {"docDetail": "MAYBE"},
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
def test_an_array_of_codes_of_what_did_not_pass_leaves_the_code_as_it_is(codes: list[str]) -> None:
    result = load(overallResult="FAIL", errorCode="CARD_NOT_FOUND", errorCodes=codes)

    assert (result.error_code, result.contradiction) == ("CARD_NOT_FOUND", None)
    assert result.error_codes == tuple(dict.fromkeys(["CARD_NOT_FOUND", *codes]))


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


# What contradicts itself


@pytest.mark.parametrize(
    ("newer", "older"), [("PASS", "FAIL"), ("FAIL", "PASS"), ("INCOMPLETE", "FAIL"), ("pass", "fail")]
)
def test_two_results_that_contradict_each_other_are_named(newer: str, older: str) -> None:
    assert load(overallResult=newer, idvResult=older).contradiction is Contradiction.IDV_RESULT


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
def test_promise_7_success_beside_another_code_is_named(code: str | None, codes: list[str]) -> None:
    assert load(errorCode=code, errorCodes=codes).contradiction is Contradiction.ERROR_CODES


@pytest.mark.parametrize("word", ["FAIL", "fail", "INCOMPLETE", "PASSED", "pa\u017fs", " PASS", "null", "0"])
@pytest.mark.parametrize(
    ("detail", "name", "contradiction"),
    [
        ("docDetail", "docResult", Contradiction.DOC_RESULT),
        ("docDetail", "ocrResult", Contradiction.DOC_RESULT),
        ("faceDetail", "faceResult", Contradiction.FACE_RESULT),
    ],
)
def test_promise_7_a_part_that_did_not_pass_is_named(
    word: str, detail: str, name: str, contradiction: Contradiction
) -> None:
    assert load(**{detail: {name: word}}).contradiction is contradiction


@pytest.mark.parametrize(
    "said", [{"docResult": "PASS", "ocrResult": "FAIL"}, {"docResult": "FAIL", "ocrResult": "PASS"}]
)
def test_promise_7_of_two_results_of_the_document_the_one_that_did_not_pass_counts(
    said: dict[str, str],
) -> None:
    assert load(docDetail=said).contradiction is Contradiction.DOC_RESULT


def test_promise_7_a_pass_before_the_user_is_done_is_named() -> None:
    assert load(submissionCompleted=False).contradiction is Contradiction.NOT_SUBMITTED


AGREEING = [
    {"docDetail": {"docResult": "pass", "ocrResult": None}, "faceDetail": {"faceResult": "PASS"}},
    {"docDetail": {"docResult": ""}, "faceDetail": {"faceResult": None}, "submissionCompleted": None},
    {"docDetail": [], "faceDetail": [], "idvResult": "pass", "errorCodes": ["SUCCESS"]},
    # A result that is no approval may well come of parts that did not pass.
    {"overallResult": "FAIL", "errorCode": "ID_FORGERY_DETECTED", "docDetail": {"ocrResult": "PASS"}},
    {"overallResult": "FAIL", "errorCode": "ID_FORGERY_DETECTED", "faceDetail": {"faceResult": "FAIL"}},
    {"overallResult": "INCOMPLETE", "errorCode": "USER_TIMEOUT", "submissionCompleted": False},
    # Nothing is decided yet.
    {"overallResult": None, "idvResult": "FAIL", "submissionCompleted": False, "errorCodes": ["ERROR"]},
]


@pytest.mark.parametrize("changes", AGREEING)
def test_an_answer_that_agrees_with_itself_has_no_contradiction(changes: dict[str, Any]) -> None:
    assert load(**changes).contradiction is None


# What is refused


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
    ({"docDetail": "MARKER"}, "data.docDetail"),
    ({"docDetail": True}, "data.docDetail"),
    ({"docDetail": ["MARKER"]}, "data.docDetail"),
    ({"docDetail": {"docResult": 1}}, "data.docDetail.docResult"),
    ({"docDetail": {"ocrResult": ["MARKER"]}}, "data.docDetail.ocrResult"),
    ({"docDetail": {"ocrResult": False}}, "data.docDetail.ocrResult"),
    ({"docDetail": {"ocrresult": "MARKER"}}, "data.docDetail.ocrResult"),
    ({"faceDetail": "MARKER"}, "data.faceDetail"),
    ({"faceDetail": {"faceResult": {"MARKER": 1}}}, "data.faceDetail.faceResult"),
    ({"ErrorCode": "MARKER"}, "data.errorCode"),
    ({"SIGNATUREID": "MARKER"}, "data.signatureId"),
]


@pytest.mark.parametrize(("changes", "field"), WRONG_TYPES)
def test_a_field_of_another_type_is_refused_by_name_and_not_by_value(
    changes: dict[str, Any], field: str
) -> None:
    error = refusal(PASSED | changes)

    assert error.field == field
    assert "MARKER" not in str(error)


LINKS: list[tuple[Any, str | None]] = [
    (["MARKER"], UNUSABLE_LINK),
    (17, UNUSABLE_LINK),
    (True, UNUSABLE_LINK),
    ({"url": "MARKER"}, UNUSABLE_LINK),
    ([], None),
    ({}, None),
    ("", None),
    (0, None),
    (False, None),
    ("https://a.example/\ud800", "https://a.example/\ud800"),
    ("https://a.example/\r\nX: y", "https://a.example/\r\nX: y"),
]


@pytest.mark.parametrize("name", ["docFrontImage", "docBackImage"])
@pytest.mark.parametrize(("value", "link"), LINKS)
def test_a_link_is_never_a_reason_to_refuse(name: str, value: Any, link: str | None) -> None:
    """Whether an image can be had is found out when it is fetched; the manifest says what is missing."""
    detail = load_doc_detail(**{name: value})

    assert {detail.front_image, detail.back_image} == {link, None}


LISTS = ["errorCodes", "forgeryLabels", "eventDetails"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("entry", [17, None, "SUCCESS", {}, []])
def test_of_a_list_without_end_no_entry_is_looked_at(name: str, entry: Any) -> None:
    """A body has room for a million; as many faults, or values, took up to 155 MB."""
    entries = [entry] * 1_000_000
    data = PASSED | ({name: entries} if name == "errorCodes" else {"docDetail": {name: entries}})
    tracemalloc.start()
    try:
        error = error_of(data)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error == ("data.errorCodes: must have at most 1000 entries" if name == "errorCodes" else "")
    assert most_bytes < 100_000


def test_a_list_may_have_a_thousand_entries_and_no_more() -> None:
    assert error_of(PASSED | {"errorCodes": [None] * 1000}) == ""
    assert (
        error_of(PASSED | {"errorCodes": [None] * 1001}) == "data.errorCodes: must have at most 1000 entries"
    )
    assert len(load_doc_detail(eventDetails=[{}] * 1000).events) == 1000
    assert load_doc_detail(eventDetails=[{}] * 1001).events == ()


def test_of_a_list_that_nobody_decides_on_the_entries_that_can_be_read_are_read() -> None:
    detail = load_doc_detail(
        forgeryLabels=["photocopy", {"label": "screen"}, 17, None, "screen"],
        eventDetails=["MARKER", {"event": "E", "createTimestmap": "2022-10-17T07:58:42Z"}, []],
    )

    assert detail.forgery_labels == ("photocopy", "screen")
    assert detail.events == (DocEvent("E"),)


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


JSON_TYPES: list[Any] = [
    None,
    True,
    False,
    0,
    17,
    -1,
    0.5,
    "",
    "MARKER",
    [],
    ["MARKER"],
    [[]],
    {},
    {"MARKER": {}},
]
#: Where each field lies that no decision rests on.
UNDECIDED = [
    ("countryCodeIso3",),
    ("docDetail", "docFrontImage"),
    ("docDetail", "docBackImage"),
    ("docDetail", "docType"),
    ("docDetail", "docType", "front"),
    ("docDetail", "subDocType"),
    ("docDetail", "subDocType", "back"),
    ("docDetail", "ocrInfo"),
    ("docDetail", "ocrInfo", "front"),
    ("docDetail", "ocrInfo", "front", "name"),
    ("docDetail", "qualityLabels"),
    ("docDetail", "qualityLabels", "back"),
    ("docDetail", "qualityLabels", "front", "isDim"),
    ("docDetail", "forgeryLabels"),
    ("docDetail", "eventDetails"),
    ("docDetail", "later"),
    ("faceDetail", "faceImage"),
    ("faceDetail", "auditImageUrl"),
    ("faceDetail", "faceVideoUrl"),
    ("faceDetail", "faceImageTime"),
    ("faceDetail", "livenessType"),
    ("faceDetail", "eventDetails"),
    ("addressDetail",),
    ("addressDetail", "proofImage"),
    ("docDatabaseDetail",),
    ("feeDetail",),
    ("inputParameters",),
]


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The passed answer with another value at one place."""
    data = deepcopy(PASSED)
    inner = data
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    return data  # type: ignore[no-any-return]


@pytest.mark.parametrize("value", JSON_TYPES, ids=repr)
@pytest.mark.parametrize("path", UNDECIDED, ids=".".join)
def test_a_field_that_nobody_decides_on_may_be_of_any_type(path: tuple[str, ...], value: Any) -> None:
    for load_data in (load_result, load_outcome):
        result = load_data(changed(path, value), signature_id=SIGNATURE_ID)
        assert (result.overall_result, result.error_code) == (OverallResult.PASS, "SUCCESS")
        assert result.contradiction is None


#: Where each field lies that a decision rests on, and the types with which a PASS remains one.
DECIDED: dict[tuple[str, ...], list[Any]] = {
    ("signatureId",): [],
    ("overallResult",): [],
    ("idvResult",): [None],
    ("errorCode",): [],
    ("errorCodes",): [None, []],
    ("submissionCompleted",): [None, True],
    ("docDetail",): [None, [], {}, {"MARKER": {}}],
    ("docDetail", "docResult"): [None, ""],
    ("docDetail", "ocrResult"): [None, ""],
    ("faceDetail",): [None, [], {}, {"MARKER": {}}],
    ("faceDetail", "faceResult"): [None, ""],
    ("faceDetail", "faceLivenessScore"): [None, 0, 17, 0.5],
    ("faceDetail", "faceSimilarityScore"): [None, 0, 17, 0.5],
    ("faceDetail", "livenessAttackType"): [None],
}


@pytest.mark.parametrize("value", JSON_TYPES, ids=repr)
@pytest.mark.parametrize("path", DECIDED, ids=".".join)
def test_promise_7_a_field_that_is_decided_on_approves_only_with_its_own_type(
    path: tuple[str, ...], value: Any
) -> None:
    stays = any(value is one or (value == one and type(value) is type(one)) for one in DECIDED[path])
    assert approves(changed(path, value)) == stays


def approves(data: Any) -> bool:
    """Whether the packaged table approves on an answer."""
    try:
        result = load_result(data, signature_id=SIGNATURE_ID)
    except SchemaError:
        return False
    return decided(TABLE, result.overall_result, result.error_code, result.contradiction) == "approve"


calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


words: st.SearchStrategy[Any] = st.sampled_from(
    [None, "PASS", "pass", "FAIL", "SUCCESS", "ERROR", "", True, False, 1, [], {}]
)


@settings(deadline=None, max_examples=500)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("overallResult", "idvResult", "errorCode", "submissionCompleted"), words)
        | {
            "signatureId": st.sampled_from([SIGNATURE_ID, "another", None]),
            "errorCodes": words | st.lists(words, max_size=2),
            "docDetail": words | st.dictionaries(st.sampled_from(["docResult", "ocrResult"]), words),
            "faceDetail": words | st.dictionaries(st.just("faceResult"), words),
        },
    )
)
def test_promise_7_only_pass_with_success_and_no_contradiction_approves(changes: dict[str, Any]) -> None:
    data = PASSED | changes

    assert not approves(data) or may_approve(data, SIGNATURE_ID)


@calm
@given(anything)
def test_promise_7_of_any_json_only_a_pass_approves(data: Any) -> None:
    assert not approves(data) or may_approve(data, SIGNATURE_ID)


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
