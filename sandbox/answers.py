"""The vendor's answers to a Get Result call, as its page shows them, and faulty versions of them."""

from __future__ import annotations

import json
import time
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

from sandbox import documents, products
from sandbox.reply import HTML, Manner, Reply
from sandbox.scenario import Kind, Product, Shape

if TYPE_CHECKING:
    from sandbox.documents import Urls
    from sandbox.scenario import Fault, Pending, Scenario
    from sandbox.state import Given

#: More than a client should accept: a real answer has about 1 kB.
OVERSIZED_BYTES: Final = 16 * 1024 * 1024

#: Messages as on the vendor's page. Clients must not interpret them.
_MESSAGES: Final = {
    "SUCCESS": "OK",
    "SIGNATURE_NOT_EXIST": "This signatureId is not exist",
    "ERROR": "Server error",
}

_PAGE: Final = b"<!DOCTYPE html>\n<html><head><title>%s</title></head><body><h1>%s</h1></body></html>\n"
_NOISE: Final = bytes(range(128, 256)) * 2


def envelope(code: str, data: Any = None, *, message: str | None = None) -> bytes:
    """Return the body of an envelope, with a new `transactionId`."""
    return json.dumps(
        {
            "code": code,
            "message": message or _MESSAGES.get(code, code.replace("_", " ").capitalize()),
            "data": data,
            "extra": None,
            "transactionId": token_hex(8),
            "pricingStrategy": "FREE",
        },
        separators=(",", ":"),
    ).encode()


def refused(code: str, *, message: str | None = None) -> Reply:
    """Return an envelope with an error code; the HTTP status is 200, as the vendor's is."""
    return Reply(code, envelope(code, message=message))


def pending(given: Given, step: Pending, urls: Urls) -> Reply:
    """Return a null answer. It has no `signatureId`, as in the vendor's third example."""
    data = {
        "overallResult": None,
        "submissionCompleted": step.submission_completed,
        "idvResult": None,
        "errorCode": None,
        **_pending_parts(given, urls),
        "countryCodeIso3": given.scenario.country.iso3,
    }
    if given.scenario.shapes & {Shape.IDV_ONLY, Shape.OLDER}:
        del data["overallResult"]
    return Reply("pending", envelope("SUCCESS", data))


def settled(given: Given, signature_id: str, urls: Urls) -> Reply:
    """Return the answer with the result."""
    scenario = given.scenario
    if Shape.NO_DATA in scenario.shapes:
        return Reply("nodata", envelope("SUCCESS"))
    overall_result = "MAYBE" if Shape.UNKNOWN_RESULT in scenario.shapes else scenario.overall_result
    if Shape.LOWERCASE in scenario.shapes:
        overall_result = overall_result.lower()
    data = {
        "signatureId": signature_id,
        "overallResult": overall_result,
        "submissionCompleted": scenario.error_code != "USER_TIMEOUT"
        and Shape.UNSUBMITTED not in scenario.shapes,
        "idvResult": "FAIL" if Shape.IDV_FAIL in scenario.shapes else overall_result,
        "errorCode": scenario.error_code,
        **_parts(given, urls),
        "countryCodeIso3": scenario.country.iso3,
    }
    for name in _left_out(scenario):
        del data[name]
    if Shape.IDV_ONLY in scenario.shapes:
        data.pop("overallResult", None)
    if Shape.NO_SIGNATURE_ID in scenario.shapes:
        del data["signatureId"]
    body = envelope("SUCCESS", data)
    if Shape.NAME_TWICE in scenario.shapes:
        body = body.replace(b'"gender":', b'"gender":"LAKI-LAKI","gender":')
    return Reply(overall_result.upper(), body)


def _pending_parts(given: Given, urls: Urls) -> dict[str, Any]:
    """The parts of a product while the vendor is still at it: of the document some, of all others none."""
    scenario = given.scenario
    if scenario.product in {Product.DOCUMENT, Product.IDENTITY}:
        return {"docDetail": documents.pending_detail(scenario, urls, given.first_asked_at_ms)}
    return {"addressDetail" if scenario.product is Product.ADDRESS else "faceDetail": None}


def _parts(given: Given, urls: Urls) -> dict[str, Any]:
    """The parts that the product of an answer has, in the vendor's order."""
    scenario, asked_at_ms = given.scenario, given.first_asked_at_ms
    if scenario.product is Product.ADDRESS:
        codes = [scenario.error_code, *scenario.more_codes]
        return {"errorCodes": codes, "addressDetail": products.address_detail(scenario, urls), **_INPUT}
    parts: dict[str, Any] = {}
    if scenario.product in {Product.DOCUMENT, Product.IDENTITY}:
        parts["docDetail"] = documents.settled_detail(scenario, urls, asked_at_ms)
    if scenario.product is Product.DATABASE:
        parts["docDatabaseDetail"] = products.doc_database_detail(scenario)
    if scenario.product in products.WITH_FACE:
        parts["faceDetail"] = products.face_detail(scenario, urls, asked_at_ms)
    if scenario.product in {Product.FACE, Product.DATABASE}:
        parts |= {"feeDetail": None} if Shape.OLDER in scenario.shapes else _INPUT
    return parts


def _left_out(scenario: Scenario) -> tuple[str, ...]:
    """The fields of a document's answer that the product, or an older answer, does not have."""
    if scenario.product is Product.ADDRESS:
        return ("submissionCompleted", "idvResult", "errorCode")
    older = Shape.OLDER in scenario.shapes
    if scenario.product is Product.DATABASE or older:
        return ("overallResult", "submissionCompleted")
    return ("submissionCompleted",) if scenario.product is Product.FACE else ()


_INPUT: Final[dict[str, Any]] = {"inputParameters": {"bizId": "sandbox", "userId": "sandbox"}}


def page(status: int, title: str, *, name: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Return an HTML page, as a gateway in front of the vendor sends it."""
    return Reply(name, _PAGE % (title.encode(), title.encode()), status, HTML, headers)


def fault(cause: Fault, otherwise: bytes) -> Reply:
    """Return a faulty answer. `otherwise` is the body of the answer without the fault."""
    match cause.kind:
        case Kind.CODE | Kind.TOKEN_EXPIRED:
            return _refusal(cause)
        case Kind.HTTP:
            # Only 429 has a `Retry-After`, in plain seconds.
            headers = (("Retry-After", "1"),) if cause.status == 429 else ()  # noqa: PLR2004
            return page(cause.status, "Something went wrong", name=f"http{cause.status}", headers=headers)
        case Kind.HTML:
            return page(200, "Welcome", name=cause.kind)
        case Kind.EMPTY | Kind.GARBAGE:
            return Reply(cause.kind, b"" if cause.kind is Kind.EMPTY else _NOISE)
        case Kind.OVERSIZED:
            return Reply(cause.kind, otherwise, manner=Manner.PADDED, padding_bytes=OVERSIZED_BYTES)
        case _:
            return Reply(cause.kind, otherwise, manner=_MANNERS.get(cause.kind, Manner.WHOLE))


_MANNERS: Final = {
    Kind.TRUNCATED: Manner.TRUNCATED,
    Kind.SLOW_DRIP: Manner.DRIP,
    Kind.RESET: Manner.RESET,
}


def _refusal(cause: Fault) -> Reply:
    code = cause.code or "IAM_FAILED"
    headers = (("Retry-After", cause.retry_after.header(time.time())),) if cause.retry_after else ()
    return Reply(code, envelope(code), headers=headers)
