"""`worker.client` and the marshmallow schema of messages and files accept and refuse the same requests."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.enqueue import EnqueueRequest, load_enqueue
from schemas.errors import SchemaError
from worker import client
from worker.enqueue_request import REGION_ALIASES, REGIONS
from worker.errors import InvalidInput
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = "f302f5d2454a85c2"

#: What no field expects.
STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=70), st.lists(st.text(), max_size=3),
)  # fmt: skip

IDS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,66}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True).map(str.encode),
    st.text(max_size=66),
    STRANGE,
)

NAMES = st.sampled_from([*REGIONS, *REGION_ALIASES, *map(str.upper, REGIONS), " ph ", "ph\n"])

REGIONS_GIVEN = st.one_of(NAMES, NAMES.map(str.encode), st.text(max_size=8), STRANGE)

#: JSON, and what Celery hands on beside it, and what neither can carry.
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.text("é\ud800_", max_size=5),
    st.uuids(), st.decimals(), st.dates(), st.datetimes(), st.times(), st.binary(max_size=4),
    st.sampled_from([{1}, object(), "x" * 4094, "x" * 4095, "é" * 2047, "é" * 2048]),
)  # fmt: skip

KEYS = st.one_of(st.text(max_size=8), st.sampled_from(["__type__", "__value__"]), st.integers(), st.none())

CONTEXTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.tuples(inner, st.integers(90, 110)).map(lambda pair: nested(*pair)),
    ),
    max_leaves=5,
)


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


@pytest.fixture(autouse=True, scope="module")
def every_region_is_polled() -> Iterator[None]:
    """Whatever the environment of this process says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "current", Settings)
        yield


def by_client(signature_id: Any, region: Any, context: Any, pipeline: Any = None) -> EnqueueRequest | str:
    try:
        return client.request(signature_id, region, context, pipeline)
    except InvalidInput as error:
        return str(error)


def by_schema(signature_id: Any, region: Any, context: Any, pipeline: Any = None) -> EnqueueRequest | str:
    given = {"signature_id": signature_id, "region": region, "context": context, "pipeline": pipeline}
    try:
        return load_enqueue(given)
    except SchemaError as error:
        return str(error)


@settings(max_examples=150, deadline=None)
@given(IDS, REGIONS_GIVEN, CONTEXTS)
@example(ID, "ph", None)
@example(None, "ph", None)
@example(ID, None, None)
@example(b"\xff", "ph", None)
@example(ID, b"\xff", None)
@example(ID + "\n", "ph", None)
@example("x" * 65, "mars", {1})
@example(ID, "mars", {1})
@example(ID, "ph", {"__type__": "uuid"})
def test_both_accept_and_refuse_the_same_and_say_the_same(
    signature_id: Any, region: Any, context: Any
) -> None:
    assert by_client(signature_id, region, context) == by_schema(signature_id, region, context)


@settings(max_examples=150, deadline=None)
@given(st.from_regex(r"[A-Za-z0-9_-]{0,34}\n?", fullmatch=True) | st.text(max_size=4) | STRANGE)
@example("default")
@example("x" * 32)
@example("x" * 33)
@example("Shop")
@example(b"shop")
@example(b"\xff")
@example("a b")
@example("shop\n")
def test_both_keep_the_same_name_of_a_pipeline(pipeline: Any) -> None:
    kept = by_client(ID, "ph", None, pipeline)
    assert kept == by_schema(ID, "ph", None, pipeline)
    if isinstance(kept, EnqueueRequest):
        assert set(kept.pipeline) <= {*"abcdefghijklmnopqrstuvwxyz0123456789_-"}
        assert 1 <= len(kept.pipeline) <= 32
        assert kept.pipeline == "default" or pipeline in {kept.pipeline, kept.pipeline.encode()}
    else:
        assert kept == "pipeline: must be 1 to 32 of a-z, digits, - and _"


@settings(max_examples=150, deadline=None)
@given(CONTEXTS)
def test_both_keep_the_same_of_a_context(context: Any) -> None:
    """The property above seldom comes this far: here the id and the region are good."""
    kept = by_client(ID, "ph", context)
    assert kept == by_schema(ID, "ph", context)
    if isinstance(kept, EnqueueRequest) and kept.context is not None:
        json.loads(kept.context)


@pytest.mark.parametrize("ask", [by_client, by_schema])
def test_a_good_request_is_accepted_by_each(ask: Any) -> None:
    """So that the properties compare more than refusals."""
    context = {
        "uuid": UUID(int=7), "amount": Decimal("1.50"), "day": date(2026, 1, 2), "at": time(3, 4),
        "moment": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    }  # fmt: skip
    assert ask(ID.encode(), " ID ", context) == EnqueueRequest(
        ID,
        "global",
        '{"uuid":"00000000-0000-0000-0000-000000000007","amount":"1.50","day":"2026-01-02","at":"03:04:00",'
        '"moment":"2026-01-02T03:04:00+00:00"}',
    )
    assert ask(None, "ph", None) == "signature_id: must be 1 to 64 of letters, digits, - and _"
    assert ask(ID, 17, None) == f"region: unknown region, use one of {', '.join(REGIONS)}"
    assert ask(ID, "ph", {1}) == "context: must be JSON"
