"""The envelope: what is read of it, what is dropped, and what is refused without being quoted."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import Envelope, load_envelope
from schemas.errors import SchemaError
from schemas.vendor_json import MAX_LEVELS, MAX_VALUES, doubled, parse
from tests.unit import vendor_examples

NOT_JSON = "must be JSON in UTF-8"


@pytest.mark.parametrize(
    ("text", "code", "transaction_id"),
    [
        (vendor_examples.PASSED, "SUCCESS", "d3fde1547eeaf226"),
        (vendor_examples.FAILED, "SUCCESS", "d3fde1547eeaf226"),
        (vendor_examples.PENDING, "SUCCESS", "d3fde1547eeaf226"),
        (vendor_examples.SIGNATURE_NOT_EXIST, "SIGNATURE_NOT_EXIST", "b6d722f7e9f553ae"),
        (vendor_examples.ERROR, "ERROR", "1deae5a13ef2bd5e"),
    ],
)
def test_every_example_of_the_vendor_is_read(text: str, code: str, transaction_id: str) -> None:
    envelope = load_envelope(text.encode())

    assert envelope == Envelope(code, json.loads(text)["data"], transaction_id)


def test_the_vendors_example_that_is_no_json_is_refused() -> None:
    with pytest.raises(SchemaError, match=f"^{NOT_JSON}$"):
        load_envelope(vendor_examples.PENDING_AS_PRINTED.encode())


def test_message_and_extra_are_dropped() -> None:
    """They may quote the user's data, so nothing behind the envelope can log them."""
    envelope = load_envelope(b'{"code": "ERROR", "message": "Juana Cruz", "extra": {"name": "Juana Cruz"}}')

    assert "Juana" not in str(dataclasses.asdict(envelope))


def test_an_envelope_is_frozen_and_keeps_its_data_out_of_its_repr() -> None:
    envelope = load_envelope(b'{"code": "SUCCESS", "data": {"name": "Juana Cruz"}}')

    assert "Juana" not in repr(envelope)
    with pytest.raises(dataclasses.FrozenInstanceError):
        envelope.code = "ERROR"  # type: ignore[misc]


@pytest.mark.parametrize("data", ["null", "[]", '"text"', "17", "true", "{}"])
def test_data_is_handed_on_as_it_is(data: str) -> None:
    assert load_envelope(f'{{"code": "SUCCESS", "data": {data}}}'.encode()).data == json.loads(data)


def test_data_may_be_missing() -> None:
    assert load_envelope(b'{"code": "SUCCESS"}') == Envelope("SUCCESS")


@pytest.mark.parametrize(
    "transaction_id",
    ['"' + "x" * 65 + '"', '""', '"two words"', '"line\\n"', '"\\ud800"', "17", "null", "{}", "[]"],
)
def test_a_transaction_id_that_is_none_is_no_reason_to_refuse(transaction_id: str) -> None:
    raw = f'{{"code": "SUCCESS", "transactionId": {transaction_id}}}'.encode()

    assert load_envelope(raw).transaction_id is None


def test_a_transaction_id_may_be_64_long() -> None:
    assert (
        load_envelope(b'{"code": "SUCCESS", "transactionId": "%s"}' % (b"x" * 64)).transaction_id == "x" * 64
    )


@pytest.mark.parametrize(
    "code", ["null", "17", "true", "{}", '["SUCCESS"]'], ids=["null", "number", "boolean", "object", "array"]
)
def test_a_code_must_be_a_string(code: str) -> None:
    with pytest.raises(SchemaError) as caught:
        load_envelope(f'{{"code": {code}}}'.encode())

    assert caught.value.field == "code"


@pytest.mark.parametrize("raw", [b"{}", b'{"Code": null}', b'{"data": {}}'])
def test_a_code_must_be_there(raw: bytes) -> None:
    with pytest.raises(SchemaError) as caught:
        load_envelope(raw)

    assert caught.value.field == "code"


@pytest.mark.parametrize("raw", [b"[]", b'"SUCCESS"', b"17", b"null", b"true", b'[{"code": "SUCCESS"}]'])
def test_json_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(SchemaError, match=r"^Invalid input type$"):
        load_envelope(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"<html><body>502 Bad Gateway</body></html>",
        b'{"code": "SUCCESS", "data": {"overallResult": "PA',
        b'{"code": "SUCCESS"} trailing',
        b"{'code': 'SUCCESS'}",
        b'{"code": "SUCCESS",}',
        b'{"code": "\xff"}',
        b'{"code": "\xed\xa0\x80"}',
    ],
)
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(SchemaError) as caught:
        load_envelope(raw)

    assert str(caught.value) == NOT_JSON


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"])
def test_every_encoding_of_json_is_read(encoding: str) -> None:
    assert load_envelope('{"code": "SUCCESS", "data": "é"}'.encode(encoding)) == Envelope("SUCCESS", "é")


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (b"NaN", "nan"),
        (b"-Infinity", "-inf"),
        (b"1e999", "inf"),
        (b"9" * 308, "9" * 308),
        (b"9" * 309, "inf"),
        (b"9" * 100_000, "inf"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_number_without_measure_is_read_as_one_that_no_decision_rests_on(number: bytes, read: str) -> None:
    assert str(load_envelope(b'{"code": "SUCCESS", "data": ' + number + b"}").data) == read


@pytest.mark.parametrize("control", [b"\n", b"\t", b"\0", b"\x1f"])
def test_a_control_character_within_a_string_is_read(control: bytes) -> None:
    assert load_envelope(b'{"code": "SUCCESS", "data": "' + control + b'"}').data == control.decode()


TWICE: dict[bytes, tuple[object, set[str]]] = {
    b'{"a": 1, "a": 1}': ({"a": 1}, set()),
    b'{"a": 1, "a": 2}': ({"a": 2}, {"a"}),
    b'{"a": 1, "a": 2, "a": 1}': ({"a": 1}, {"a"}),
    b'{"a": 1, "a": true}': ({"a": True}, {"a"}),
    b'{"a": "x", "a": null}': ({"a": "x"}, {"a"}),
    b'{"a": [1, {}], "a": [1, {}]}': ({"a": [1, {}]}, set()),
    b'{"a": [1], "a": [true]}': ({"a": [True]}, {"a"}),
    b'{"a": {"b": 1, "b": 2}, "a": {"b": 2}}': ({"a": {"b": 2}}, {"a"}),
    b'{"a": 1, "A": 2}': ({"a": 1, "A": 2}, set()),
}


@pytest.mark.parametrize(("raw", "members", "names"), [(raw, *read) for raw, read in TWICE.items()])
def test_a_name_with_two_values_is_known(raw: bytes, members: object, names: set[str]) -> None:
    value = parse(raw)

    assert value == members
    assert doubled(value) == names


@pytest.mark.parametrize("name", ["code", "data"])
def test_an_envelope_with_two_values_of_what_is_decided_on_is_refused(name: str) -> None:
    raw = b'{"code": "SUCCESS", "data": {}, "%s": "ERROR"}' % name.encode()

    assert error_of(raw) == f"{name}: occurs twice with different values"


@pytest.mark.parametrize("name", ["Code", "CODE", "Data", "dAtA"])
def test_an_envelope_with_a_name_in_other_letters_is_refused(name: str) -> None:
    raw = b'{"code": "SUCCESS", "data": {}, "%s": "ERROR"}' % name.encode()

    assert error_of(raw) == f"{name.lower()}: differs in letter case"


def test_nesting_has_a_limit_that_depends_on_nothing_else() -> None:
    def nested(levels: int) -> bytes:
        return b'{"code": "SUCCESS", "data": ' + b"[" * levels + b"]" * levels + b"}"

    assert error_of(nested(MAX_LEVELS - 1)) == ""
    assert error_of(nested(MAX_LEVELS)) == f"must have at most {MAX_LEVELS} levels"


def test_values_have_a_limit() -> None:
    def listed(values: int) -> bytes:
        return b'{"code": "SUCCESS", "data": [' + b",".join([b"0"] * values) + b"]}"

    assert error_of(listed(MAX_VALUES - 3)) == ""
    assert error_of(listed(MAX_VALUES - 1)) == "must have at most 20000 values"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"code": "SUCCESS", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"code": "SUCCESS", "data": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b"[" * 100_000,
    ],
    ids=["arrays", "objects", "open arrays"],
)
def test_nesting_without_end_is_refused(raw: bytes) -> None:
    """A body that would blow the stack is one more that cannot be read, no crash."""
    with pytest.raises(SchemaError, match=r"nested|20000 values"):
        load_envelope(raw)


def error_of(raw: bytes) -> str:
    """What a body is refused with; empty for one that is read."""
    try:
        load_envelope(raw)
    except SchemaError as error:
        return str(error)
    return ""


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    assert error_of(raw) in {"", NOT_JSON, "Invalid input type", "code: Missing data for required field"}


@settings(deadline=None)
@given(st.data())
def test_a_damaged_answer_is_read_or_refused_and_never_quoted(data: st.DataObject) -> None:
    body = vendor_examples.PASSED.replace("FREE", "MARKER").replace("OK", "MARKER").encode()
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, len(body)))
    damaged = body[:start] + data.draw(st.binary(max_size=8)) + body[end:]

    assert "MARKER" not in error_of(damaged)
