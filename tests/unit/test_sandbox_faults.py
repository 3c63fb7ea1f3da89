"""Faults of the vendor as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.faults import Faults, Mode, draw
from sandbox.scenario import Kind


def struck(faults: Faults, *, answers: int = 2000, token_call: bool = False) -> list[Kind]:
    draws = (draw(0, "an-id", number) for number in range(answers))
    return [fault.kind for each in draws if (fault := faults.strike(each, token_call=token_call))]


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("refuse", Kind.RESET),
        ("5xx", Kind.HTTP),
        ("garbage", Kind.GARBAGE),
        ("busy", Kind.CODE),
        ("reject_tokens", Kind.CODE),
        ("disabled", Kind.CODE),
    ],
)
def test_a_mode_strikes_every_answer_in_its_own_way(mode: str, kind: Kind) -> None:
    assert set(struck(Faults.load({"mode": mode}))) == {kind}
    assert len(struck(Faults.load({"mode": mode}))) == 2000


def test_off_strikes_nothing() -> None:
    assert struck(Faults.load({"mode": "off"})) == []


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.2, 320, 480), (1.0, 2000, 2000)])
def test_a_share_of_the_answers_is_struck(share: float, low: int, high: int) -> None:
    assert low <= len(struck(Faults(Mode.BROKEN, share))) <= high


def test_the_same_answers_are_struck_each_time() -> None:
    assert struck(Faults(Mode.MIXED, 0.3)) == struck(Faults(Mode.MIXED, 0.3))


def test_mixed_draws_from_faults_that_pass() -> None:
    kinds = {Kind.HTTP, Kind.CODE, Kind.HTML, Kind.EMPTY, Kind.TRUNCATED, Kind.RESET}
    assert set(struck(Faults(Mode.MIXED))) == kinds


@pytest.mark.parametrize(
    ("mode", "spared"), [(Mode.BUSY, True), (Mode.REJECT_TOKENS, True), (Mode.BROKEN, False)]
)
def test_a_rate_limit_and_rejected_tokens_spare_the_token_api(mode: Mode, *, spared: bool) -> None:
    assert (struck(Faults(mode), token_call=True) == []) == spared


def test_busy_says_for_how_long() -> None:
    fault = Faults.load({"mode": "busy", "retry_after_s": 3}).strike(bytes(8))
    assert fault
    assert fault.retry_after
    assert fault.retry_after.header(0.0) == "3s"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "mode"),
        ({"mode": "on"}, "mode"),
        ({"mode": ["off"]}, "mode"),
        ({"mode": "5xx", "share": 1.1}, "share"),
        ({"mode": "5xx", "share": True}, "share"),
        ({"mode": "5xx", "share": float("nan")}, "share"),
        ({"mode": "busy", "retry_after_s": -1}, "retry_after_s"),
        ({"mode": "busy", "retry_after_s": 1.5}, "retry_after_s"),
        ({"mode": "busy", "for": 3}, "for"),
    ],
)
def test_what_cannot_be_set_is_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Faults.load(fields)
