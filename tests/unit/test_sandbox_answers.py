"""The sandbox's bodies: those of the vendor's page, and read by our own schemas as they should be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import answers
from sandbox.documents import PERSON
from sandbox.grammar import parse
from sandbox.scenario import DOCUMENTED, Pending, Settled
from sandbox.state import Given
from schemas.envelope import load_envelope
from schemas.errors import SchemaError
from schemas.result import load_result

if TYPE_CHECKING:
    from sandbox.reply import Reply

URLS = {side: f"http://images.example/{side}.jpg" for side in ("front", "back")}


def given(signature_id: str) -> Given:
    return Given(parse(signature_id), Settled(), settled_before=0, first_asked_at_ms=1_665_993_552_952)


def settled(signature_id: str) -> Reply:
    return answers.settled(given(signature_id), signature_id, URLS)


def data_of(reply: Reply) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(reply.body)["data"]
    return data


def keys(value: object) -> object:
    """The names in a JSON document, without what they hold."""
    if isinstance(value, dict):
        return {name: keys(held) for name, held in value.items()}
    return None


#: The names in the vendor's first example.
FIRST_EXAMPLE = {
    "code": None,
    "message": None,
    "data": {
        "signatureId": None,
        "overallResult": None,
        "submissionCompleted": None,
        "idvResult": None,
        "errorCode": None,
        "docDetail": {
            "ocrResult": None,
            "docFrontImage": None,
            "docBackImage": None,
            "docType": {"front": None, "back": None},
            "subDocType": {"front": None, "back": None},
            "ocrInfo": {
                "front": dict.fromkeys(
                    ("gender", "name", "address", "idNumber", "religion", "birthday", "citizen")
                ),
                "back": {"idNumber": None},
            },
            "qualityLabels": {"front": {"isBlur": None, "isDim": None, "isExposure": None}, "back": None},
            "forgeryLabels": None,
            "eventDetails": None,
        },
        "countryCodeIso3": None,
    },
    "extra": None,
    "transactionId": None,
    "pricingStrategy": None,
}


def test_a_pass_has_the_names_of_the_vendors_first_example() -> None:
    body = json.loads(settled("pass-my-1").body)
    assert keys(body) == FIRST_EXAMPLE
    assert list(body["data"]["docDetail"]["eventDetails"][0]) == ["event", "result", "createTimestmap"]
    assert body["data"]["docDetail"]["docType"] == {"front": "MY-ID-MYKAD", "back": "MY-ID-MYKAD"}
    assert body["pricingStrategy"] == "FREE"


def test_not_supported_card_is_the_vendors_second_example() -> None:
    """`fail` in small letters, and hardly a detail."""
    data = data_of(settled("NOT_SUPPORTED_CARD-ph-1"))
    assert data == {
        "signatureId": "NOT_SUPPORTED_CARD-ph-1",
        "overallResult": "fail",
        "submissionCompleted": True,
        "idvResult": "fail",
        "errorCode": "NOT_SUPPORTED_CARD",
        "docDetail": {
            "docResult": None,
            "docFrontImage": None,
            "docBackImage": None,
            "ocrInfo": None,
            "qualityLabels": None,
            "forgeryLabels": None,
        },
        "countryCodeIso3": "PHL",
    }


def test_null_has_the_names_of_the_vendors_third_example() -> None:
    """Partly filled, and without `signatureId`."""
    data = data_of(answers.pending(given("n1-1"), Pending(submission_completed=False), URLS))
    assert "signatureId" not in data
    assert (data["overallResult"], data["idvResult"], data["errorCode"]) == (None, None, None)
    assert data["docDetail"]["docFrontImage"] == URLS["front"]
    assert data["docDetail"]["qualityLabels"] == {"front": None, "back": None}


@pytest.mark.parametrize("code", [*DOCUMENTED, "NOT_SUPPORTED_CARD", "SOMETHING_NEW"])
def test_our_schemas_read_every_result(code: str) -> None:
    signature_id = f"{code}-1"
    result = load_result(load_envelope(settled(signature_id).body).data, signature_id=signature_id)
    assert result.error_code == code
    assert result.settled


@pytest.mark.parametrize("shape", ["lowercase", "idvonly", "docresult", "timestamp", "nodetail"])
def test_our_schemas_read_every_shape_that_can_be_read(shape: str) -> None:
    signature_id = f"fail-{shape}-1"
    result = load_result(load_envelope(settled(signature_id).body).data, signature_id=signature_id)
    assert (result.overall_result, result.error_code) == ("FAIL", "ID_FORGERY_DETECTED")


@pytest.mark.parametrize("shape", ["nosigid", "unknownresult", "nodata"])
def test_our_schemas_refuse_every_shape_that_cannot(shape: str) -> None:
    signature_id = f"pass-{shape}-1"
    with pytest.raises(SchemaError):
        load_result(load_envelope(settled(signature_id).body).data, signature_id=signature_id)


def test_shapes_are_written_as_their_names_say() -> None:
    assert "overallResult" not in data_of(settled("pass-idvonly"))
    assert data_of(settled("fail-lowercase"))["overallResult"] == "fail"
    assert "docResult" in data_of(settled("pass-docresult"))["docDetail"]
    assert "createTimestamp" in data_of(settled("pass-timestamp"))["docDetail"]["eventDetails"][0]
    assert data_of(settled("pass-nodetail"))["docDetail"] is None
    assert data_of(settled("unknownresult"))["overallResult"] == "MAYBE"


def test_a_user_who_did_not_finish_submitted_nothing() -> None:
    data = data_of(settled("USER_TIMEOUT-1"))
    assert (data["submissionCompleted"], data["docDetail"]) == (False, None)


def test_personal_data_can_be_told_by_its_marker() -> None:
    """Whoever greps for leaks finds every name, address and number."""
    ocr = data_of(settled("pass-1"))["docDetail"]["ocrInfo"]
    values = [
        ocr[side][name] for side in ocr for name in ocr[side] if name in {"name", "address", "idNumber"}
    ]
    assert len(values) == 4
    assert all(PERSON in value for value in values)


def test_every_answer_has_a_transaction_id_of_its_own() -> None:
    ids = {json.loads(settled("pass-1").body)["transactionId"] for _ in range(100)}
    assert len(ids) == 100
    assert all(len(transaction_id) <= 64 for transaction_id in ids)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("SIGNATURE_NOT_EXIST", "This signatureId is not exist"),
        ("ERROR", "Server error"),
        ("SERVICE_BUSY", "Service busy"),
    ],
)
def test_a_refusal_is_an_envelope_with_null_data_and_http_200(code: str, message: str) -> None:
    reply = answers.refused(code)
    body = json.loads(reply.body)
    assert (reply.status, body["code"], body["message"], body["data"]) == (200, code, message, None)
