"""A few seconds of `make fuzz-http`: random damage, and nobody's folder or decision is another's."""

from __future__ import annotations

import pytest

from tests.fuzz.http import run

pytestmark = pytest.mark.timeout(110)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_damage_gives_nobody_what_is_anothers(seed: int) -> None:
    outcome = run(seed, 60.0, rounds=3)
    assert outcome.broken == []
    assert outcome.whole > 10
