"""What the vendor's callbacks save: polls and delays with `EKYC_POLL_FIRST` at several values.

Every callback arrives. After `SUBMIT_COMPLETED` the poll comes `EKYC_POLL_FIRST` later, after `COMPLETED` at once. The
vendor has no callback for a result that is INCOMPLETE, and none for a user who never finishes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

from benchmarks.schedule.figures import ours
from benchmarks.schedule.scenarios import POLICY_SEED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.schedule.figures import Figures
    from worker.policy.simulation import Scenario
    from worker.settings import Settings

#: The share of results that are INCOMPLETE: a guess.
INCOMPLETE: Final = 0.15

#: Values of `EKYC_POLL_FIRST`, in seconds: the default, then longer ones.
FIRST_S: Final = (2.0, 10.0, 30.0, 60.0)


def with_callbacks(courses: Sequence[Scenario], first_s: float) -> list[Scenario]:
    random = Random(POLICY_SEED)
    return [
        replace(
            course,
            nudged_s=course.submitted_s + first_s,
            called_back_s=course.answered_s
            if random.random() >= INCOMPLETE and math.isfinite(course.submitted_s)
            else math.inf,
        )
        for course in courses
    ]


def figures(settings: Settings, courses: Sequence[Scenario]) -> Iterator[tuple[str, Figures]]:
    """A row without callbacks, then one for each value."""
    yield "no callback, 2 s", ours(settings, courses)
    for first_s in FIRST_S:
        found = ours(replace(settings, poll_first_s=first_s), with_callbacks(courses, first_s))
        yield f"callbacks, {first_s:g} s", found
