"""The table of malformed answers: what each row means, by the functions that a worker reads answers with."""

from __future__ import annotations

import json
import time
import tracemalloc
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.decided import decided
from tests.support.docs_pages import page
from tests.support.odd_answers import (
    APPROVE,
    PENDING,
    QUARANTINE,
    REVIEW,
    ROWS,
    Row,
    inside,
    may_approve,
    passed,
)
from worker.advance.answers import Answer, Settled, TransientFault, Unreadable, classify
from worker.advance.client import _Asked
from worker.advance.exchange import MAX_BODY_BYTES, Exchange
from worker.decisions.table import Table
from worker.policy.rules import trip

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = Table.load(None)
ID = "f302f5d2454a85c2"


def answer_to(body: bytes) -> Answer:
    if len(body) > MAX_BODY_BYTES:
        return classify(Exchange(200, fault="BODY_TOO_LARGE"), signature_id=ID, now=0.0)
    return classify(Exchange(200, body=body), signature_id=ID, now=0.0)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.group}: {row.name}" for row in ROWS])
def test_each_malformation_has_its_outcome(row: Row) -> None:
    body = row.body(ID)
    answer = answer_to(body)

    if row.outcome in {APPROVE, REVIEW}:
        assert isinstance(answer, Settled), answer
        result = answer.result
        decision = decided(TABLE, result.overall_result, result.error_code, result.contradiction)
        assert (decision, result.contradiction) == (row.outcome, row.reason)
    elif row.outcome == QUARANTINE:
        assert isinstance(answer, Unreadable), answer
        assert answer.raw == (body if row.kept else b"")
    else:
        assert isinstance(answer, TransientFault), answer
    assert (trip(answer) is None) == (row.outcome in {APPROVE, REVIEW, QUARANTINE, PENDING})


def test_no_row_stands_twice() -> None:
    assert len({(row.group, row.name) for row in ROWS}) == len(ROWS)


# Arbitrary damage

SMALL = [body for row in ROWS if len(body := row.body(ID)) < 3000]


def approves(body: bytes) -> bool:
    answer = answer_to(body)
    if not isinstance(answer, Settled):
        return False
    result = answer.result
    return decided(TABLE, result.overall_result, result.error_code, result.contradiction) == "approve"


def first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


@settings(deadline=None, max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_promise_7_of_a_damaged_answer_only_a_pass_approves(data: st.DataObject) -> None:
    """Whichever of two values another reader would take."""
    body = data.draw(st.sampled_from(SMALL))
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(len(body), start + 20)))
    piece = data.draw(
        st.sampled_from([b"", b'"FAIL"', b"FAIL", b"null", b"false", b",", b"}", b'"errorCode":"ERROR",'])
        | st.binary(max_size=4)
    )
    damaged = body[:start] + piece + body[end:]
    if approves(damaged):
        for hook in (dict, first_wins):
            document = json.loads(damaged, strict=False, object_pairs_hook=hook)
            assert document["code"] == "SUCCESS"
            assert may_approve(document["data"], ID)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_whatever_comes_instead_of_an_answer_decides_nothing(body: bytes) -> None:
    assert isinstance(answer_to(body), TransientFault)


def test_a_body_names_an_id_only_as_a_whole() -> None:
    other = passed(ID + "0")[:-1]
    assert isinstance(answer_to(other), TransientFault)
    assert isinstance(answer_to(passed(ID)[:-1]), Unreadable)


# Time

#: What a body of 2 MiB may be filled with. Each grew with its square, or took up to 600 ms, in some reader of JSON.
FILLINGS: dict[str, Callable[[int], bytes]] = {
    "numbers": lambda size: inside("[" + "1," * (size // 2) + "1]")(ID),
    "digits": lambda size: inside("9" * size)(ID),
    "long integers": lambda size: inside("[" + ("9" * 4000 + ",") * (size // 4001) + "1]")(ID),
    "decimals": lambda size: inside("1." + "5" * size)(ID),
    "names": lambda size: inside("{" + ",".join(f'"{n}":1' for n in range(size // 11)) + "}")(ID),
    "one name": lambda size: inside("{" + ",".join(['"a":1'] * (size // 6)) + "}")(ID),
    "objects": lambda size: inside("[" + ",".join(["{}"] * (size // 3)) + "]")(ID),
    "levels": lambda size: inside("[" * (size // 2) + "]" * (size // 2))(ID),
    "escapes": lambda size: inside('"' + "\\u00e9" * (size // 6) + '"')(ID),
    "quotes": lambda size: passed(ID)[:-1] + b'"' * size,
    "backslashes": lambda size: b"\\" * size,
    "blanks": lambda size: passed(ID) + b" " * size,
    "names of ids": lambda size: b'{"code":"SUCCESS",' + b"signatureId:" * (size // 12),
    "blanks behind names": lambda size: (b"code" + b" " * 64) * (size // 68),
    "zeros": lambda size: b"\0" * size,
    "Base64": lambda size: inside('"' + "/9j/4AAQ" * (size // 8) + '"')(ID),
}

#: The event loop stands still meanwhile. Ten times what the slowest of them takes on an idle machine.
BLOCKS_AT_MOST_S = 0.3


@pytest.mark.parametrize("filling", FILLINGS.values(), ids=FILLINGS)
def test_an_answer_takes_time_in_proportion_to_its_size(filling: Callable[[int], bytes]) -> None:
    def takes_s(size: int) -> float:
        body = filling(size)
        durations = []
        for _ in range(3):
            began_at = time.process_time()
            answer_to(body)
            durations.append(time.process_time() - began_at)
        return min(durations)

    took_s = [takes_s(size) for size in (256 * 1024, 512 * 1024, 1024 * 1024, 2 * 1024 * 1024 - 2000)]

    # Twice the size, twice the time; four times with a square. Below 2 ms the clock counts for more than the work.
    assert all(after < 20 * max(before, 0.002) for before, after in pairwise(took_s)), took_s
    assert took_s[-1] < BLOCKS_AT_MOST_S


# The page


def test_the_page_has_each_row_and_no_other() -> None:
    table = page("docs/malformed-answers.md").rows("kind | the answer | outcome |")
    listed = {(kind, answer): outcome for kind, answer, outcome in table}

    assert list(listed) == [(row.group, row.name) for row in ROWS]
    for row in ROWS:
        outcome = listed[row.group, row.name]
        assert outcome.startswith(f"**{row.outcome}**"), row
        assert all(
            word in outcome for word in filter(None, [row.reason, *(why for _, why in row.missing)])
        ), row


@pytest.mark.parametrize("filling", ["numbers", "objects", "one name", "names"])
def test_the_id_of_an_unreadable_answer_is_looked_for_in_bounded_memory(filling: str) -> None:
    """On the event loop, too: a body of 2 MiB may have a million values."""
    body = FILLINGS[filling](2_000_000)
    answer = answer_to(body)
    assert isinstance(answer, Unreadable)
    tracemalloc.start()
    try:
        asked = _Asked.of(answer, Exchange(200, body=body, fresh=True), ID)
        assert tracemalloc.get_traced_memory()[1] < len(body)
    finally:
        tracemalloc.stop()
    # As the first answer on its connection it belongs to the request.
    assert (asked.counts, asked.of_another) == (True, False)
