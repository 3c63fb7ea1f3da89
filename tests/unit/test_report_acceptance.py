"""A sample of approvals: how it is drawn, and what the verdicts on it show."""

from __future__ import annotations

import math
import random
from collections import Counter
from fractions import Fraction

import pytest

from worker.records.report.acceptance import Acceptance, Verdict, clopper_pearson, finite
from worker.records.report.sample import Drawn, Sample

TAIL = Fraction(25, 1000)


def drawn(ids: list[str], *, size: int = 5, seed: int = 7, month: str = "2026-11") -> list[Drawn]:
    sample = Sample(size, seed, month)
    for each in ids:
        sample.offer("my", each)
    assert sample.offered == len(ids)
    return list(sample.drawn())


def test_the_same_seed_draws_the_same_in_the_same_order_however_they_are_offered() -> None:
    ids = [f"id-{number}" for number in range(100)]
    shuffled = ids.copy()
    random.Random(1).shuffle(shuffled)
    first = drawn(ids)
    assert first == drawn(shuffled)
    assert len(set(first)) == 5
    assert first != drawn(ids, seed=8)
    assert first != drawn(ids, month="2026-12")
    # A larger sample of the same seed has all of the smaller one.
    assert set(first) < set(drawn(ids, size=20))


def test_a_sample_of_all_has_all_in_another_order() -> None:
    ids = [f"id-{number:03}" for number in range(100)]
    found = [each.signature_id for each in drawn(ids, size=200)]
    assert sorted(found) == ids
    assert found != ids


def test_every_approval_is_drawn_as_often_as_any_other() -> None:
    ids = [f"id-{number}" for number in range(20)]
    counts = Counter(each.signature_id for seed in range(4000) for each in drawn(ids, seed=seed))
    # 4,000 draws of 5 from 20: 1,000 each, with a standard deviation of 27.
    assert counts.total() == 4000 * 5
    assert all(850 < counts[each] < 1150 for each in ids)


def test_regions_with_the_same_id_are_two_verifications() -> None:
    sample = Sample(10, 1, "2026-11")
    sample.offer("my", "id-1")
    sample.offer("sg", "id-1")
    assert sorted(sample.drawn()) == [Drawn("my", "id-1"), Drawn("sg", "id-1")]


@pytest.mark.parametrize(
    ("found", "tried", "low", "high"),
    [
        # None found: 1 - 0.025 ** (1 / n).
        (0, 50, 0.0, 0.07112),
        (50, 50, 0.92888, 1.0),
        # Published tables of the exact interval.
        (1, 10, 0.00253, 0.44502),
        (5, 50, 0.03328, 0.21814),
        (10, 100, 0.04900, 0.17622),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_of_the_rate_is_that_of_clopper_and_pearson(
    found: int, tried: int, low: float, high: float
) -> None:
    assert clopper_pearson(found, tried) == pytest.approx((low, high), abs=6e-6)


def hypergeometric(count: int, sampled: int, marked: int, population: int) -> Fraction:
    """The exact probability, by integers."""
    if count > marked or sampled - count > population - marked:
        return Fraction(0)
    ways = math.comb(marked, count) * math.comb(population - marked, sampled - count)
    return Fraction(ways, math.comb(population, sampled))


@pytest.mark.parametrize(("sampled", "population"), [(1, 1), (3, 12), (5, 20), (19, 20), (20, 20), (12, 60)])
def test_the_interval_of_the_number_is_exact_and_covers_the_truth(sampled: int, population: int) -> None:
    for found in range(sampled + 1):
        candidates = range(found, population - (sampled - found) + 1)
        expected = [
            marked
            for marked in candidates
            if sum(hypergeometric(n, sampled, marked, population) for n in range(found + 1)) > TAIL
            and sum(hypergeometric(n, sampled, marked, population) for n in range(found, sampled + 1)) > TAIL
        ]
        assert finite(found, sampled, population) == (expected[0], expected[-1])
    for marked in range(population + 1):
        covered = sum(
            hypergeometric(found, sampled, marked, population)
            for found in range(sampled + 1)
            if hypergeometric(found, sampled, marked, population)
            and finite(found, sampled, population)[0] <= marked <= finite(found, sampled, population)[1]
        )
        assert covered >= 1 - 2 * TAIL


def test_of_a_month_that_was_checked_in_full_the_number_is_known() -> None:
    assert finite(3, 50, 50) == (3, 3)


def test_in_a_large_month_both_intervals_agree() -> None:
    low, high = finite(2, 50, 1_000_000)
    assert (low / 1_000_000, high / 1_000_000) == pytest.approx(clopper_pearson(2, 50), abs=1e-4)


def test_a_doubt_counts_as_wrong() -> None:
    found = Acceptance.of({Verdict.RIGHT: 47, Verdict.WRONG: 1, Verdict.UNSURE: 2}, approvals=1000)
    assert (found.sampled, found.wrong, found.unsure, found.rate) == (50, 3, 2, 0.06)
    assert (found.low, found.high) == clopper_pearson(3, 50)
    assert (found.fewest, found.most) == finite(3, 50, 1000)
    assert found.low < found.rate < found.high
