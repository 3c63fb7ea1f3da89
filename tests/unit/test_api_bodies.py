"""The JSON that the HTTP API reads, and the errors that it answers."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import MethodNotAllowed, RequestTimeout

from worker.web.api import problems
from worker.web.api.bodies import MAX_LEVELS, parse
from worker.web.api.problems import KINDS, MOST_ERRORS, invalid, of_http

TEXT = st.text(st.characters(codec="utf-8"))
NUMBERS = st.integers(-(10**300), 10**300) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
)


@given(JSON, st.booleans())
def test_what_json_is_comes_back_as_it_was(value: Any, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_without_being_quoted(raw: bytes) -> None:
    try:
        parse(raw)
    except ValueError as error:
        assert str(error).startswith(("the body", "an object", "a number"))  # noqa: PT017


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b'{"a": 1, "a": 1}', "an object in the body has a name twice"),
        (b'[{"b": {"a": 1, "a": 2}}]', "an object in the body has a name twice"),
        (b"NaN", "the body has NaN or Infinity, which JSON does not have"),
        (b"[-Infinity]", "the body has NaN or Infinity, which JSON does not have"),
        (b"\xff", "the body is not UTF-8"),
        ('"ä"'.encode("latin-1"), "the body is not UTF-8"),
        (json.dumps([1]).encode("utf-16"), "the body is not UTF-8"),
        (b"\xef\xbb\xbf[]", "the body is not JSON at line 1, column 1"),
        (b"[1,\n2", "the body is not JSON at line 2, column 2"),
        (b"[1] 2", "the body is not JSON at line 1, column 5"),
        (b'"\x01"', "the body is not JSON at line 1, column 2"),
        (b"[" * 5000, f"the body is nested more than {MAX_LEVELS} levels deep"),
        (b"[" * 104 + b"]" * 104, f"the body is nested more than {MAX_LEVELS} levels deep"),
        (b'{"a":' * 104 + b"1" + b"}" * 104, f"the body is nested more than {MAX_LEVELS} levels deep"),
        (b"1" * 309, "a number in the body has more than 308 digits"),
    ],
)
def test_what_is_not_acceptable_json_is_refused(raw: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        parse(raw)


def test_as_deep_as_may_be() -> None:
    value: Any = parse(b"[" * MAX_LEVELS + b"]" * MAX_LEVELS)
    for _ in range(MAX_LEVELS - 1):
        (value,) = value
    assert value == []


def test_messages_become_pointers() -> None:
    messages = {
        "verifications": {
            3: {"region": ["is wrong."], "a/b~c": ["Unknown field."]},
            7: {"_schema": ["is wrong"]},
        },
        "x": ["one", "two"],
    }
    assert invalid(messages).errors == [
        {"pointer": "/verifications/3/region", "detail": "is wrong"},
        {"pointer": "/verifications/3/a~1b~0c", "detail": "Unknown field"},
        {"pointer": "/verifications/7", "detail": "is wrong"},
        {"pointer": "/x", "detail": "one"},
        {"pointer": "/x", "detail": "two"},
    ]
    assert invalid({"_schema": ["Invalid input type."]}).errors == [
        {"pointer": "", "detail": "Invalid input type"}
    ]
    assert invalid({"limit": ["is wrong"]}, "parameter").errors == [
        {"parameter": "limit", "detail": "is wrong"}
    ]


def test_of_many_faults_the_first_are_listed_and_long_names_are_cut() -> None:
    found = invalid({"n" * 5000: {number: ["is wrong"] for number in range(1000)}})
    assert len(found.errors) == MOST_ERRORS
    assert len(found.response().data) < 20_000


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.slug)
def test_every_kind_is_a_problem_as_rfc_9457_has_it(kind: problems.Kind) -> None:
    response = problems.Problem(kind, "why").response()
    body = json.loads(response.data)
    assert body == {
        "type": f"urn:ekyc:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": "why",
    }
    assert response.status_code == kind.status
    assert response.content_type == "application/problem+json"


def test_each_kind_has_a_slug_of_its_own() -> None:
    assert len({kind.slug for kind in KINDS}) == len(KINDS) >= 15


def test_errors_of_werkzeug_become_problems() -> None:
    found = of_http(MethodNotAllowed(["POST", "GET"]))
    assert (found.kind, found.headers) == (problems.METHOD_NOT_ALLOWED, {"Allow": "GET, POST"})
    assert of_http(RequestTimeout()).kind.status is HTTPStatus.REQUEST_TIMEOUT
