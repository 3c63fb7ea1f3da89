"""Syncs that threads share: none returns before one that began after it asked has ended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock, Semaphore
from typing import TYPE_CHECKING

import pytest

from worker.evidence import syncs
from worker.evidence.syncs import SharedSync

if TYPE_CHECKING:
    from pathlib import Path

ASKING = 8


class Turn:
    """A lock that says how many have come to it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.came = Semaphore(0)

    def __enter__(self) -> None:
        self.came.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_those_who_ask_while_a_sync_runs_share_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on, calls = Event(), Event(), []

    def slow(folder: str) -> None:
        calls.append(folder)
        began.set()
        assert go_on.wait(10)

    monkeypatch.setattr(syncs, "sync", slow)
    shared = SharedSync()
    shared._turn = turn = Turn()  # type: ignore[assignment]
    with ThreadPoolExecutor(ASKING) as threads:
        asked = [threads.submit(shared.of, str(tmp_path))]
        assert began.wait(10)
        asked += [threads.submit(shared.of, str(tmp_path)) for _ in range(ASKING - 1)]
        for _ in asked:
            assert turn.came.acquire(timeout=10)
        go_on.set()
        for one in asked:
            one.result(10)
    # The first began before the others asked, and does not count for them; one more counts for all.
    assert len(calls) == 2


def test_each_who_asks_alone_gets_a_sync_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(syncs, "sync", calls.append)
    shared = SharedSync()
    shared.of(str(tmp_path))
    shared.of(str(tmp_path))
    assert len(calls) == 2


def test_a_sync_that_fails_serves_nobody(tmp_path: Path) -> None:
    shared = SharedSync()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            shared.of(str(tmp_path / "gone"))
    shared.of(str(tmp_path))
