"""The cost of a long log: an audit takes time that grows with the entries, and memory as well."""

from __future__ import annotations

import time
import tracemalloc
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.support.logged_evidence import REGION, LoggedEvidence, names
from worker.evidence.log.audit import Audit
from worker.evidence.log.sequencer import candidate_of

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

#: Entries of the shortest log; the others have 2, 4 and 8 times as many.
FIRST = 500


def test_an_audit_takes_twice_as_long_for_twice_as_many_entries(
    redis: redis_py.Redis, tmp_path: Path
) -> None:
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    sequencer, size, took = world.sequencer(), 0, list[float]()
    for factor in (1, 2, 4, 8):
        ids = names(FIRST * factor - size, size)
        world.store(*ids, images=False, decided_at=datetime.now(UTC))
        found = [candidate_of(world.evidence, REGION, each) for each in ids]
        assert sequencer.append([each for each in found if each]) == len(ids)
        size += len(ids)
        began = time.process_time()
        report = Audit(world.evidence, world.log).whole()
        took.append(time.process_time() - began)
        assert (report.findings, report.size, report.checked) == ([], size, size)
    per_entry = [seconds / (FIRST * factor) for seconds, factor in zip(took, (1, 2, 4, 8), strict=True)]
    assert per_entry[-1] < per_entry[0] * 10, per_entry


def test_the_memory_of_an_audit_is_that_of_the_entries(redis: redis_py.Redis, tmp_path: Path) -> None:
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    world.store(*names(FIRST), images=False)
    found = [candidate_of(world.evidence, REGION, each) for each in names(FIRST)]
    world.sequencer().append([each for each in found if each])
    tracemalloc.start()
    try:
        assert Audit(world.evidence, world.log).whole().findings == []
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < FIRST * 10_000, most
