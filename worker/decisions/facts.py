"""The facts of a verification that a decision table reads, and the field of the ledger that keeps them.

The ledger has `overallResult`, the first `errorCode` and the reason in fields of their own. The field `FACTS` holds the
rest as JSON of at most `MAX_BYTES` bytes: codes and scores, which the schemas have checked to be such, so nothing
personal. A decision and a later replay read the
same fields, so both see the same facts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.result import Result
    from worker.ledger.models import Verification

#: The most bytes of the field.
MAX_BYTES: Final = 200

#: The most entries of a list.
MAX_ENTRIES: Final = 8

#: The last entry of a list that was cut.
CUT: Final = "CUT"

#: `json.dumps` with separators makes an encoder for each call, which takes as long as the text.
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

#: The lists of the field by their stored names, in the order in which they are cut.
_LISTS: Final = {"q": "quality_labels", "f": "forgery_labels", "e": "error_codes"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decision table may read of one verification.

    Parameters:
        overall_result: None where it was settled without a result; then `reason` says why.
        error_codes: `errorCode` first, then those of `errorCodes`.
        document_type: of the front, or of the back where the vendor names none for the front.
        quality_labels: names of the labels that are true, such as `isBlur`.
        liveness_score: 0 to 100.
        similarity_score: 0 to 100.
        reason: why there is no result, or what contradicts it.
    """

    overall_result: str | None = None
    error_codes: tuple[str, ...] = ()
    region: str = ""
    document_type: str | None = None
    forgery_labels: tuple[str, ...] = ()
    quality_labels: tuple[str, ...] = ()
    liveness_score: float | None = None
    similarity_score: float | None = None
    reason: str | None = None

    @property
    def is_cut(self) -> bool:
        """Whether any list was cut."""
        return CUT in self.error_codes or CUT in self.forgery_labels or CUT in self.quality_labels


def of_result(result: Result, region: str) -> Facts:
    """The facts of a settled answer, as the ledger keeps them."""
    facts = _read(result, region)
    return _restored(facts, result.error_code, packed(facts, result.error_code))


def text_of(result: Result) -> str:
    """The text of the field `FACTS` for a settled answer."""
    return packed(_read(result), result.error_code)


def _read(result: Result, region: str = "") -> Facts:
    return Facts(
        overall_result=result.overall_result.value if result.overall_result else None,
        error_codes=_entries((result.error_code, *result.error_codes)),
        region=region,
        document_type=result.document_type,
        forgery_labels=_entries(result.forgery_labels),
        quality_labels=_entries(result.quality_labels),
        liveness_score=result.liveness_score,
        similarity_score=result.similarity_score,
        reason=result.contradiction,
    )


def of_verification(verification: Verification) -> Facts:
    """The facts that the ledger keeps. A verification that an older release settled has result, code and reason."""
    kept = Facts(
        overall_result=verification.overall_result, region=verification.region, reason=verification.reason
    )
    return _restored(kept, verification.error_code, verification.facts or "{}")


def is_partial(verification: Verification) -> bool:
    """Whether an older release settled it: it has a result, and no further facts."""
    return verification.facts is None and verification.overall_result is not None


def _restored(facts: Facts, error_code: str | None, text: str) -> Facts:
    """`facts` with what the text of the field `FACTS` says."""
    kept: dict[str, Any] = json.loads(text)
    return replace(
        facts,
        error_codes=(*((error_code,) if error_code else ()), *kept.get("e", ())),
        document_type=kept.get("d"),
        forgery_labels=tuple(kept.get("f", ())),
        quality_labels=tuple(kept.get("q", ())),
        liveness_score=kept.get("l"),
        similarity_score=kept.get("s"),
    )


def as_json(facts: Facts) -> dict[str, object]:
    """Facts by the names that a table has for them."""
    return {
        "overall_result": facts.overall_result,
        "error_code": list(facts.error_codes),
        "region": facts.region or None,
        "document_type": facts.document_type,
        "forgery_labels": list(facts.forgery_labels),
        "quality_labels": list(facts.quality_labels),
        "liveness_score": facts.liveness_score,
        "similarity_score": facts.similarity_score,
        "reason": facts.reason,
    }


def as_texts(facts: Facts) -> dict[str, str]:
    """The facts that there are, by the names that a table has for them, as people read them."""
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else f"{value}"
        for name, value in as_json(facts).items()
        if value not in (None, [])
    }


def packed(facts: Facts, error_code: str | None) -> str:
    """The text of the field `FACTS`. `error_code` is the code that the ledger keeps in its own field.

    Where the text is longer than `MAX_BYTES`, lists lose their last entries and end with `CUT`.
    """
    kept: dict[str, Any] = {
        "e": [code for code in facts.error_codes if code != error_code],
        "d": facts.document_type,
        "f": list(facts.forgery_labels),
        "q": list(facts.quality_labels),
        "l": facts.liveness_score,
        "s": facts.similarity_score,
    }
    text = _text(kept)
    for name in _LISTS:
        while len(text) > MAX_BYTES and kept[name] not in ([], [CUT]):
            kept[name] = [*[entry for entry in kept[name] if entry != CUT][:-1], CUT]
            text = _text(kept)
    return text


def _text(kept: dict[str, Any]) -> str:
    there = {name: value for name, value in kept.items() if value is not None and value != []}
    return _encode(there)


def _entries(values: Iterable[str | None]) -> tuple[str, ...]:
    """Each value once, at most `MAX_ENTRIES` with `CUT` among them."""
    found = tuple(dict.fromkeys(value for value in values if value))
    return found if len(found) <= MAX_ENTRIES else (*found[: MAX_ENTRIES - 1], CUT)
