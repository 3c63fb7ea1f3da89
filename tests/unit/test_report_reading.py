"""The reading of evidence for a report: in order, with a bounded number of verifications in memory."""

from __future__ import annotations

import os
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests.support.kept_decisions import write_decision
from worker.evidence.store import Evidence
from worker.records.report import reading
from worker.records.report.month import Month
from worker.records.report.reading import MonthReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IN_MEMORY = 4 * reading.READERS

MARCH = Month(2026, 3)


def test_results_come_in_order_and_no_more_are_read_ahead_than_the_limit() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 1000:
            taken += 1
            yield taken

    found = []
    for result in reading.ahead(lambda item: item * 2, items()):
        found.append(result)
        assert taken - len(found) <= IN_MEMORY
    assert found == [2 * item for item in range(1, 1001)]


def test_several_are_read_at_the_same_time() -> None:
    together = threading.Barrier(reading.READERS, timeout=20)
    assert len(list(reading.ahead(lambda _: together.wait(), range(reading.READERS)))) == reading.READERS


def test_an_error_ends_the_reading() -> None:
    started: list[int] = []

    def fail(item: int) -> int:
        started.append(item)
        if item == 10:
            raise ValueError("10")
        return item

    with pytest.raises(ValueError, match="10"):
        list(reading.ahead(fail, range(10_000)))
    assert len(started) <= 10 + 1 + IN_MEMORY


def test_memory_does_not_grow_with_the_evidence(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        root = tmp_path / str(count)
        for number in range(count):
            write_decision(root, f"id-{number}")
        evidence = Evidence(root.as_uri())
        reader = MonthReader(MARCH)
        tracemalloc.start()
        try:
            reader.read(evidence, ("my",))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert reader.figures().decided == count

    few = peak(50)
    # Eight times as many: each one more takes its name in the listing and its durations, and not its evidence.
    assert peak(400) - few < 350 * 1000


def test_the_time_of_a_file_hides_no_decision(tmp_path: Path) -> None:
    """People who can write the store can set it, and a restored copy may have any."""
    for number, at in enumerate((0, 1_000_000_000, 4_000_000_000)):
        write_decision(tmp_path, f"id-{number}")
        os.utime(tmp_path / "my" / f"id-{number}" / "decision.json", (at, at))
    reader = MonthReader(MARCH)
    reader.read(Evidence(tmp_path.as_uri()), ("my",))
    assert reader.figures().decided == 3
