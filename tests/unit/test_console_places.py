"""Requests of the console that cost much: few run at a time in a process, and others are refused."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import HTTPException

from worker.web.api.gate import Gate
from worker.web.console import costly


@pytest.fixture(autouse=True)
def one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costly, "_GATE", Gate(at_once=1, waiting=0))


def test_one_more_than_there_are_places_is_refused_and_the_place_comes_back() -> None:
    with costly.place():
        with pytest.raises(HTTPException) as refused, costly.place():
            pytest.fail("there was no place")
        assert refused.value.code == 503
    with costly.place():
        pass


def test_a_place_comes_back_after_a_failure() -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), costly.place():
            raise ZeroDivisionError
