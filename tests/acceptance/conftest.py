"""The fleet that acceptance tests run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sandbox.server import Sandbox
from tests.acceptance.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fleet(redis_url: str, tmp_path: Path) -> Iterator[Fleet]:
    """A vendor and an empty ledger; no worker yet. Countdowns are short, leases too."""
    keep = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    with Sandbox() as vendor:
        environment = {name: os.environ[name] for name in keep if name in os.environ}
        environment |= vendor.environment()
        environment |= {
            "REDIS_URL": redis_url,
            "ADVANCE_REGIONS": "ph,sg",
            "EKYC_EVIDENCE_URL": f"file://{tmp_path / 'evidence'}",
            "EKYC_POLL_FIRST": "0.05",
            "EKYC_POLL_FACTOR": "1.2",
            "EKYC_POLL_CAP": "1",
            "EKYC_LEASE": "5",
        }
        fleet = Fleet(tmp_path, redis_url, vendor, environment)
        try:
            yield fleet
        finally:
            fleet.stop()
