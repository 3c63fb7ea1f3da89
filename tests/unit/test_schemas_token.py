"""The token: read only where it can safely travel in a header."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from schemas.errors import SchemaError
from schemas.token import Token, load_token


@pytest.mark.parametrize("expires", [1665997122952, "1665997122952"], ids=["number", "string"])
def test_a_token_is_read(expires: object) -> None:
    token = load_token({"token": "abc.DEF-123", "expiredTime": expires, "unknown": 1})

    assert token == Token("abc.DEF-123", 1665997122952)


def test_a_token_is_frozen_and_stays_out_of_its_repr() -> None:
    token = load_token({"token": "secret", "expiredTime": 1665997122952})

    assert "secret" not in repr(token)
    with pytest.raises(dataclasses.FrozenInstanceError):
        token.value = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (None, "data"),
        ([], "data"),
        ("MARKER", "data"),
        ({}, "data.token"),
        ({"token": None, "expiredTime": 1}, "data.token"),
        ({"token": "", "expiredTime": 1}, "data.token"),
        ({"token": 17, "expiredTime": 1}, "data.token"),
        ({"token": "MARKER\r\nX-Evil: 1", "expiredTime": 1}, "data.token"),
        ({"token": "MARKER\n", "expiredTime": 1}, "data.token"),
        ({"token": "MARKER two", "expiredTime": 1}, "data.token"),
        ({"token": "MARKER\u0142", "expiredTime": 1}, "data.token"),
        ({"token": "M" * 4097, "expiredTime": 1}, "data.token"),
        ({"token": "t"}, "data.expiredTime"),
        ({"token": "t", "expiredTime": None}, "data.expiredTime"),
        ({"token": "t", "expiredTime": True}, "data.expiredTime"),
        ({"token": "t", "expiredTime": -1}, "data.expiredTime"),
        ({"token": "t", "expiredTime": 1.5}, "data.expiredTime"),
        ({"token": "t", "expiredTime": "MARKER"}, "data.expiredTime"),
        ({"token": "t", "expiredTime": "\u0661\u0662"}, "data.expiredTime"),
        ({"token": "t", "expiredTime": 10**15}, "data.expiredTime"),
        ({"token": "t", "expiredTime": "9" * 5000}, "data.expiredTime"),
        ({"token": "t", "expiredTime": []}, "data.expiredTime"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name_and_not_by_value(data: Any, field: str) -> None:
    with pytest.raises(SchemaError) as caught:
        load_token(data)

    assert caught.value.field == field
    assert "MARKER" not in str(caught.value)
