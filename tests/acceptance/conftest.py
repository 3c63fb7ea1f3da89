"""The fleet that acceptance tests run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.fleet import Fleet, fleet_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fleet(redis_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """A vendor and an empty ledger; no worker yet. Countdowns are short, leases too."""
    with fleet_at(redis_url, tmp_path) as fleet:
        yield fleet
