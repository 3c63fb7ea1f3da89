"""A few seconds of `make fuzz`: random answers, and what the run finds in a reader that has a fault."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.fuzz import answers
from tests.fuzz.answers import Outcome, check, measure, run
from tests.support.answer_path import ASKED, fate
from tests.support.odd_answers import passed

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.timeout(110)


def test_random_answers_neither_end_the_reader_nor_approve_anybody() -> None:
    outcome = run(7, 40.0, answers=1200)
    assert outcome.broken == []
    assert outcome.approved > 30
    assert outcome.measured > 0


def says_pass(raw: bytes, **_: Any) -> str:
    """A reader that believes any PASS."""
    return "approve" if b'"PASS"' in raw else "review"


def breaks_down(raw: bytes, **_: Any) -> str:
    """A reader that takes the first value for an object."""
    return str(json.loads(raw)["data"]["overallResult"])


def of_any_id(raw: bytes, *, status: int) -> str:
    """A reader that takes whatever id is in an answer for the one that was asked."""
    name = raw.partition(b'"signatureId": "')[2].partition(b'"')[0].decode(errors="replace")
    return fate(raw, status=status, asked=name or ASKED)


@pytest.mark.parametrize("reader", [says_pass, breaks_down, of_any_id])
def test_a_reader_with_a_fault_is_found(reader: Callable[..., str]) -> None:
    assert run(1, 60.0, read=reader).broken


def test_a_reader_that_is_slow_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def spins(raw: bytes, **_: Any) -> str:
        until = time.thread_time() + len(raw) / 1000
        while time.thread_time() < until:
            pass
        return "review"

    monkeypatch.setattr(answers, "FIRST_S", 0.05)
    outcome = Outcome()
    check(passed(ASKED), outcome, read=spins)
    assert [each.partition(" for ")[0][-1:] for each in outcome.broken] == ["s"]


def test_a_reader_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(raw: bytes, **_: Any) -> str:
        time.sleep(60)
        return str(raw)

    monkeypatch.setattr(answers, "HANGS_S", 0.2)
    outcome = Outcome()
    check(b"{}", outcome, read=waits)
    assert outcome.broken[0].startswith("Hangs ")


def test_memory_that_grows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "FIRST_BYTES", 100)
    monkeypatch.setattr(answers, "PER_BYTE", 1)
    outcome = Outcome()
    measure(passed(ASKED), outcome)
    assert "bytes of memory" in outcome.broken[0]
