"""The vendor's callbacks make decisions quick and save polls; without them decisions are only later.

The figures are in docs/benchmarks.md. The bounds here are far from them, because no test measures speed.
"""

from __future__ import annotations

import pytest

from benchmarks.notifications import Shares, measure

pytestmark = pytest.mark.timeout(300)

#: It is 2; a poll for each of the two callbacks would make it nearly 3.
MOST_POLLS = 2.5


def test_callbacks_make_decisions_quick_with_few_polls() -> None:
    """One in seven is INCOMPLETE, and the vendor does not call back; without callbacks the median is 7 s."""
    found = measure(Shares("every callback"), 40, rate=10)
    assert (found.verifications, found.wrong) == (40, 0)
    assert found.callbacks["sent"] > 60
    assert found.polls <= MOST_POLLS
    assert found.median_s < 6


def test_lost_and_doubled_callbacks_lose_nothing() -> None:
    found = measure(Shares("many lost", lost=0.15, doubled=0.15), 40, rate=10)
    assert (found.verifications, found.wrong) == (40, 0)
    assert found.callbacks["lost"] > 0
    assert found.callbacks["doubled"] > 0
    assert found.polls <= MOST_POLLS
    # The longest countdown after the first null is 12 s.
    assert found.longest_s < 60
