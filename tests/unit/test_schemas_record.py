"""Records of the vendor are loaded by a loop of our own: it loads what marshmallow's would."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError

from schemas.document import DocDetailSchema, DocEventSchema
from schemas.envelope import EnvelopeSchema
from schemas.errors import SchemaError
from schemas.result import ResultSchema
from schemas.token import TokenSchema
from tests.unit import vendor_examples

if TYPE_CHECKING:
    from schemas.record import VendorRecord

ENVELOPE = json.loads(vendor_examples.PASSED)
RESULT = ENVELOPE["data"]
DOC_DETAIL = RESULT["docDetail"]

#: Each record with an example of it.
RECORDS: list[tuple[VendorRecord, dict[str, Any]]] = [
    (EnvelopeSchema(), ENVELOPE),
    (ResultSchema(), RESULT | {"errorCodes": ["SUCCESS"]}),
    (DocDetailSchema(), DOC_DETAIL | {"docResult": "FAIL"}),
    (DocEventSchema(), DOC_DETAIL["eventDetails"][0] | {"createTimestamp": 0}),
    (TokenSchema(), {"token": "t", "expiredTime": "1665993522952"}),
]

values = (
    st.none()
    | st.booleans()
    | st.sampled_from([17, "", "x", "PASS", "SUCCESS", [], ["x"], [None], {}, {"front": 1}])
)


def loaded(schema: VendorRecord, data: Any) -> Any:
    """The record, or where the first fault lies and what it is."""
    try:
        return schema.load(data)
    except ValidationError as error:
        return str(SchemaError.from_validation(error))


def loaded_by_marshmallow(schema: VendorRecord, data: Any) -> Any:
    """Without the fields that cannot be read and that nobody decides on."""
    try:
        said = schema.said(dict(Schema.load(schema, data)))
    except ValidationError as error:
        faults = error.messages if isinstance(data, dict) and isinstance(error.messages, dict) else {}
        undecided = (
            faults.keys()
            - schema.decided
            - {str(field.data_key) for field in schema.fields.values() if field.required}
        )
        if undecided:
            return loaded_by_marshmallow(
                schema, {name: value for name, value in data.items() if name not in undecided}
            )
        return str(SchemaError.from_validation(error))
    return schema.into(**{name: value for name, value in said.items() if value is not None})


@pytest.mark.parametrize(("schema", "example"), RECORDS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("data", [None, [], "x", 17, {}], ids=repr)
def test_what_is_no_record_is_refused_as_marshmallow_refuses_it(
    schema: VendorRecord, example: dict[str, Any], data: Any
) -> None:
    assert loaded(schema, data) == loaded_by_marshmallow(schema, data)


@pytest.mark.parametrize(("schema", "example"), RECORDS, ids=lambda value: type(value).__name__)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_a_record_is_what_marshmallow_makes_of_it(
    schema: VendorRecord, example: dict[str, Any], data: st.DataObject
) -> None:
    """With fields changed, null or missing."""
    names = st.sampled_from(sorted(example))
    changed = example | data.draw(st.dictionaries(names, values, max_size=4))
    for name in data.draw(st.sets(names, max_size=3)):
        del changed[name]
    assert loaded(schema, changed) == loaded_by_marshmallow(schema, changed)


def test_an_unchanged_example_is_read() -> None:
    for schema, example in RECORDS:
        assert isinstance(loaded(schema, example), schema.into)
