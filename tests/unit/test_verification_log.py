"""Every write that a batch makes can be logged, whatever was counted with it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from worker.ledger import transitions
from worker.ledger.models import Batch, EvidenceState, Stage, Verification
from worker.observability.verification_log import log_written

if TYPE_CHECKING:
    from worker.ledger.transitions import Transition

BATCH = Batch("b1", "ph", Stage.ARCHIVING, ("one",))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, {}),
        ({"polls": 1, "answer:busy": 1}, {}),
        ({"evidence_files": 3, "evidence_bytes": 2048, "polls": 1}, {"files": 3, "bytes": 2048}),
    ],
)
def test_an_archive_is_logged_whatever_was_counted_with_it(
    counts: dict[str, int], said: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A request for fresh links counts as a poll, also where the evidence is not complete yet."""
    with caplog.at_level(logging.INFO, "worker.observability.verification_log"):
        log_written(BATCH, [replace(decide_first(), counts=counts)])
    (record,) = caplog.records
    (line,) = record.events  # type: ignore[attr-defined]
    assert line["event"] == "verification_archived"
    assert {name: line[name] for name in ("files", "bytes") if name in line} == said


def decide_first() -> Transition:
    verification = Verification(
        region="ph", signature_id="one", stage=Stage.ARCHIVING, enqueued_at_ms=1, read_at_ms=2
    )
    return transitions.archived(verification, EvidenceState.PENDING)
