"""Fixtures of several files of this folder."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the product comes from the environment of the test run."""
    for name in list(os.environ):
        if name.startswith(("EKYC_", "ADVANCE_", "REDIS_", "CELERY_")) or name == "PORT":
            monkeypatch.delenv(name)
