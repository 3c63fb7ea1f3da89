"""How moments and spans are written."""

from __future__ import annotations

import pytest

from worker.cli.moments import rfc3339, span


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
