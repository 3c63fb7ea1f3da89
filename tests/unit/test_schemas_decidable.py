"""What a worker reads of an answer: all that a decision depends on, refused wherever the whole answer is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.document import DocDetail
from schemas.errors import SchemaError
from schemas.result import Result, load_decidable, load_result
from schemas.vendor_json import parse
from tests.support.odd_answers import ROWS
from tests.unit import vendor_examples

ID = "f302f5d2454a85c2"
DATA = json.loads(vendor_examples.PASSED)["data"]


def outcome(load: Any, data: Any) -> Result | str:
    try:
        result: Result = load(data, signature_id=ID)
    except SchemaError as error:
        return str(error)
    return result


def decidable(result: Result | str) -> Result | str:
    """The same result without what nothing depends on."""
    if isinstance(result, str):
        return result
    nothing, detail = DocDetail(), result.doc_detail
    if detail:
        detail = replace(
            detail, sub_doc_type=nothing.sub_doc_type, ocr_info=nothing.ocr_info, events=nothing.events
        )
    return replace(result, country_code_iso3=None, doc_detail=detail)


def alike(data: Any) -> bool:
    return outcome(load_decidable, data) == decidable(outcome(load_result, data))


def test_the_texts_of_a_document_are_not_kept() -> None:
    result = load_decidable(DATA, signature_id=ID)
    whole = load_result(DATA, signature_id=ID)
    assert whole.doc_detail
    assert whole.doc_detail.ocr_info.front
    assert whole.doc_detail.events
    assert result != whole
    assert result == decidable(whole)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.group}: {row.name}" for row in ROWS])
def test_each_odd_answer_is_read_or_refused_alike(row: Any) -> None:
    try:
        data = parse(row.body(ID))["data"]
    except (SchemaError, LookupError, TypeError):
        return
    assert alike(data)


values = (
    st.none()
    | st.booleans()
    | st.sampled_from([7, "", "x", "PASS", "FAIL", "SUCCESS", [], ["x"], [None], {}])
)
names = st.sampled_from([*DATA, *(name.upper() for name in DATA), "errorCodes", "faceDetail"])
details = st.sampled_from([*DATA["docDetail"], *(name.upper() for name in DATA["docDetail"]), "docResult"])


@settings(deadline=None)
@given(st.dictionaries(names, values, max_size=3), st.dictionaries(details, values, max_size=3))
def test_an_answer_with_other_values_is_read_or_refused_alike(
    changes: dict[str, Any], in_detail: dict[str, Any]
) -> None:
    assert alike(DATA | {"docDetail": DATA["docDetail"] | in_detail} | changes)
