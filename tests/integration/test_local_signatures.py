"""The fleet of a test signs as a real one, so a test shows whether a pipeline verifies."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from worker import signatures
from worker.client import enqueue, verify
from worker.errors import SignatureRefused
from worker.testing import LocalFleet


def test_a_pipeline_that_verifies_runs_in_a_test() -> None:
    key, other = (signatures.new_private_key() for _ in range(2))
    pipeline = Celery("onboarding", broker="redis://127.0.0.1:6379/0")
    verified: list[str] = []
    keys = signatures.format_public_key(key.public_key())

    @pipeline.task(bind=True, name="onboarding.approve")
    def approve(self: Any, decision: dict[str, Any]) -> None:
        verified.append(verify(self, decision, keys=keys))

    for private in (key, other):
        settings = {"EKYC_SIGNING_KEY": signatures.format_private_key(private)}
        with LocalFleet(settings=settings, pipeline=pipeline) as fleet:
            enqueue("pass-1", "ph", context={"n": 1.50, "text": "José"})
            if private is key:
                (decision,) = fleet.drain()
                assert verified == [decision.id]
            else:
                with pytest.raises(SignatureRefused) as caught:
                    fleet.drain()
                assert caught.value.reason == "WRONG_SIGNATURE"
    assert len(verified) == 1
