"""The parts of an answer that sibling products add: the face, the address, the entry of a national database.

Nobody has this face or this address: every personal value is ``PERSON``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sandbox.catalogue import FACE_CODES
from sandbox.documents import PERSON
from sandbox.scenario import Product, Video

if TYPE_CHECKING:
    from sandbox.documents import Urls
    from sandbox.scenario import Scenario

#: The products whose answers have a face.
WITH_FACE: Final = frozenset({Product.IDENTITY, Product.FACE, Product.DATABASE})

#: The vendor's name of the link of each role.
LINKS: Final = {
    "face": "faceImage",
    "face_far": "faceImageFar",
    "face_near": "faceImageNear",
    "silent": "silentImage",
}

_LIVE: Final = 97.5
_ATTACK: Final = 12.0
_ALIKE: Final = 91.25
_UNLIKE: Final = 31.0
_PRESENTATION: Final = 1

#: How long before the first ask the user looked into the camera.
_LOOKED_BEFORE_MS: Final = 20_000


def roles(scenario: Scenario) -> tuple[str, ...]:
    """The roles of the objects that an answer links to, beside the sides of the document."""
    if scenario.product is Product.ADDRESS:
        return ("address",)
    return (*LINKS, "audit", "video") if scenario.product in WITH_FACE else ()


def face_detail(scenario: Scenario, urls: Urls, asked_at_ms: int) -> dict[str, Any]:
    """`faceDetail` with every field that the vendor documents."""
    attack, unlike = (scenario.error_code == code for code in ("LIVENESS_ATTACK", "SIMILARITY_FAILED"))
    at_ms = asked_at_ms - _LOOKED_BEFORE_MS
    passed = scenario.error_code not in FACE_CODES and not scenario.face_failed
    found: dict[str, Any] = {"faceResult": "PASS" if passed else "FAIL"}
    for role, name in LINKS.items():
        found |= {name: urls.get(role), f"{name}Time": at_ms}
    return found | {
        "auditImageUrl": urls.get("audit"),
        "faceLivenessScore": _or(scenario.liveness_score, _ATTACK if attack else _LIVE),
        "livenessAttackType": _or(scenario.attack_type, _PRESENTATION if attack else None),
        "livenessType": "DISTANT_NEAR",
        "livenessFlowCategory": "NEAR_FAR",
        "faceSimilarityScore": _or(scenario.similarity_score, _UNLIKE if unlike else _ALIKE),
        "eventDetails": [
            {"event": "FE_FACE_SCAN", "result": "PASS" if passed else "FAIL", "createTimestamp": at_ms}
        ],
        "faceVideoUrl": urls.get("video") if scenario.video is Video.LINK else _VIDEO[scenario.video],
    }


_VIDEO: Final = {Video.NONE: None, Video.PENDING: "PENDING", Video.ERROR: "ERROR"}


def address_detail(scenario: Scenario, urls: Urls) -> dict[str, Any]:
    """`addressDetail`. The vendor's page does not name its fields: these are made up."""
    return {
        "addressResult": scenario.overall_result,
        "proofType": "UTILITY_BILL",
        "proofImage": urls.get("address"),
        "name": PERSON,
        "address": f"{PERSON} STREET 1",
    }


def doc_database_detail(scenario: Scenario) -> dict[str, Any]:
    """`docDatabaseDetail` of a number that the database knows."""
    return {
        "numberValue": f"{PERSON} 000000",
        "numberTypeInfo": {"region": scenario.country.iso3, "numberType": scenario.country.doc_type},
        "fullName": PERSON,
        "verification": None,
    }


def _or(asked: float | None, usual: float | None) -> float | None:
    return usual if asked is None else asked
