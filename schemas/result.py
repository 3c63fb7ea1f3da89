"""The result of one verification: what Get Result answers under `data`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, fields

from schemas import labels
from schemas.address import AddressLinks
from schemas.document import DocDetail, DocDetailSchema, is_pass
from schemas.errors import SchemaError
from schemas.face import FACE_LINKS, FaceDetail, FaceDetailSchema
from schemas.fields import Code, Part, ShortList, Truth
from schemas.record import VendorRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "DOCUMENTED_CODES",
    "SIBLING_CODES",
    "Contradiction",
    "DocDetail",
    "OverallResult",
    "Result",
    "load_decidable",
    "load_result",
]

#: The most different codes of one answer.
MAX_CODES: Final = 64

_SUCCESS: Final = "SUCCESS"


class OverallResult(StrEnum):
    """How a verification ended. Until then the vendor sends null."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    INCOMPLETE = "INCOMPLETE"


class Contradiction(StrEnum):
    """What contradicts the result. The decision table has a decision for each."""

    #: `idvResult` is another result than `overallResult`.
    IDV_RESULT = "IDV_RESULT"
    #: `errorCodes` and `errorCode` together name SUCCESS and another code.
    ERROR_CODES = "ERROR_CODES"
    #: PASS with SUCCESS, and `docResult` or `ocrResult` is not PASS.
    DOC_RESULT = "DOC_RESULT"
    #: PASS with SUCCESS, and `faceResult` is not PASS or `livenessAttackType` names an attack.
    FACE_RESULT = "FACE_RESULT"
    #: PASS with SUCCESS, and `submissionCompleted` is false.
    NOT_SUBMITTED = "NOT_SUBMITTED"


_NOT_COMPLETED: Final = (
    "NO_SUPPORTED_CARD",
    "CARD_TYPE_MISMATCH",
    "CARD_LOW_QUALITY_IMAGE",
    "INCOMPLETED_CARD",
    "CARD_INFO_MISMATCH",
    "TOO_MANY_CARDS",
    "CARD_NOT_FOUND",
    "OCR_NO_RESULT",
    "PARAMETER_ERROR",
    "USER_TIMEOUT",
    "ERROR",
    "NO_SUPPORTED_CARD_CUSTOMIZED",
    "NO_FACE_DETECTED",
    "OCR_FIELD_INVALID",
)

#: Each `errorCode` of the vendor's page by the result that it may come with. The codes of INCOMPLETE come with FAIL
#: if the Document API was used.
DOCUMENTED_CODES: Final[Mapping[OverallResult, tuple[str, ...]]] = {
    OverallResult.PASS: ("SUCCESS",),
    OverallResult.FAIL: ("ID_FORGERY_DETECTED", "NATIONALITY_COMPLIANCE_FAILED", *_NOT_COMPLETED),
    OverallResult.INCOMPLETE: _NOT_COMPLETED,
}

#: Codes of sibling products, beside the result that they come with. A table needs no row for them.
SIBLING_CODES: Final[Mapping[OverallResult, tuple[str, ...]]] = {
    OverallResult.FAIL: ("LIVENESS_ATTACK", "SIMILARITY_FAILED"),
}


@dataclass(frozen=True, slots=True)
class Result:
    """The vendor's result of one verification, for the requested id.

    Parameters:
        signature_id: None only while the result is pending; then the vendor may omit it.
        overall_result: None while the result is pending; parts of `doc_detail` may be there already.
        submission_completed: the user's side is done.
        error_code: the reason, as sent; ``UNPRINTABLE`` if it does not look like a code. If the answer has
            `errorCodes` alone: the first code that is not SUCCESS, otherwise SUCCESS.
        error_codes: `errorCode` and `errorCodes`, each code once.
        country_code_iso3: the requested region, not the document's country.
        contradiction: what in the answer contradicts a settled result.
        document_type, forgery_labels, quality_labels: see ``schemas.labels``.
        liveness_score, similarity_score: 0 to 100; None if the answer has none.
        liveness_attack_type: see ``schemas.face.FaceDetail``.
        linked: roles and links of the face and of address documents.
    """

    signature_id: str | None = None
    overall_result: OverallResult | None = None
    submission_completed: bool = False
    error_code: str | None = None
    doc_detail: DocDetail | None = None
    country_code_iso3: str | None = None
    contradiction: Contradiction | None = None
    error_codes: tuple[str, ...] = ()
    document_type: str | None = None
    forgery_labels: tuple[str, ...] = ()
    quality_labels: tuple[str, ...] = ()
    liveness_score: float | None = None
    similarity_score: float | None = None
    liveness_attack_type: int | None = None
    linked: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def links(self) -> dict[str, str]:
        """Every linked image, archive and video, by its role in the evidence."""
        detail = self.doc_detail
        sides = {"front": detail.front_image, "back": detail.back_image} if detail else {}
        return {role: link for role, link in sides.items() if link} | dict(self.linked)

    @property
    def settled(self) -> bool:
        """Whether the vendor has a result, which is final."""
        return self.overall_result is not None


class Outcome(fields.Field[OverallResult]):
    """`PASS`, `FAIL` or `INCOMPLETE`, in any letter case: an example of the vendor has `fail`."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> OverallResult:
        del attr, data, kwargs
        # ASCII first: `upper` also turns the long s (U+017F) into S.
        if isinstance(value, str) and value.isascii() and value.upper() in OverallResult.__members__:
            return OverallResult(value.upper())
        raise ValidationError(f"must be {', '.join(OverallResult)} or null")


class ResultSchema(VendorRecord):
    """The newer `overallResult` counts if it is present, otherwise the older `idvResult`.

    A null `overallResult` is present: the result is pending, whatever `idvResult` is.
    """

    into = Result
    decided = frozenset(
        {
            *("signatureId", "overallResult", "idvResult", "submissionCompleted", "errorCode", "errorCodes"),
            *("docDetail", "faceDetail"),
        }
    )
    unread = frozenset({"countryCodeIso3"})

    signature_id = fields.String()
    overall_result = Outcome()
    idv_result = Outcome()
    submission_completed = Truth()
    error_code = Code()
    # Address products send an array alone. SUCCESS beside another code is a contradiction.
    error_codes = ShortList(Code(allow_none=True))
    doc_detail = Part(DocDetailSchema)
    face_detail = Part(FaceDetailSchema)
    country_code_iso3 = fields.String()
    address_detail = AddressLinks()

    def said(self, data: dict[str, Any]) -> dict[str, Any]:
        older, face = data.pop("idv_result", None), data.pop("face_detail", None) or FaceDetail()
        data["error_codes"] = codes = _codes(data.get("error_code"), data.pop("error_codes", None) or ())
        if not data.get("error_code"):
            data["error_code"] = next((code for code in codes if code != _SUCCESS), next(iter(codes), None))
        data["linked"] = face.links + (data.pop("address_detail", None) or ())
        data |= _decidable(data.get("doc_detail"), face)
        data.setdefault("overall_result", older)
        if data["overall_result"] is not None:
            data["contradiction"] = next(_contradictions(data, older, face), None)
        return data


def _codes(code: str | None, more: Iterable[str | None]) -> tuple[str, ...]:
    codes = tuple(dict.fromkeys(named for named in (code, *more) if named))
    if len(codes) > MAX_CODES:
        raise ValidationError({"errorCodes": [f"must have at most {MAX_CODES} different codes"]})
    return codes


def _decidable(document: DocDetail | None, face: FaceDetail) -> dict[str, Any]:
    """What tables decide on beside result and codes."""
    found: dict[str, Any] = {
        "liveness_score": face.liveness_score,
        "similarity_score": face.similarity_score,
        "liveness_attack_type": face.attack_type,
    }
    if document:
        found["document_type"] = labels.document_type(document)
        found["forgery_labels"] = labels.forgery_labels(document)
        found["quality_labels"] = labels.quality_labels(document)
    return found


def _contradictions(
    data: Mapping[str, Any], older: OverallResult | None, face: FaceDetail
) -> Iterator[Contradiction]:
    result, code, document = data["overall_result"], data.get("error_code"), data.get("doc_detail")
    if older not in (None, result):
        yield Contradiction.IDV_RESULT
    if _SUCCESS in data["error_codes"] and len(data["error_codes"]) > 1:
        yield Contradiction.ERROR_CODES
    if result is not OverallResult.PASS or code != _SUCCESS:
        return
    if document and document.doc_result and not is_pass(document.doc_result):
        yield Contradiction.DOC_RESULT
    if face.is_attack or (face.face_result and not is_pass(face.face_result)):
        yield Contradiction.FACE_RESULT
    if data.get("submission_completed") is False:
        yield Contradiction.NOT_SUBMITTED


_SCHEMA: Final = ResultSchema()

#: The parts of an answer that nothing depends on.
_FOR_PEOPLE: Final = (
    "country_code_iso3",
    "doc_detail.sub_doc_type",
    "doc_detail.ocr_info",
    "doc_detail.events",
)

_DECIDABLE_SCHEMA: Final = ResultSchema(exclude=_FOR_PEOPLE)

_OUTCOME_SCHEMA: Final = ResultSchema(
    only=(
        *("signature_id", "overall_result", "idv_result", "error_code", "error_codes"),
        *("doc_detail.front_image", "doc_detail.back_image", "address_detail"),
        *(f"face_detail.{role}" for role in FACE_LINKS),
    )
)


def load_result(data: Any, *, signature_id: str) -> Result:
    """Read the `data` of a Get Result answer for the requested id.

    Raises ``SchemaError`` for what cannot be read safely: no object, another id, a settled result without an id,
    an unknown result, or a field of the wrong type that a decision depends on. An answer that contradicts itself
    is read, and has a `contradiction`.
    """
    return _load(_SCHEMA, data, signature_id)


def load_decidable(data: Any, *, signature_id: str) -> Result:
    """Read an answer as `load_result` does, without the parts that nothing depends on.

    Takes two thirds of the time. None of these parts makes `load_result` raise: one that cannot be read is left out.
    """
    return _load(_DECIDABLE_SCHEMA, data, signature_id)


def load_outcome(data: Any, *, signature_id: str) -> Result:
    """Read an answer again that `load_result` has accepted: only its outcome and the links of the images.

    Takes a quarter of the time. Raises ``SchemaError`` like `load_result`, for the fields that it reads.
    """
    return _load(_OUTCOME_SCHEMA, data, signature_id)


def _load(schema: ResultSchema, data: Any, signature_id: str) -> Result:
    try:
        if isinstance(data, Mapping) and data.get("signatureId") not in (None, signature_id):
            # First of all: it is about another verification, whatever else is wrong.
            raise SchemaError("data.signatureId", "must be the id that was asked")
        result: Result = schema.load(data)
    except ValidationError as error:
        raise SchemaError.from_validation(error, prefix="data") from None
    if result.signature_id is None and result.settled:
        raise SchemaError("data.signatureId", "must be present in a settled result")
    return result
