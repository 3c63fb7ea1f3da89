"""The odd answers of ``docs/malformed-answers.md``, row by row: the vendor's bytes, and the outcome."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.support.image_host import JPEG

if TYPE_CHECKING:
    from collections.abc import Callable

#: Outcomes: decided from this answer (`approve`, `review`); quarantined, with the raw answer kept; polled again, while
#: the circuit breaker counts a failure of the vendor (`transient`) or an answer (`pending`).
APPROVE: Final = "approve"
REVIEW: Final = "review"
QUARANTINE: Final = "quarantine"
TRANSIENT: Final = "transient"
PENDING: Final = "pending"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Parameters:
        body: returns the answer for a signatureId.
        reason: the reason of the decision, if it has one.
        images: the files beside the answer. `missing`: the sides that the manifest lists as missing, with the reason.
        kept: True if the raw answer is kept.
    """

    group: str
    name: str
    body: Callable[[str], bytes]
    outcome: str
    reason: str | None = None
    images: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    kept: bool = True


def data(signature_id: str, **changes: Any) -> dict[str, Any]:
    """Return the `data` of a PASS as the vendor's page shows it."""
    return {
        "signatureId": signature_id,
        "overallResult": "PASS",
        "submissionCompleted": True,
        "idvResult": "PASS",
        "errorCode": "SUCCESS",
        "docDetail": {
            "ocrResult": "PASS",
            "docFrontImage": None,
            "docBackImage": None,
            "docType": {"front": "PH-UMID", "back": None},
            "ocrInfo": {"front": {"name": "MARIA CLARA", "birthday": "OCTOBER 28,1977"}, "back": None},
            "qualityLabels": {"front": {"isBlur": False, "isDim": False, "isExposure": True}, "back": None},
            "forgeryLabels": None,
            "eventDetails": [
                {"event": "FE_DOCUMENT_SCAN", "result": "PASS", "createTimestmap": 1665993522952}
            ],
        },
        "countryCodeIso3": "PHL",
    } | changes


def text(signature_id: str, **changes: Any) -> str:
    """Return a whole answer; `changes` are fields of its `data`."""
    return json.dumps(
        {
            "code": "SUCCESS",
            "message": "OK",
            "data": data(signature_id, **changes),
            "extra": None,
            "transactionId": "d3fde1547eeaf226",
            "pricingStrategy": "FREE",
        }
    )


def passed(signature_id: str, **changes: Any) -> bytes:
    return text(signature_id, **changes).encode()


def swap(old: str, new: str, encoding: str = "utf-8") -> Callable[[str], bytes]:
    """Return the PASS with a piece of its text replaced."""

    def body(signature_id: str) -> bytes:
        whole = text(signature_id)
        assert whole.count(old) == 1, old
        return whole.replace(old, new).encode(encoding)

    return body


def around(before: bytes = b"", after: bytes = b"") -> Callable[[str], bytes]:
    return lambda signature_id: before + passed(signature_id) + after


def document(**changes: Any) -> Callable[[str], bytes]:
    """Return the PASS with other fields of `docDetail`."""
    return lambda signature_id: passed(
        signature_id, docDetail=data(signature_id)["docDetail"] | {"marker": None} | changes
    )


def fields(**changes: Any) -> Callable[[str], bytes]:
    """Return the PASS with other fields of `data`."""
    return lambda signature_id: passed(signature_id, **changes)


def face(**changes: Any) -> Callable[[str], bytes]:
    """The PASS with a face."""
    return fields(faceDetail={"faceResult": "PASS"} | changes)


def older(signature_id: str) -> bytes:
    """The PASS as the vendor's older pages have it."""
    kept = ("signatureId", "idvResult", "errorCode", "docDetail")
    return _of(signature_id, {name: data(signature_id)[name] for name in kept})


def address(*codes: str) -> Callable[[str], bytes]:
    """The PASS of an address product."""
    parts = {"overallResult": "PASS", "errorCodes": list(codes), "addressDetail": {}, "inputParameters": {}}
    return lambda signature_id: _of(signature_id, {"signatureId": signature_id} | parts)


def _of(signature_id: str, other: dict[str, Any]) -> bytes:
    envelope = json.loads(text(signature_id))
    return json.dumps(envelope | {"data": other}).encode()


def only(raw: bytes) -> Callable[[str], bytes]:
    return lambda _: raw


def inside(value: str) -> Callable[[str], bytes]:
    """Return the PASS with any JSON text as the birthday that was read from the document."""
    return swap('"OCTOBER 28,1977"', value)


def truncated(signature_id: str) -> bytes:
    return passed(signature_id)[: passed(signature_id).index(b'"docDetail"')]


def third_example(signature_id: str) -> bytes:
    """Return the vendor's third example: with comments, a bare word and no signatureId."""
    del signature_id
    return b"""{
      "code": "SUCCESS",
      "message": "OK",
      "data": {
        "overallResult": null, // still in processing
        "submissionCompleted": false,
        "idvResult": null, // still in processing
        "errorCode": null,
        "docDetail": {"ocrResult": PASS, "docFrontImage": null, "forgeryLabels": null}, // in processing
        "countryCodeIso3": "PHL"
      },
      "extra": null,
      "transactionId": "d3fde1547eeaf226",
      "pricingStrategy": "FREE"
    }"""


_LINES: Final = base64.encodebytes(JPEG).decode()
_URL_SAFE: Final = base64.urlsafe_b64encode(JPEG).decode().rstrip("=")
_NUMBERS: Final = "[" + ",".join(["1"] * 500_000) + "]"

ROWS: Final = (
    # Bytes
    Row("bytes", "a byte order mark before UTF-8", around(b"\xef\xbb\xbf"), APPROVE),
    Row("bytes", "UTF-16 with a byte order mark", swap("MARIA", "MARÍA", "utf-16"), APPROVE),
    Row("bytes", "UTF-16 without a byte order mark", swap("MARIA", "MARÍA", "utf-16-le"), APPROVE),
    Row("bytes", "Latin-1 beyond ASCII", swap("MARIA", "MARÍA", "latin-1"), QUARANTINE),
    Row(
        "bytes",
        "invalid UTF-8 in a name",
        lambda name: passed(name).replace(b"MARIA", b"M\xc3\x28RIA"),
        QUARANTINE,
    ),
    Row("bytes", "zeros after the JSON", around(after=b"\0\0\0\0"), QUARANTINE),
    # Control characters
    Row("control characters", "a line break within a string", swap("MARIA CLARA", "MARIA\nCLARA"), APPROVE),
    Row("control characters", "a tab within a string", swap("MARIA CLARA", "MARIA\tCLARA"), APPROVE),
    Row("control characters", "a zero within a string", swap("MARIA CLARA", "MARIA\0CLARA"), APPROVE),
    Row(
        "control characters", "a control character between values", swap('"extra"', '\x0b"extra"'), QUARANTINE
    ),
    # Escapes
    Row("escapes", "half of a surrogate pair", inside('"\\ud83d"'), APPROVE),
    Row("escapes", "an escaped zero", inside('"\\u0000"'), APPROVE),
    Row("escapes", "an unknown escape", inside('"\\x41"'), QUARANTINE),
    Row(
        "escapes",
        "the answer as JSON within a JSON string",
        lambda n: json.dumps(text(n)).encode(),
        QUARANTINE,
    ),
    # Numbers
    Row("numbers", "NaN in a field that no decision uses", inside("NaN"), APPROVE),
    Row("numbers", "Infinity in a field that no decision uses", inside("-Infinity"), APPROVE),
    Row("numbers", "a number beyond a double", inside("1e999"), APPROVE),
    Row("numbers", "minus zero", inside("-0"), APPROVE),
    Row("numbers", "an integer of 4,000 digits", inside("9" * 4000), APPROVE),
    Row("numbers", "an integer of 100,000 digits", inside("9" * 100_000), APPROVE),
    Row("numbers", "a leading zero", inside("007"), QUARANTINE),
    Row("numbers", "a hexadecimal number", inside("0x1F"), QUARANTINE),
    # Sizes
    Row("sizes", "90 levels", inside("[" * 80 + "]" * 80), APPROVE),
    Row("sizes", "300 levels", inside("[" * 300 + "]" * 300), QUARANTINE),
    Row("sizes", "100,000 levels", inside("[" * 100_000 + "]" * 100_000), QUARANTINE),
    Row("sizes", "a string of 1 MB", inside('"' + "x" * 1_000_000 + '"'), APPROVE),
    Row("sizes", "100,000 names", inside(json.dumps(dict.fromkeys(map(str, range(100_000))))), QUARANTINE),
    Row("sizes", "500,000 numbers", inside(_NUMBERS), QUARANTINE),
    Row("sizes", "500,000 objects", inside("[" + ",".join(["{}"] * 500_000) + "]"), QUARANTINE),
    Row("sizes", "5,000 events", document(eventDetails=[{}] * 5000), APPROVE),
    Row("sizes", "more than 2 MiB", inside('"' + "x" * 2_100_000 + '"'), QUARANTINE, kept=False),
    # Syntax
    Row("syntax", "a comma after the last value", swap('"FREE"', '"FREE",'), QUARANTINE),
    Row("syntax", "a comment", swap('"extra"', '/* none */ "extra"'), QUARANTINE),
    Row("syntax", "a bare word", swap('"ocrResult": "PASS"', '"ocrResult": PASS'), QUARANTINE),
    Row("syntax", "single quotes", lambda n: text(n).replace('"', "'").encode(), QUARANTINE),
    Row("syntax", "names without quotes", swap('"overallResult"', "overallResult"), QUARANTINE),
    Row("syntax", "the third example of the vendor's page", third_example, PENDING),
    Row("syntax", "cut off after the signatureId", truncated, QUARANTINE),
    Row("syntax", "cut off before the signatureId", only(b'{"code": "SUCC'), TRANSIENT),
    # Around
    Row("around", "white space", around(b" \r\n\t", b"\n\n"), APPROVE),
    Row("around", "a second document", around(after=b'{"code": "ERROR"}'), QUARANTINE),
    Row("around", "HTML after it", around(after=b"<!-- cache miss -->"), QUARANTINE),
    Row("around", "HTML before it", around(b"<!-- cache miss -->\n"), QUARANTINE),
    Row("around", "JSONP", around(b"callback(", b");"), QUARANTINE),
    Row("around", "a prefix against script inclusion", around(b")]}',\n"), QUARANTINE),
    Row("around", "within an array", around(b"[", b"]"), QUARANTINE),
    Row("around", "the data without its envelope", lambda n: json.dumps(data(n)).encode(), QUARANTINE),
    Row("around", "an HTML page alone", only(b"<html>We will be back soon.</html>"), TRANSIENT),
    Row("around", "an empty body", only(b""), TRANSIENT),
    Row(
        "around",
        "a gateway's JSON that quotes the request",
        lambda n: json.dumps({"error": "timeout", "request": {"signatureId": n}}).encode(),
        TRANSIENT,
    ),
    # Names that appear twice
    Row("twice", "in `ocrInfo`", swap('"name": "MARIA CLARA"', '"name": "MARIA", "name": "CLARA"'), APPROVE),
    Row(
        "twice",
        "`overallResult`, the same",
        swap('"idvResult"', '"overallResult": "PASS", "idvResult"'),
        APPROVE,
    ),
    Row(
        "twice",
        "`overallResult`, FAIL last",
        swap('"idvResult"', '"overallResult": "FAIL", "idvResult"'),
        QUARANTINE,
    ),
    Row(
        "twice",
        "`overallResult`, FAIL first",
        swap('"overallResult"', '"overallResult": "FAIL", "overallResult"'),
        QUARANTINE,
    ),
    Row(
        "twice",
        "`errorCode`, differently",
        swap('"errorCode"', '"errorCode": "ERROR", "errorCode"'),
        QUARANTINE,
    ),
    Row(
        "twice",
        "`signatureId`, differently",
        swap('"overallResult"', '"signatureId": "x", "overallResult"'),
        QUARANTINE,
    ),
    Row("twice", "`code`, differently", swap('"message"', '"code": "ERROR", "message"'), QUARANTINE),
    Row("twice", "`data`, differently", swap('"extra"', '"data": {}, "extra"'), QUARANTINE),
    Row("twice", "`docDetail`, differently", swap('"docDetail"', '"docDetail": {}, "docDetail"'), QUARANTINE),
    Row(
        "twice",
        "`ocrResult`, differently",
        swap('"ocrResult"', '"ocrResult": "FAIL", "ocrResult"'),
        QUARANTINE,
    ),
    Row("twice", "`transactionId`, differently", swap('"extra"', '"transactionId": "x", "extra"'), APPROVE),
    Row(
        "twice",
        "a link, differently",
        swap(
            '"docFrontImage": null',
            '"docFrontImage": "https://a.example/1", "docFrontImage": "https://a.example/2"',
        ),
        APPROVE,
        missing=(("front", "BAD_URL"),),
    ),
    # Types of fields that decide
    Row("types", "`signatureId` a number", fields(signatureId=17), QUARANTINE),
    Row("types", "`signatureId` of another person", fields(signatureId="another"), QUARANTINE),
    Row("types", "`signatureId` missing", fields(signatureId=None), QUARANTINE),
    Row("types", "`overallResult` a boolean", fields(overallResult=True), QUARANTINE),
    Row("types", "`overallResult` an unknown word", fields(overallResult="PASSED"), QUARANTINE),
    Row("types", "`idvResult` an array", fields(idvResult=["PASS"]), QUARANTINE),
    Row("types", "`errorCode` an array", fields(errorCode=["SUCCESS"]), QUARANTINE),
    Row("types", "`submissionCompleted` a string", fields(submissionCompleted="true"), QUARANTINE),
    Row("types", "`docDetail` a string", fields(docDetail="none"), QUARANTINE),
    Row("types", "`docDetail` an empty array", fields(docDetail=[]), APPROVE),
    Row("types", "`ocrResult` a boolean", document(ocrResult=True), QUARANTINE),
    Row("types", "`errorCodes` a string", fields(errorCodes="SUCCESS"), QUARANTINE),
    Row("types", "`faceDetail` a string", fields(faceDetail="none"), QUARANTINE),
    Row("types", "`faceLivenessScore` a string", face(faceLivenessScore="97"), QUARANTINE),
    Row("types", "`faceLivenessScore` 101", face(faceLivenessScore=101), QUARANTINE),
    Row("types", "`faceSimilarityScore` NaN", face(faceSimilarityScore=float("nan")), QUARANTINE),
    Row("types", "`livenessAttackType` a string", face(livenessAttackType="1"), QUARANTINE),
    Row("types", "`code` a number", swap('"code": "SUCCESS"', '"code": 200'), QUARANTINE),
    Row(
        "types",
        "`data` an array",
        lambda n: passed(n).replace(b'"data": {', b'"data": [{').replace(b'}, "extra"', b'}], "extra"'),
        QUARANTINE,
    ),
    # Letter case
    Row("case", "`pass`", fields(overallResult="pass"), APPROVE),
    Row("case", "`OverallResult`", swap('"overallResult"', '"OverallResult"'), QUARANTINE),
    Row(
        "case",
        "`errorcode` beside `errorCode`",
        swap('"docDetail"', '"errorcode": "ERROR", "docDetail"'),
        QUARANTINE,
    ),
    Row("case", "`signatureid`", swap('"signatureId"', '"signatureid"'), QUARANTINE),
    Row("case", "`Code`", swap('"code"', '"Code"'), QUARANTINE),
    Row("case", "`code` says `success`", swap('"code": "SUCCESS"', '"code": "success"'), QUARANTINE),
    Row("case", "`errorCode` says `success`", fields(errorCode="success"), REVIEW),
    # Contradictions
    Row("contradictions", "`ocrResult` FAIL", document(ocrResult="FAIL"), REVIEW, "DOC_RESULT"),
    Row("contradictions", "`docResult` fail", document(docResult="fail"), REVIEW, "DOC_RESULT"),
    Row(
        "contradictions",
        "`faceResult` FAIL",
        fields(faceDetail={"faceResult": "FAIL"}),
        REVIEW,
        "FACE_RESULT",
    ),
    Row(
        "contradictions",
        "`submissionCompleted` false",
        fields(submissionCompleted=False),
        REVIEW,
        "NOT_SUBMITTED",
    ),
    Row("contradictions", "`idvResult` FAIL", fields(idvResult="FAIL"), REVIEW, "IDV_RESULT"),
    Row(
        "contradictions",
        "`errorCodes` with another code",
        fields(errorCodes=["ERROR"]),
        REVIEW,
        "ERROR_CODES",
    ),
    Row("contradictions", "`livenessAttackType` 1", face(livenessAttackType=1), REVIEW, "FACE_RESULT"),
    Row("contradictions", "`livenessAttackType` 9", face(livenessAttackType=9), REVIEW, "FACE_RESULT"),
    # Sibling products
    Row("siblings", "`idvResult` and `errorCode` alone", older, APPROVE),
    Row("siblings", "`errorCodes` without `errorCode`", address("SUCCESS"), APPROVE),
    Row("siblings", "`errorCodes` with two other codes", address("ADDRESS_A", "ADDRESS_B"), REVIEW),
    Row("siblings", "no `errorCode` and no `errorCodes`", address(), REVIEW),
    Row("siblings", "`faceDetail` without scores", face(), APPROVE),
    Row("siblings", "`livenessAttackType` 3, unsure", face(livenessAttackType=3), APPROVE),
    Row("siblings", "`faceVideoUrl` PENDING", face(faceVideoUrl="PENDING"), APPROVE),
    Row("siblings", "`faceImage` a number", face(faceImage=17), APPROVE, missing=(("face", "BAD_URL"),)),
    Row(
        "siblings",
        "`auditImageUrl` of an image",
        face(auditImageUrl="ORIGIN/a.jpg"),
        APPROVE,
        missing=(("audit", "NOT_AN_ARCHIVE"),),
    ),
    Row("siblings", "`addressDetail` a string", fields(addressDetail="none"), APPROVE),
    Row(
        "siblings",
        "links in `addressDetail`",
        fields(addressDetail={"proofImages": ["ORIGIN/1.jpg", "ORIGIN/2.jpg"], "proofType": "BILL"}),
        APPROVE,
        images=("address_1.jpg", "address_2.jpg"),
    ),
    # Fields that no decision uses
    Row("undecided", "`ocrInfo` an empty array", document(ocrInfo=[]), APPROVE),
    Row("undecided", "`qualityLabels` a number", document(qualityLabels=0.2), APPROVE),
    Row("undecided", "a score for a boolean", document(qualityLabels={"front": {"isBlur": 0.02}}), APPROVE),
    Row(
        "undecided",
        "a time as text",
        document(eventDetails=[{"createTimestmap": "2022-10-17T07:58:42Z"}]),
        APPROVE,
    ),
    Row(
        "undecided",
        "a time as a fraction",
        document(eventDetails=[{"createTimestmap": 1665993522.952}]),
        APPROVE,
    ),
    Row(
        "undecided",
        "objects in `forgeryLabels`",
        document(forgeryLabels=["photocopy", {"label": "x"}]),
        APPROVE,
    ),
    Row("undecided", "`countryCodeIso3` an array", fields(countryCodeIso3=["PHL"]), APPROVE),
    # Links
    Row("links", "a space", document(docFrontImage="ORIGIN/a front.jpg"), APPROVE, images=("front.jpg",)),
    Row(
        "links",
        "line breaks",
        document(docFrontImage="\n ORIGIN/a%20\r\nfront.jpg\n"),
        APPROVE,
        images=("front.jpg",),
    ),
    Row(
        "links",
        "letters beyond ASCII",
        document(docFrontImage="ORIGIN/é.jpg"),
        APPROVE,
        images=("front.jpg",),
    ),
    Row(
        "links",
        "quotes and braces",
        document(docFrontImage='ORIGIN/"{a}|".jpg'),
        APPROVE,
        images=("front.jpg",),
    ),
    Row("links", "an empty string", document(docFrontImage=""), APPROVE),
    Row("links", "a number", document(docFrontImage=17), APPROVE, missing=(("front", "BAD_URL"),)),
    Row(
        "links",
        "a user and password",
        document(docFrontImage="https://a:b@a.example/1.jpg"),
        APPROVE,
        missing=(("front", "BAD_URL"),),
    ),
    Row(
        "links",
        "a control character",
        document(docFrontImage="ORIGIN/a\tfront.jpg"),
        APPROVE,
        missing=(("front", "BAD_URL"),),
    ),
    Row(
        "links",
        "a backslash",
        document(docFrontImage="https:\\\\a.example\\1.jpg"),
        APPROVE,
        missing=(("front", "BAD_URL"),),
    ),
    Row(
        "links",
        "another scheme",
        document(docFrontImage="file:///etc/passwd"),
        APPROVE,
        missing=(("front", "BAD_URL"),),
    ),
    Row(
        "links",
        "half of a surrogate pair",
        document(docFrontImage="ORIGIN/\ud83d.jpg"),
        APPROVE,
        missing=(("front", "BAD_URL"),),
    ),
    Row("links", "Base64 in lines", document(docFrontImage=_LINES), APPROVE, images=("front.jpg",)),
    Row(
        "links",
        "Base64, URL-safe, without padding",
        document(docBackImage=_URL_SAFE),
        APPROVE,
        images=("back.jpg",),
    ),
    Row(
        "links",
        "a `data:` URL",
        document(docFrontImage="data:image/png;base64," + _LINES),
        APPROVE,
        images=("front.jpg",),
    ),
    Row(
        "links",
        "a `data:` URL of no image",
        document(docFrontImage="data:text/plain;base64,aGVsbG8="),
        APPROVE,
        missing=(("front", "NOT_AN_IMAGE"),),
    ),
)


def slug(row: Row) -> str:
    """Return the row's part of a signatureId."""
    return f"row{ROWS.index(row):03}"


def row_of(signature_id: str) -> Row | None:
    """Return the row of a signatureId; None for an ordinary verification."""
    return ROWS[int(signature_id[3:6])] if signature_id.startswith("row") else None


def may_approve(data: Any, signature_id: str) -> bool:
    """Return whether an answer allows an approval. This is written independently of the product's code."""

    def passes(word: Any) -> bool:
        return word in (None, "") or (isinstance(word, str) and word.isascii() and word.upper() == "PASS")

    document, face = data.get("docDetail") or {}, data.get("faceDetail") or {}
    result = data.get("overallResult") if "overallResult" in data else data.get("idvResult")
    codes = [data.get("errorCode"), *(data.get("errorCodes") or [])]
    return bool(
        data.get("signatureId") == signature_id
        and isinstance(result, str)
        and result.upper() == "PASS"
        and passes(data.get("idvResult"))
        and "SUCCESS" in codes
        and all(code in (None, "", "SUCCESS") for code in codes)
        and data.get("submissionCompleted") in (None, True)
        and all(passes(document.get(name)) for name in ("docResult", "ocrResult"))
        and passes(face.get("faceResult"))
        and face.get("livenessAttackType") in (None, 3)
    )
