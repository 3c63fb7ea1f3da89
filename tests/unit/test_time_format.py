"""How moments and spans are written."""

from __future__ import annotations

import pytest

from worker.ledger.moments import rfc3339
from worker.policy.time_format import seconds, span


def test_a_moment_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert rfc3339(1_665_993_522_952) == "2022-10-17T07:58:42.952Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (0.44, "0.4 s"),
        (9.96, "10.0 s"),
        (12.4, "12 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (277_200, "3 d 5 h"),
    ],
)
def test_a_span_is_written_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("text", "for_s"),
    [("90", 90), ("30s", 30), ("10m", 600), ("2h", 7200), ("1.5h", 5400), (" 10M ", 600), ("0", 0)],
)
def test_a_duration_has_a_unit_or_is_seconds(text: str, for_s: float) -> None:
    assert seconds(text) == for_s


@pytest.mark.parametrize(
    "text", ["", "m", "10 m", "1h30m", "1w", "-5", "+5", "1e3", "nan", "inf", "٣", "9" * 400]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time such as 30s, 10m or 2h"):
        seconds(text)
