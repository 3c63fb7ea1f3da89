"""The catalogue: one example for everything that an id may ask for, and the outcome that a client should reach.

The expected outcomes are written by hand and not read from a decision table, so that they can check one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The codes of a face that did not pass.
FACE_CODES: Final = frozenset({"LIVENESS_ATTACK", "SIMILARITY_FAILED"})


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expected outcome of a verification. None: the field is not checked."""

    #: `decided` or `quarantined`.
    outcome: str
    decision: str | None = None
    overall_result: str | None = None
    error_code: str | None = None
    #: Why the verification was decided without a result, or what contradicts the result.
    reason: str | None = None
    #: True if every image named in the answer can be archived.
    evidence_complete: bool | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One example. Append a dash and something unique for an id: digits never have a meaning."""

    id_prefix: str
    description: str
    expect: Expectation
    #: Ends soon enough for a demo.
    demo: bool = True
    #: A well-behaved client stops polling the region for a while.
    holds_region: bool = False


#: The decision of the default table for each documented `errorCode`, and for codes that only look like one.
_DECISIONS: Final = {
    "ID_FORGERY_DETECTED": ("FAIL", "reject"),
    "NATIONALITY_COMPLIANCE_FAILED": ("FAIL", "reject"),
    "NO_SUPPORTED_CARD": ("INCOMPLETE", "unsupported"),
    "NO_SUPPORTED_CARD_CUSTOMIZED": ("INCOMPLETE", "unsupported"),
    "CARD_TYPE_MISMATCH": ("INCOMPLETE", "recapture"),
    "CARD_LOW_QUALITY_IMAGE": ("INCOMPLETE", "recapture"),
    "INCOMPLETED_CARD": ("INCOMPLETE", "recapture"),
    "CARD_INFO_MISMATCH": ("INCOMPLETE", "recapture"),
    "TOO_MANY_CARDS": ("INCOMPLETE", "recapture"),
    "CARD_NOT_FOUND": ("INCOMPLETE", "recapture"),
    "OCR_NO_RESULT": ("INCOMPLETE", "recapture"),
    "OCR_FIELD_INVALID": ("INCOMPLETE", "recapture"),
    "NO_FACE_DETECTED": ("INCOMPLETE", "recapture"),
    "USER_TIMEOUT": ("INCOMPLETE", "abandoned"),
    "PARAMETER_ERROR": ("INCOMPLETE", "review"),
    "ERROR": ("INCOMPLETE", "review"),
    "NOT_SUPPORTED_CARD": ("FAIL", "unsupported"),
    "LIVENESS_ATTACK": ("FAIL", "reject"),
    "SIMILARITY_FAILED": ("FAIL", "review"),
    "SOMETHING_NEW": ("INCOMPLETE", "review"),
}

_QUARANTINED: Final = Expectation("quarantined")


def _approved(*, complete: bool | None = True) -> Expectation:
    return Expectation("decided", "approve", "PASS", "SUCCESS", evidence_complete=complete)


def _decided(overall_result: str, code: str, decision: str) -> Expectation:
    return Expectation("decided", decision, overall_result, code, evidence_complete=True)


def _contradicted(reason: str) -> Expectation:
    return Expectation("decided", "review", "PASS", "SUCCESS", reason=reason, evidence_complete=True)


def catalogue() -> tuple[Entry, ...]:
    """Return all examples, in the order of `docs/sandbox.md`."""
    return (*_results(), *_waits(), *_envelopes(), *_transport(), *_shapes(), *_images(), *_products())


def _results() -> tuple[Entry, ...]:
    codes = (
        Entry(code, f"{overall} with {code}", _decided(overall, code, decision))
        for code, (overall, decision) in _DECISIONS.items()
    )
    return (
        Entry("pass", "PASS at once", _approved()),
        *codes,
        Entry(
            "CARD_NOT_FOUND-docapi",
            "FAIL instead of INCOMPLETE, as with the Document API",
            _decided("FAIL", "CARD_NOT_FOUND", "recapture"),
        ),
        Entry(
            "ID_FORGERY_DETECTED-aspass",
            "a contradiction: PASS with the code of a forgery",
            _decided("PASS", "ID_FORGERY_DETECTED", "review"),
        ),
        Entry("pass-asfail", "a contradiction: FAIL with SUCCESS", _decided("FAIL", "SUCCESS", "review")),
    )


def _waits() -> tuple[Entry, ...]:
    deadline = Expectation("decided", "review", reason="DEADLINE_PASSED")
    return (
        Entry("pass-n3", "three nulls, then PASS", _approved()),
        Entry("pass-t3s", "null for three seconds, then PASS", _approved()),
        Entry("pass-n4-sub2", "submissionCompleted turns true after two nulls", _approved()),
        Entry("pass-user1s-t2s", "submissionCompleted turns true after a second", _approved()),
        Entry("pass-n1-submitted", "submissionCompleted is true from the start", _approved()),
        Entry("forever", "null for ever", deadline, demo=False),
    )


def _envelopes() -> tuple[Entry, ...]:
    not_exist = Expectation("decided", "review", reason="SIGNATURE_NOT_EXIST")
    account = ("OVER_QUERY_LIMIT", "INSUFFICIENT_BALANCE", "ACCOUNT_DISABLED", "SERVICE_DISABLED")
    ours = ("PARAMETER_ERROR", "EMPTY_PARAMETER_ERROR", "CLIENT_ERROR")
    return (
        Entry("notexist", "SIGNATURE_NOT_EXIST for ever", not_exist),
        Entry("lag2", "SIGNATURE_NOT_EXIST twice, then PASS", _approved()),
        Entry("code-ERROR-x2", "ERROR twice, then PASS", _approved()),
        Entry("tokenexpired", "IAM_FAILED once, and the token is revoked", _approved()),
        Entry("code-IAM_FAILED", "IAM_FAILED once, whatever the token", _approved()),
        Entry("code-ACCESS_DENIED", "ACCESS_DENIED once, whatever the token", _approved()),
        Entry("code-IAM_FAILED-x2", "IAM_FAILED twice, also to a fresh token", _approved()),
        Entry("busy", "SERVICE_BUSY once", _approved(), holds_region=True),
        Entry("code-RETRY_LATER", "RETRY_LATER once", _approved(), holds_region=True),
        Entry("retryafter1s", "SERVICE_BUSY with Retry-After: 1s", _approved(), holds_region=True),
        Entry("retryafter10s", "SERVICE_BUSY with Retry-After: 10s", _approved(), holds_region=True),
        Entry("retryafter1", "SERVICE_BUSY with Retry-After: 1", _approved(), holds_region=True),
        Entry("retrydate2s", "SERVICE_BUSY with a date in Retry-After", _approved(), holds_region=True),
        *(Entry(f"code-{code}", f"{code} once", _approved(), holds_region=True) for code in account),
        *(Entry(f"code-{code}-always", f"{code} for ever", _QUARANTINED) for code in ours),
        Entry("code-BRAND_NEW_CODE", "an unknown envelope code, once", _approved()),
        Entry("code-BRAND_NEW_CODE-always", "an unknown envelope code, for ever", _QUARANTINED),
    )


def _transport() -> tuple[Entry, ...]:
    return (
        Entry("latency2s", "the first answer comes two seconds late", _approved()),
        Entry("http500", "HTTP 500 once", _approved()),
        Entry("http503x2", "HTTP 503 twice", _approved()),
        Entry("http404", "HTTP 404 once", _approved()),
        Entry("http401", "HTTP 401 once", _approved()),
        Entry("http403", "HTTP 403 once", _approved()),
        Entry("http429", "HTTP 429 once, with Retry-After: 1", _approved(), holds_region=True),
        Entry("html", "an HTML page with HTTP 200, once", _approved()),
        Entry("empty", "an empty body, once", _approved()),
        Entry("truncated", "half a body, once", _approved()),
        Entry("garbage", "a body of noise, once", _approved()),
        Entry("slowdrip", "one byte a second, once", _approved()),
        Entry("reset", "the connection is reset, once", _approved()),
        Entry("oversized-always", "a body of 16 MiB, for ever", _QUARANTINED),
        Entry("wrongid-always", "the PASS of another id, for ever", _QUARANTINED),
        Entry("CARD_NOT_FOUND-http500-n2", "HTTP 500, two nulls, then a result", _MIXED),
    )


_MIXED: Final = _decided("INCOMPLETE", "CARD_NOT_FOUND", "recapture")


def _shapes() -> tuple[Entry, ...]:
    forgery = _decided("FAIL", "ID_FORGERY_DETECTED", "reject")
    return (
        Entry("fail-lowercase", "`fail`, as in the vendor's second example", forgery),
        Entry("fail-idvonly", "only idvResult, as on the vendor's older pages", forgery),
        Entry("pass-idvonly", "only idvResult, as on the vendor's older pages", _approved()),
        Entry("pass-docresult", "docResult instead of ocrResult", _approved()),
        Entry("pass-timestamp", "createTimestamp instead of createTimestmap", _approved()),
        Entry("pass-nodetail", "docDetail is null", _approved()),
        Entry("pass-nosigid", "a result without signatureId", _QUARANTINED),
        Entry("unknownresult", "an unknown overallResult", _QUARANTINED),
        Entry("nodata", "SUCCESS with null data", _QUARANTINED),
        Entry("pass-nametwice", "a name in ocrInfo appears twice, with different values", _approved()),
        Entry("pass-docfail", "PASS beside an ocrResult FAIL", _contradicted("DOC_RESULT")),
        Entry("pass-idvfail", "PASS beside an idvResult FAIL", _contradicted("IDV_RESULT")),
        Entry("pass-unsubmitted", "PASS beside submissionCompleted false", _contradicted("NOT_SUBMITTED")),
    )


def _images() -> tuple[Entry, ...]:
    refused = _approved(complete=False)
    return (
        Entry("imgexpired", "the first links are dead, fresh ones work", _approved()),
        Entry("imgexpired-always", "all links are dead", refused, demo=False),
        Entry("img503x2", "the image host is down for the first two GETs", _approved(complete=None)),
        Entry("imgdown", "the image host is down for ever", refused, demo=False),
        Entry("imgslow2s", "images come two seconds late", _approved()),
        Entry("notimage", "an HTML page with the media type image/jpeg", refused),
        Entry("imgoversized", "an image of 24 MiB", refused),
        Entry("imgredirect", "a redirect instead of an image", refused),
        Entry("imgprivate", "links to a private address", refused),
        Entry("noimages", "no links at all", _approved()),
    )


def _products() -> tuple[Entry, ...]:
    face = _contradicted("FACE_RESULT")
    return (
        Entry("liveness", "PASS of a document and a face", _approved()),
        Entry("face", "PASS of a face alone", _approved()),
        Entry("database", "PASS of a face and a national database", _approved()),
        Entry("address", "PASS of an address, with errorCodes alone", _approved()),
        Entry("pass-older", "idvResult and errorCode alone, as older answers", _approved()),
        Entry("face-older", "a face, as older answers", _approved()),
        *(
            Entry(f"face-{code}", f"FAIL of a face alone, with {code}", _decided(overall, code, decision))
            for code, (overall, decision) in _DECISIONS.items()
            if code in FACE_CODES
        ),
        Entry(
            "address-SOMETHING_NEW",
            "errorCodes with a code that nobody knows",
            _decided("INCOMPLETE", "SOMETHING_NEW", "review"),
        ),
        Entry(
            "address-SOMETHING_NEW-aspass-alsosuccess",
            "errorCodes with SUCCESS and another code",
            Expectation(
                "decided", "review", "PASS", "SOMETHING_NEW", reason="ERROR_CODES", evidence_complete=True
            ),
        ),
        Entry("liveness-facefail", "PASS beside a faceResult FAIL", face),
        Entry("liveness-attacktype1", "PASS beside a presentation attack", face),
        Entry("liveness-attacktype3", "PASS beside an attack type that is unsure", _approved()),
        Entry("livenessscore50", "PASS with the least liveness score of the vendor", _approved()),
        Entry("livenessscore101", "a liveness score beyond 100", _QUARANTINED),
        Entry("similarityscore70", "PASS with a low similarity score", _approved()),
        Entry("nofacevideo", "faceVideoUrl is null", _approved()),
        Entry("facevideopending", "faceVideoUrl is PENDING", _approved()),
        Entry("facevideoerror", "faceVideoUrl is ERROR", _approved()),
        Entry("face-imgexpired", "the first links of a face are dead, fresh ones work", _approved()),
        Entry("face-notimage", "HTML pages behind the links of a face", _approved(complete=False)),
    )
