"""The enqueue request: what a pipeline may ask, and how it is told what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.enqueue import EnqueueRequest, load_enqueue
from schemas.errors import SchemaError


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_a_request_is_read() -> None:
    request = load_enqueue({"signature_id": "f302f5d2454a85c2", "region": "ph", "unknown": 1})

    assert request == EnqueueRequest("f302f5d2454a85c2", "ph", None)


@pytest.mark.parametrize("signature_id", ["a", "A-b_9", "x" * 64])
def test_an_id_is_1_to_64_of_letters_digits_dash_and_underscore(signature_id: str) -> None:
    assert load_enqueue({"signature_id": signature_id, "region": "sg"}).signature_id == signature_id


@pytest.mark.parametrize(
    "signature_id",
    [
        "",
        "x" * 65,
        "../MARKER",
        "MARKER two",
        "MARKER\n",
        "MARK\x00ER",
        "MARKÉR",
        "a/b",
        "a.b",
        17,
        None,
        ["MARKER"],
    ],
)
def test_an_id_of_anything_else_is_refused_and_not_quoted(signature_id: object) -> None:
    with pytest.raises(SchemaError) as caught:
        load_enqueue({"signature_id": signature_id, "region": "sg"})

    assert caught.value.field == "signature_id"
    assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "region"),
    [("ph", "ph"), (" PH ", "ph"), ("global", "global"), ("id", "global"), ("ID", "global")],
)
def test_a_region_is_known_by_its_names(given: str, region: str) -> None:
    assert load_enqueue({"signature_id": "a", "region": given}).region == region


@pytest.mark.parametrize("region", ["", "MARKER", "ph-api", 17, None])
def test_an_unknown_region_is_refused_and_not_quoted(region: object) -> None:
    with pytest.raises(SchemaError) as caught:
        load_enqueue({"signature_id": "a", "region": region})

    assert caught.value.field == "region"
    assert "MARKER" not in str(caught.value)


@pytest.mark.parametrize("missing", ["signature_id", "region"])
def test_id_and_region_must_be_there(missing: str) -> None:
    fields = {"signature_id": "a", "region": "sg"}
    del fields[missing]

    with pytest.raises(SchemaError) as caught:
        load_enqueue(fields)

    assert caught.value.field == missing


@pytest.mark.parametrize(
    "context", [{"customer": 17, "name": "Żaneta"}, [], "text", 0, False, 1.5, nested(100)]
)
def test_a_context_is_kept_as_compact_json(context: object) -> None:
    text = load_enqueue({"signature_id": "a", "region": "sg", "context": context}).context

    assert text == json.dumps(context, separators=(",", ":"), ensure_ascii=False)


def test_a_context_may_have_4096_bytes_and_no_more() -> None:
    """Bytes, not characters: it is Redis that has to hold them."""
    fits = "é" * 2047

    assert load_enqueue({"signature_id": "a", "region": "sg", "context": fits}).context == f'"{fits}"'
    with pytest.raises(SchemaError, match=r"^context: must be at most 4096 bytes of JSON, is 4098$"):
        load_enqueue({"signature_id": "a", "region": "sg", "context": fits + "é"})


@pytest.mark.parametrize(
    "context",
    [
        float("nan"),
        float("inf"),
        {"MARKER"},
        b"MARKER",
        object(),
        "MARKER\ud800",
        nested(101),
        nested(900),
        nested(100_000),
    ],
    ids=[
        "nan",
        "infinity",
        "set",
        "bytes",
        "object",
        "surrogate",
        "101 levels",
        "900 levels",
        "100000 levels",
    ],
)
def test_a_context_that_no_worker_could_write_again_is_refused(context: object) -> None:
    with pytest.raises(SchemaError) as caught:
        load_enqueue({"signature_id": "a", "region": "sg", "context": context})

    assert caught.value.field == "context"
    assert "MARKER" not in str(caught.value)
