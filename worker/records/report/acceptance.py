"""The rate of false acceptance that a sample of approvals shows, with its confidence intervals. Pure.

Two intervals, both exact and with a confidence of 95 %, so with at most 2.5 % on either side:

- of the rate, after Clopper and Pearson (Biometrika 26, 1934, pages 404 to 413), as if approvals had no end. It is
  valid for any population, and wider than necessary where the sample is a large part of the month;
- of the number of wrong approvals in the month, from the hypergeometric distribution, because the sample is drawn from
  a finite population without replacement (Buonaccorsi, The American Statistician 41, 1987, pages 215 to 218). A sample
  of all approvals gives their exact number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from worker.records.report.figures import share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: The confidence of the intervals.
CONFIDENCE: Final = 0.95

#: The probability that is left out on each side.
_TAIL: Final = (1 - CONFIDENCE) / 2

#: Halvings of an interval of 1: more than a float has bits.
_HALVINGS: Final = 60


class Verdict(StrEnum):
    """What a person says of an approval. Words that no spreadsheet takes for a truth value."""

    RIGHT = "right"
    WRONG = "wrong"
    #: Counts as wrong: a doubtful approval must not make the rate look better.
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What the verdicts on a sample say of all approvals of the month.

    Parameters:
        approvals: the approvals of the month.
        sampled: how many of them were checked.
        wrong: those that were found wrong, with `unsure`.
        low, high: the interval of the rate.
        fewest, most: the interval of the number of wrong approvals in the month.
    """

    approvals: int
    sampled: int
    wrong: int
    unsure: int
    rate: float
    low: float
    high: float
    fewest: int
    most: int

    @classmethod
    def of(cls, verdicts: Mapping[Verdict, int], approvals: int) -> Acceptance:
        """Return what the verdicts on a sample of `approvals` show."""
        unsure = verdicts.get(Verdict.UNSURE, 0)
        wrong = verdicts.get(Verdict.WRONG, 0) + unsure
        sampled = sum(verdicts.values())
        low, high = clopper_pearson(wrong, sampled)
        fewest, most = finite(wrong, sampled, approvals)
        return cls(approvals, sampled, wrong, unsure, share(wrong, sampled), low, high, fewest, most)


def clopper_pearson(found: int, tried: int) -> tuple[float, float]:
    """Return the exact interval of a binomial rate, of which `found` of `tried` were seen."""
    if tried == 0:
        return 0.0, 1.0
    low = 0.0 if found == 0 else _root(lambda rate: 1 - _binomial(found - 1, tried, rate) < _TAIL)
    high = 1.0 if found == tried else _root(lambda rate: _binomial(found, tried, rate) > _TAIL)
    return low, high


def finite(found: int, sampled: int, population: int) -> tuple[int, int]:
    """Return the exact interval of the number in a population, of which `found` of `sampled` were seen."""
    fewest, most = found, population - (sampled - found)
    # At most: the largest number under which so few are found with more than the probability of a tail.
    low, high = fewest, most
    while low < high:
        middle = (low + high + 1) // 2
        if _hypergeometric(found, sampled, middle, population) > _TAIL:
            low = middle
        else:
            high = middle - 1
    upper = low
    low, high = fewest, most
    while low < high:
        middle = (low + high) // 2
        if found == 0 or 1 - _hypergeometric(found - 1, sampled, middle, population) > _TAIL:
            high = middle
        else:
            low = middle + 1
    return low, upper


def _root(below: Callable[[float], bool]) -> float:
    """Return where a condition that holds from 0 on ends to hold."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if below(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _binomial(most: int, tried: int, rate: float) -> float:
    """Return the probability of at most `most` in `tried`."""
    if rate <= 0:
        return 1.0
    if rate >= 1:
        return float(most >= tried)
    logs = (
        _choose(tried, count) + count * math.log(rate) + (tried - count) * math.log1p(-rate)
        for count in range(most + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def _hypergeometric(most: int, sampled: int, marked: int, population: int) -> float:
    """Return the probability of at most `most` marked ones in a sample without replacement."""
    whole = _choose(population, sampled)
    least = max(0, sampled - (population - marked))
    logs = (
        _choose(marked, count) + _choose(population - marked, sampled - count) - whole
        for count in range(least, min(most, marked, sampled) + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def _choose(whole: int, part: int) -> float:
    """Return the logarithm of a binomial coefficient."""
    return math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)
