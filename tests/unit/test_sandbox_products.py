"""The sandbox's answers of the vendor's other products: as the vendor documents them, and read by our own schemas."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest

from sandbox import answers
from sandbox.documents import PERSON
from sandbox.grammar import parse
from sandbox.images import content
from sandbox.links import FILES, LinkSigner, Verdict
from sandbox.products import roles
from sandbox.scenario import Pending, Product, Settled, Shape, Video, catalogue
from sandbox.state import Given
from sandbox.vendor import IMAGE_PATH
from schemas.envelope import load_envelope
from schemas.face import FACE_LINKS
from schemas.result import Result, load_result
from worker.evidence.media import Kind, sniff
from worker.evidence.paths import ROLES

URLS = {role: f"http://images.example/{name}" for role, name in FILES.items()}
WITH_FACE = ("liveness", "face", "database")


def given(signature_id: str) -> Given:
    return Given(parse(signature_id), Settled(), settled_before=0, first_asked_at_ms=1_665_993_552_952)


def data(signature_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answers.settled(given(signature_id), signature_id, URLS).body)["data"]
    return found


def read(signature_id: str) -> Result:
    body = answers.settled(given(signature_id), signature_id, URLS).body
    return load_result(load_envelope(body).data, signature_id=signature_id)


DOCUMENT = ["signatureId", "overallResult", "submissionCompleted", "idvResult", "errorCode", "docDetail"]
#: Names in the order of the vendor's pages.
NAMES = {
    "document": DOCUMENT,
    "liveness": [*DOCUMENT, "faceDetail"],
    "face": ["signatureId", "overallResult", "idvResult", "errorCode", "faceDetail", "inputParameters"],
    "database": [
        "signatureId",
        "idvResult",
        "errorCode",
        "docDatabaseDetail",
        "faceDetail",
        "inputParameters",
    ],
    "address": ["signatureId", "overallResult", "errorCodes", "addressDetail", "inputParameters"],
    "document-older": ["signatureId", "idvResult", "errorCode", "docDetail"],
    "face-older": ["signatureId", "idvResult", "errorCode", "faceDetail", "feeDetail"],
}


@pytest.mark.parametrize("words", NAMES)
def test_a_product_has_the_names_of_its_page(words: str) -> None:
    assert list(data(f"{words}-1")) == [*NAMES[words], "countryCodeIso3"]


@pytest.mark.parametrize("words", NAMES)
def test_our_schemas_read_a_pass_of_each_product(words: str) -> None:
    result = read(f"{words}-1")

    assert (result.overall_result, result.error_code, result.contradiction) == ("PASS", "SUCCESS", None)
    assert result.links != {}


@pytest.mark.parametrize("words", NAMES)
def test_null_of_each_product_is_pending(words: str) -> None:
    reply = answers.pending(given(f"{words}-n1-1"), Pending(submission_completed=True), URLS)
    result = load_result(load_envelope(reply.body).data, signature_id=f"{words}-n1-1")

    assert (result.settled, result.submission_completed, result.linked) == (False, True, ())


@pytest.mark.parametrize("word", WITH_FACE)
def test_an_answer_links_to_every_object_of_a_face(word: str) -> None:
    links = read(f"{word}-1").links

    assert {role: links[role] for role in FACE_LINKS} == {role: URLS[role] for role in FACE_LINKS}
    assert links.keys() - FACE_LINKS.keys() == ({"front", "back"} if word == "liveness" else set())


def test_an_attack_is_one_in_every_field() -> None:
    result = read("LIVENESS_ATTACK-1")

    assert (result.overall_result, result.liveness_score, result.liveness_attack_type) == ("FAIL", 12, 1)
    assert data("LIVENESS_ATTACK-1")["faceDetail"]["faceResult"] == "FAIL"
    assert (read("SIMILARITY_FAILED-1").similarity_score, read("face-1").similarity_score) == (31, 91.25)


@pytest.mark.parametrize(
    ("words", "attribute", "value"),
    [
        ("livenessscore12", "liveness_score", 12),
        ("face-similarityscore0", "similarity_score", 0),
        ("liveness-attacktype3", "liveness_attack_type", 3),
        ("livenessscore99-LIVENESS_ATTACK", "liveness_score", 99),
    ],
)
def test_a_score_and_an_attack_type_can_be_asked_for(words: str, attribute: str, value: float) -> None:
    assert getattr(read(f"{words}-1"), attribute) == value


@pytest.mark.parametrize(
    ("words", "product"),
    [
        ("nofacevideo", Product.IDENTITY),
        ("livenessscore12", Product.IDENTITY),
        ("LIVENESS_ATTACK", Product.IDENTITY),
        ("LIVENESS_ATTACK-face", Product.FACE),
        ("face-LIVENESS_ATTACK-nofacevideo", Product.FACE),
        ("LIVENESS_ATTACK-document", Product.DOCUMENT),
        ("alsosuccess", Product.ADDRESS),
        ("pass", Product.DOCUMENT),
    ],
)
def test_a_word_about_a_face_needs_no_product(words: str, product: Product) -> None:
    assert parse(f"{words}-1").product is product


def test_a_uuid_is_plain_also_if_it_has_a_group_of_letters() -> None:
    """`face` is hexadecimal. Each such id is lifelike, as every other UUID."""
    plain = parse(str(UUID("12345678-face-4abc-8def-0123456789ab")))

    assert (plain.product, plain.submitted_after) == (Product.DOCUMENT, 1)
    assert plain.wait_s > 0


@pytest.mark.parametrize(
    ("word", "link"), [("nofacevideo", None), ("facevideopending", "PENDING"), ("facevideoerror", "ERROR")]
)
def test_a_video_may_not_be_there(word: str, link: str | None) -> None:
    assert data(f"{word}-1")["faceDetail"]["faceVideoUrl"] == link
    assert "video" not in read(f"{word}-1").links


def test_every_product_and_every_word_for_a_video_has_an_example() -> None:
    scenarios = [parse(f"{entry.id_prefix}-1") for entry in catalogue()]

    assert {scenario.product for scenario in scenarios} == set(Product)
    assert {scenario.video for scenario in scenarios} == set(Video)
    assert any(Shape.OLDER in scenario.shapes for scenario in scenarios)


def test_codes_of_an_address_are_an_array() -> None:
    assert data("address-SOMETHING_NEW-1")["errorCodes"] == ["SOMETHING_NEW"]
    assert data("SOMETHING_NEW-alsosuccess-1")["errorCodes"] == ["SOMETHING_NEW", "SUCCESS"]


@pytest.mark.parametrize("words", NAMES)
def test_personal_data_has_its_marker(words: str) -> None:
    """Names and addresses; what is not personal may be read by anyone."""
    text = json.dumps(data(f"{words}-1"))
    personal = ("name", "address", "idNumber", "fullName", "numberValue")

    assert all(text.count(f'"{name}": "') == text.count(f'"{name}": "{PERSON}') for name in personal)


# What lies behind the links


@pytest.mark.parametrize("role", FILES)
def test_each_object_is_of_the_kind_of_its_role(role: str) -> None:
    kind = ROLES.get(role, Kind.DOCUMENT)

    assert sniff(content("face-1", role), kind)
    assert content("face-1", role) != content("face-2", role)
    assert PERSON.encode() in content("face-1", role)


def test_the_archive_can_be_unpacked() -> None:
    with zipfile.ZipFile(BytesIO(content("face-1", "audit"))) as files:
        assert files.testzip() is None
        assert files.namelist() == ["1.jpg", "2.jpg"]
        assert sniff(files.read("1.jpg")) == "image/jpeg"


@pytest.mark.parametrize("role", FILES)
def test_a_link_of_each_role_is_good_for_that_role(role: str) -> None:
    signer = LinkSigner("secret")
    path, _, query = signer.link("", "face-1", role).partition("?")
    sent = dict(part.split("=") for part in query.split("&"))
    found = IMAGE_PATH.fullmatch(path)

    assert found is not None
    assert found.groups() == ("face-1", role)
    for other in FILES:
        verdict = signer.judge("face-1", other, expires_s=sent["expires"], signature=sent["sig"])
        assert verdict is (Verdict.LIVE if other == role else Verdict.FORGED)


def test_every_role_of_a_product_has_a_file() -> None:
    for word in Product:
        assert set(roles(parse(f"{word}-1"))) <= FILES.keys()
