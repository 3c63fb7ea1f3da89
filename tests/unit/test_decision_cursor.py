"""The cursor of the feed of decisions, and that of the list of verifications."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.enqueue_request import REGIONS
from worker.ledger.decision_feed import Cursor
from worker.ledger.pages import Position
from worker.web.api.problems import Problem
from worker.web.api.verifications import _position

POSITIONS = st.dictionaries(st.sampled_from(REGIONS), st.integers(0, 10**16 - 1))


@given(POSITIONS)
def test_a_cursor_is_read_as_it_was_written(positions: dict[str, int]) -> None:
    text = Cursor(positions).text
    assert Cursor.parse(text) == Cursor(positions)
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()


@given(POSITIONS, POSITIONS)
def test_a_cursor_says_how_far_a_region_is_read_from_its_beginning(
    positions: dict[str, int], begun: dict[str, int]
) -> None:
    found = Cursor.parse(Cursor(positions, begun).text)
    left = {region: end for region, end in begun.items() if end > positions.get(region, end)}
    assert found == Cursor(positions, left)


@given(
    st.text(max_size=400) | st.binary(max_size=300).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_any_other_text_is_no_cursor(text: str) -> None:
    try:
        found = Cursor.parse(text)
    except ValueError as error:
        assert str(error) == "is not a cursor"  # noqa: PT017
    else:
        assert {region: str(at) for region, at in found.positions.items()} or found == Cursor()


@pytest.mark.parametrize(
    "plain",
    [
        "",
        "2",
        "1 ph",
        "1 ph:",
        "1 ph:-1",
        "1 xx:1",
        "1  ph:1",
        "1 ph:12345678901234567",
        "1 ph:1\n",
        "1 ph:1-",
        "1 ph:1-2-3",
    ],
)
def test_what_is_malformed_inside_is_no_cursor(plain: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a cursor$"):
        Cursor.parse(base64.urlsafe_b64encode(plain.encode()).decode().rstrip("="))


def test_a_long_text_is_no_cursor_and_is_not_decoded() -> None:
    """All regions with the longest positions fit; their repetition, which the format allows, does not."""
    longest = Cursor(dict.fromkeys(REGIONS, 10**16 - 2), dict.fromkeys(REGIONS, 10**16 - 1))
    assert Cursor.parse(longest.text) == longest
    plain = "1" + " ph:1" * 120
    with pytest.raises(ValueError, match=r"^is not a cursor$"):
        Cursor.parse(base64.urlsafe_b64encode(plain.encode()).decode().rstrip("="))


@given(
    st.integers(0, 999),
    st.integers(0, 2**64 - 1),
    st.from_regex(r"([a-z0-9_-]{1,32})?", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9_-]{0,80}", fullmatch=True),
)
def test_a_position_in_the_list_is_read_as_it_was_written(
    source: int, at: int, pipeline: str, after: str
) -> None:
    position = Position(source, at, pipeline, after)
    assert _position(position.cursor()) == position


@pytest.mark.parametrize("cursor", ["", "x", "ä", "A" * 10_000, "MQ", "MC4xODQ0Njc0NDA3MzcwOTU1MTYxNi4w"])
def test_any_other_text_is_no_position(cursor: str) -> None:
    with pytest.raises(Problem) as caught:
        _position(cursor)
    assert caught.value.errors == [{"parameter": "cursor", "detail": "is not a cursor of this list"}]


def test_without_a_cursor_a_list_begins_at_its_beginning() -> None:
    assert _position(None) == Position()
