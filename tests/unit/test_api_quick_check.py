"""The quick check of requests to enqueue accepts what their schemas accept, and yields the same requests."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from worker.enqueue_request import REGION_ALIASES, REGIONS, EnqueueRequest
from worker.ledger.ledger import new_call
from worker.web.api import quick_check
from worker.web.api.schemas import MOST_VERIFICATIONS, VerificationBatch, VerificationRequest

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
_ids = st.sampled_from(["a", "pass-n2-1", "a b", "", "x" * 64, "x" * 65, "a\n", "ä"]) | _json
_regions = st.sampled_from([*REGIONS, *REGION_ALIASES, "PH", " ph", "xx", ""]) | _json
_contexts = _json | st.sampled_from([{"__type__": 1}, "x" * 4095, [[[]]]])
_pipelines = st.sampled_from(["shop", "default", "x" * 32, "x" * 33, "Shop", "", "a\n", None]) | _json
_items = st.fixed_dictionaries(
    {},
    optional={"signature_id": _ids, "region": _regions, "context": _contexts, "pipeline": _pipelines},
)
_odd = st.fixed_dictionaries({"signature_id": _ids, "region": _regions, "more": st.none()})
bodies = _items | _odd | _json
batches = st.fixed_dictionaries(
    {"verifications": st.lists(_items | _odd, max_size=3) | _json},
    optional={"more": st.none()},
)


def by_schema(body: Any, *, several: bool) -> list[EnqueueRequest] | None:
    try:
        if several:
            loaded: list[EnqueueRequest] = VerificationBatch().load(body)["verifications"]
            return loaded
        return [VerificationRequest().load(body)]
    except ValidationError:
        return None


@given(bodies)
def test_one_is_taken_as_its_schema_takes_it(body: Any) -> None:
    assert quick_check.requests(body, several=False) == by_schema(body, several=False)


@given(batches)
def test_several_are_taken_as_their_schema_takes_them(body: Any) -> None:
    assert quick_check.requests(body, several=True) == by_schema(body, several=True)


@pytest.mark.parametrize("count", [0, 1, MOST_VERIFICATIONS, MOST_VERIFICATIONS + 1])
def test_as_many_are_taken_as_the_schema_takes(count: int) -> None:
    body = {"verifications": [{"signature_id": f"a{number}", "region": "id"} for number in range(count)]}
    found = quick_check.requests(body, several=True)
    assert found == by_schema(body, several=True)
    assert (found is None) == (count not in {1, MOST_VERIFICATIONS})


def test_a_batch_with_another_member_is_not_taken() -> None:
    body = {"verifications": [{"signature_id": "a", "region": "ph"}], "more": None}
    assert quick_check.requests(body, several=True) is None
    assert by_schema(body, several=True) is None


def test_a_fork_names_its_calls_otherwise_than_its_parent() -> None:
    """Two calls of the same name would have the same answer."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, new_call().encode())
        os._exit(0)
    os.waitpid(child, 0)
    name = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)
    assert len(name) == len(new_call()) == 12
    assert name not in {new_call() for _ in range(100)}
