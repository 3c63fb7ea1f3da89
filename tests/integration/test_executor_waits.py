"""What a worker's calls wait for, as greenlets of one thread: whatever it is, the others go on meanwhile."""

from __future__ import annotations

import time
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from schemas.token import Token
from tests.support.executor_calls import finish
from tests.support.vendor_stub import Call, Stub, http
from worker.advance.token_cache import TokenCache
from worker.concurrency.executor import EventLoop, Executor
from worker.evidence.storage import durability
from worker.evidence.store import Evidence
from worker.http_client import MIB, deadline, read_bounded, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.timeout(60)

AT_ONCE = 24

_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


def done(each: Callable[[_Item], _Outcome], items: Sequence[_Item]) -> list[_Outcome]:
    """What `each` makes of all items, as they come."""
    return [outcome for _, outcome in finish(Executor(AT_ONCE, EventLoop()).begin(each, items))]


def test_all_ask_before_any_is_answered() -> None:
    everybody = Barrier(AT_ONCE)

    def reply(_: Call) -> Iterator[Any]:
        everybody.wait(30)
        yield http(b"answer")

    def ask(_: int) -> bytes:
        with deadline(30.0), http_session.get(server.origin, stream=True) as response:
            return read_bounded(response, MIB)

    with Stub(reply) as server, session() as http_session:
        assert done(ask, range(AT_ONCE)) == [b"answer"] * AT_ONCE


def test_who_waits_for_a_token_holds_up_nobody_who_has_one(redis: redis_py.Redis) -> None:
    let_go = Event()

    def request_token(region: str) -> Token:
        if region == "ph":
            assert let_go.wait(30)
        return Token(f"token-{region}", int((time.time() + 3600) * 1000))

    tokens = TokenCache(redis, request_token)

    def ask(one: tuple[str, int]) -> str:
        region, _ = one
        with deadline(30.0):
            token = tokens.get(region)
        if region == "sg":
            let_go.set()
        return token

    # Those of ph come first, and all wait: one for the vendor, the others for that one.
    asked = [("ph" if number < AT_ONCE - 4 else "sg", number) for number in range(AT_ONCE)]
    assert sorted(done(ask, asked)) == ["token-ph"] * (AT_ONCE - 4) + ["token-sg"] * 4


def test_all_who_wait_for_the_disk_share_its_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durability, "_is_disk", lambda _: True)
    syncs: list[int] = []

    def slow(descriptor: int) -> None:
        syncs.append(descriptor)
        time.sleep(0.1)

    monkeypatch.setattr(durability, "syncfs", slow)
    evidence = Evidence(tmp_path.as_uri())
    evidence.of("ph", "first").keep_answer(b"answer")  # by now it is known what it lies on
    syncs.clear()
    kept = done(lambda number: evidence.of("ph", f"id-{number}").keep_answer(b"answer"), range(AT_ONCE))
    assert kept == [b"answer"] * AT_ONCE
    assert len(evidence.of("ph", "id-7").files()) == 1
    # One by one it would be two for each. On a busy machine some come late.
    assert 2 <= len(syncs) <= AT_ONCE


def test_all_who_come_first_find_out_together_what_they_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def is_disk(kind: str | None) -> bool:
        looked.append(str(kind))
        time.sleep(0.05)
        return True

    monkeypatch.setattr(durability, "_is_disk", is_disk)
    evidence = Evidence(tmp_path.as_uri())
    kept = done(lambda number: evidence.of("ph", f"id-{number}").keep_answer(b"answer"), range(AT_ONCE))
    assert kept == [b"answer"] * AT_ONCE
    assert len(looked) == 1


def test_where_files_are_synced_one_by_one_it_is_done_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_is_disk", lambda _: False)
    everybody, synced = Barrier(AT_ONCE), durability._fsync

    def together(descriptors: tuple[int, ...]) -> None:
        everybody.wait(30)
        synced(descriptors)

    monkeypatch.setattr(durability, "_fsync", together)
    evidence = Evidence(tmp_path.as_uri())
    kept = done(lambda number: evidence.of("ph", f"id-{number}").keep_answer(b"answer"), range(AT_ONCE))
    assert kept == [b"answer"] * AT_ONCE
