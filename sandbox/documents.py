"""The data that the vendor reads from a document. It is made up, and every name in it shows this.

To find leaks of personal data, look for ``PERSON`` in logs, queues and stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sandbox.scenario import Shape

if TYPE_CHECKING:
    from sandbox.scenario import Scenario

#: In every personal value that is text, and in every image.
PERSON: Final = "SANDBOX PERSON"

#: Codes for a document from which nothing could be read.
_NOTHING_READ: Final = frozenset({"OCR_NO_RESULT", "CARD_NOT_FOUND", "NO_SUPPORTED_CARD"})

#: Milliseconds between the scan of the document and the first poll.
_SCANNED_BEFORE_MS: Final = 30_000

#: The link of each role; null or missing where there is none.
Urls = Mapping[str, str | None]


def settled_detail(scenario: Scenario, urls: Urls, asked_at_ms: int) -> dict[str, Any] | None:
    """Return `docDetail` of a result, as in the vendor's first example; for `NOT_SUPPORTED_CARD` as in its second."""
    if Shape.NO_DETAIL in scenario.shapes or scenario.error_code == "USER_TIMEOUT":
        return None
    result_key = "docResult" if Shape.DOC_RESULT in scenario.shapes else "ocrResult"
    if scenario.error_code == "NOT_SUPPORTED_CARD":
        return {
            "docResult": None,
            "docFrontImage": None,
            "docBackImage": None,
            "ocrInfo": None,
            "qualityLabels": None,
            "forgeryLabels": None,
        }
    passed = scenario.overall_result == "PASS"
    return {
        result_key: "PASS" if passed and Shape.DOC_FAIL not in scenario.shapes else "FAIL",
        "docFrontImage": urls.get("front"),
        "docBackImage": urls.get("back"),
        "docType": _both(scenario.country.doc_type),
        "subDocType": _both(scenario.country.doc_type),
        "ocrInfo": {"front": None, "back": None} if scenario.error_code in _NOTHING_READ else _ocr(scenario),
        "qualityLabels": {
            "front": {
                "isBlur": scenario.error_code == "CARD_LOW_QUALITY_IMAGE",
                "isDim": False,
                "isExposure": True,
            },
            "back": None,
        },
        "forgeryLabels": ["photocopy"] if passed or scenario.overall_result == "FAIL" else None,
        "eventDetails": _events(scenario, asked_at_ms),
    }


def pending_detail(scenario: Scenario, urls: Urls, asked_at_ms: int) -> dict[str, Any] | None:
    """Return `docDetail` of a null answer: partly filled, as in the vendor's third example."""
    if Shape.NO_DETAIL in scenario.shapes:
        return None
    return {
        "docResult" if Shape.DOC_RESULT in scenario.shapes else "ocrResult": "PASS",
        "docFrontImage": urls.get("front"),
        "docBackImage": urls.get("back"),
        "ocrInfo": {
            "front": {
                "birthday": "JANUARY 01,1900",
                "name": PERSON,
                "birthdayParsed": "1900/01/01",
                "idNumber": f"{PERSON} 000000",
            },
            "back": None,
        },
        "qualityLabels": {"front": None, "back": None},
        "forgeryLabels": None,
        "eventDetails": _events(scenario, asked_at_ms),
    }


def _ocr(scenario: Scenario) -> dict[str, Any]:
    return {
        "front": {
            "gender": "PEREMPUAN",
            "name": PERSON,
            "address": f"{PERSON} STREET 1",
            "idNumber": f"{PERSON} 000000",
            "religion": "",
            "birthday": "1900/01/01",
            "citizen": scenario.country.iso3,
        },
        "back": {"idNumber": f"{PERSON} 000000"},
    }


def _both(doc_type: str) -> dict[str, str]:
    return {"front": doc_type, "back": doc_type}


def _events(scenario: Scenario, asked_at_ms: int) -> list[dict[str, Any]]:
    # The misspelling is that of the vendor's page; pages of its other products do not have it.
    key = "createTimestamp" if Shape.TIMESTAMP in scenario.shapes else "createTimestmap"
    return [{"event": "FE_DOCUMENT_SCAN", "result": "PASS", key: asked_at_ms - _SCANNED_BEFORE_MS}]
