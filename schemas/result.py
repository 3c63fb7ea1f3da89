"""The result of one verification: what Get Result answers under `data`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, fields

from schemas.document import DocDetail, DocDetailSchema, is_pass
from schemas.errors import SchemaError
from schemas.fields import Code, Part, ShortList, Truth
from schemas.record import VendorRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["DOCUMENTED_CODES", "Contradiction", "DocDetail", "OverallResult", "Result", "load_result"]


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
    #: PASS with SUCCESS, and `faceResult` is not PASS.
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


@dataclass(frozen=True, slots=True)
class Result:
    """The vendor's result of one verification, for the requested id.

    Parameters:
        signature_id: None only while the result is pending; then the vendor may omit it.
        overall_result: None while the result is pending; parts of `doc_detail` may be there already.
        submission_completed: the user's side is done.
        error_code: the reason, as sent; ``UNPRINTABLE`` if it does not look like a code.
        country_code_iso3: the requested region, not the document's country.
        contradiction: what in the answer contradicts a settled result.
    """

    signature_id: str | None = None
    overall_result: OverallResult | None = None
    submission_completed: bool = False
    error_code: str | None = None
    doc_detail: DocDetail | None = None
    country_code_iso3: str | None = None
    contradiction: Contradiction | None = None

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


class FaceDetailSchema(VendorRecord):
    """What sibling products send about the face. Only whether it passed is read."""

    into = dict
    decided = frozenset({"faceResult"})

    face_result = fields.String()


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

    signature_id = fields.String()
    overall_result = Outcome()
    idv_result = Outcome()
    submission_completed = Truth()
    error_code = Code()
    # Sibling products send an array. No decision depends on it, but SUCCESS beside another code is a contradiction.
    error_codes = ShortList(Code(allow_none=True))
    doc_detail = Part(DocDetailSchema)
    face_detail = Part(FaceDetailSchema)
    country_code_iso3 = fields.String()

    def said(self, data: dict[str, Any]) -> dict[str, Any]:
        older, codes = data.pop("idv_result", None), data.pop("error_codes", None)
        face_result = (data.pop("face_detail", None) or {}).get("face_result")
        data.setdefault("overall_result", older)
        if data["overall_result"] is not None:
            data["contradiction"] = next(_contradictions(data, older, codes or (), face_result), None)
        return data


def _contradictions(
    data: Mapping[str, Any], older: OverallResult | None, codes: Iterable[str | None], face_result: str | None
) -> Iterator[Contradiction]:
    result, code, document = data["overall_result"], data.get("error_code"), data.get("doc_detail")
    if older not in (None, result):
        yield Contradiction.IDV_RESULT
    if "SUCCESS" in (named := {code, *codes} - {None}) and len(named) > 1:
        yield Contradiction.ERROR_CODES
    if result is not OverallResult.PASS or code != "SUCCESS":
        return
    if document and document.doc_result and not is_pass(document.doc_result):
        yield Contradiction.DOC_RESULT
    if face_result and not is_pass(face_result):
        yield Contradiction.FACE_RESULT
    if data.get("submission_completed") is False:
        yield Contradiction.NOT_SUBMITTED


_SCHEMA: Final = ResultSchema()

_OUTCOME_SCHEMA: Final = ResultSchema(
    only=(
        *("signature_id", "overall_result", "idv_result", "error_code", "error_codes"),
        *("doc_detail.front_image", "doc_detail.back_image"),
    )
)


def load_result(data: Any, *, signature_id: str) -> Result:
    """Read the `data` of a Get Result answer for the requested id.

    Raises ``SchemaError`` for what cannot be read safely: no object, another id, a settled result without an id,
    an unknown result, or a field of the wrong type that a decision depends on. An answer that contradicts itself
    is read, and has a `contradiction`.
    """
    return _load(_SCHEMA, data, signature_id)


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
