"""What a process divides between regions: places for calls, batches and verifications, and memory for images."""

from __future__ import annotations

from time import monotonic

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.executor_calls import Watch, finish
from tests.support.waiting import until
from worker.concurrency.blocking import run_blocking
from worker.concurrency.executor import BatchRun, EventLoop, Executor
from worker.concurrency.shares import Shares
from worker.enqueue_request import REGIONS
from worker.errors import ImageHostBusy
from worker.evidence.admission import MAX_SLOW, SLOW_S, TOTAL_BYTES, Admission, Admissions
from worker.evidence.images import MAX_BYTES
from worker.http_client import MIB, deadline
from worker.ledger.models import Stage
from worker.runtime.in_flight import InFlight
from worker.runtime.services import CALLS


def test_one_region_alone_may_have_all() -> None:
    assert Shares(10, ["ph"]).free("ph") == 10
    assert Shares(10, []).free("") == 10


def test_one_region_has_as_many_places_as_if_there_were_no_others() -> None:
    shares = Shares.beside(512, REGIONS)
    assert shares.free("ph") == 512
    shares.take("ph", 512)
    assert (shares.free("ph"), shares.free("sg")) == (0, shares.kept)


def test_however_much_others_take_each_region_has_its_part() -> None:
    shares = Shares(60, ["ph", "sg", "th"])
    assert shares.kept == 10
    for greedy in ("ph", "sg"):
        shares.take(greedy, shares.free(greedy))
    assert (shares.free("ph"), shares.free("sg"), shares.free("th")) == (0, 0, 10)


@given(st.lists(st.tuples(st.sampled_from(REGIONS), st.integers(-5, 40)), max_size=200))
def test_no_more_is_given_than_there_is_and_nobody_goes_without(steps: list[tuple[str, int]]) -> None:
    shares, used = Shares(120, REGIONS), dict.fromkeys(REGIONS, 0)
    for region, wanted in steps:
        count = min(wanted, shares.free(region)) if wanted > 0 else max(wanted, -used[region])
        (shares.take if count > 0 else shares.give)(region, abs(count))
        used[region] += count
        assert sum(used.values()) <= 120
        assert all(used[one] + shares.free(one) >= shares.kept for one in REGIONS)


def test_calls_that_hang_in_one_region_leave_places_to_another() -> None:
    calls, hung, quick = Executor(16, EventLoop(), ["ph", "sg"]), Watch(), Watch()
    quick.open.set()
    first = calls.begin(hung, range(100), "ph")
    until(lambda: hung.now == 16, "16 calls hang")
    second = calls.begin(quick, range(100, 150), "sg")
    assert len(finish(second)) == 50
    assert hung.now == hung.most == 16
    assert quick.most <= 4
    hung.open.set()
    assert len(finish(first)) == 100


def test_regions_take_turns() -> None:
    calls, order = Executor(1, EventLoop()), list[int]()

    def note(item: int) -> int:
        run_blocking(lambda: None)
        order.append(item)
        return item

    works: list[BatchRun[int, int]] = [
        calls.begin(note, range(5), "ph"),
        calls.begin(note, range(10, 15), "sg"),
    ]
    for work in works:
        finish(work)
    first_of_sg = order.index(10)
    assert order[first_of_sg : first_of_sg + 4] == [10, order[first_of_sg + 1], 11, order[first_of_sg + 3]]
    assert order[first_of_sg + 1] < 5
    assert [item for item in order if item < 5] == list(range(5))


def test_a_region_with_many_batches_that_wait_leaves_room_for_others() -> None:
    load = InFlight(512, 8, ["ph", "sg"])
    batches = [load.batch("ph") for _ in range(8)]
    assert [batch.__enter__() for batch in batches] == [True] * 6 + [False] * 2
    assert (load.has_capacity("ph"), load.has_capacity("sg")) == (False, True)
    with load.batch("sg") as taken:
        assert taken
    for batch in batches:
        batch.__exit__(None, None, None)
    assert load.has_capacity("ph")


def test_a_region_with_many_verifications_under_way_leaves_room_for_others() -> None:
    load = InFlight(512, 8, ["ph", "sg"])
    with load.of("ph", 512):
        assert (load.has_capacity("ph"), load.has_capacity("sg")) == (False, True)
    assert load.has_capacity("ph")


def test_the_largest_image_fits_into_the_part_of_each_region() -> None:
    assert Shares(TOTAL_BYTES, REGIONS).kept >= MAX_BYTES
    assert CALLS[Stage.ARCHIVING] * MAX_BYTES / 4 > TOTAL_BYTES


def fetch(  # noqa: PLR0917 - of one image
    admissions: Admissions, region: str, size_bytes: int, hold_s: float, log: list[int], host: str = "host"
) -> None:
    with deadline(20.0), admissions.one(region) as admission:
        admission.enter(host)
        admission.reserve(size_bytes)
        log.append(size_bytes)
        gevent.sleep(hold_s)
        log.append(-size_bytes)


def test_images_wait_for_memory_in_turn_and_never_hold_more_than_there_is() -> None:
    admissions, log = Admissions(["ph"], total_bytes=100), list[int]()
    gevent.joinall(
        [gevent.spawn(fetch, admissions, "ph", size, 0.01, log) for size in (60, 60, 30, 100, 10, 100)],
        timeout=20,
        raise_error=True,
    )
    held = [sum(log[: number + 1]) for number in range(len(log))]
    assert max(held) <= 100
    assert held[-1] == 0
    assert [size for size in log if size > 0] == [60, 60, 30, 100, 10, 100]


def test_memory_that_one_region_holds_is_not_missed_by_another() -> None:
    admissions, log = Admissions(["ph", "sg"], total_bytes=100), list[int]()
    slow = [gevent.spawn(fetch, admissions, "ph", 25, 10, log) for _ in range(8)]
    gevent.sleep(0.05)
    assert log == [25] * 3
    quick = gevent.spawn(fetch, admissions, "sg", 25, 0, log)
    quick.get(timeout=5)
    gevent.killall(slow)
    gevent.spawn(fetch, admissions, "ph", 75, 0, log).get(timeout=5)


def test_memory_that_one_host_holds_is_not_missed_by_another_of_its_region() -> None:
    admissions, log = Admissions(["ph"], total_bytes=200 * MIB), list[int]()
    slow = [gevent.spawn(fetch, admissions, "ph", 20 * MIB, 10, log) for _ in range(30)]
    gevent.sleep(0.05)
    assert log == [20 * MIB] * 6
    quick = [gevent.spawn(fetch, admissions, "ph", 20 * MIB, 0, log, "quick") for _ in range(9)]
    gevent.joinall(quick, timeout=5, raise_error=True)
    assert all(one.successful() for one in quick)
    gevent.killall(slow)


def test_the_host_that_holds_least_is_the_next_to_get_memory() -> None:
    admissions, log = Admissions(["ph"], total_bytes=100), list[int]()
    slow = [gevent.spawn(fetch, admissions, "ph", 25, 0.1, log) for _ in range(20)]
    gevent.sleep(0.05)
    quick = gevent.spawn(fetch, admissions, "ph", 10, 0, log, "quick")
    quick.get(timeout=5)
    assert log.index(10) < 4 * 4
    gevent.killall(slow)


def test_an_image_for_which_there_is_no_memory_in_time_comes_later_and_holds_nothing() -> None:
    admissions, log = Admissions(["ph"], total_bytes=100), list[int]()
    slow = gevent.spawn(fetch, admissions, "ph", 100, 10, log)
    gevent.sleep(0.01)

    def late() -> None:
        with deadline(0.05):
            fetch(admissions, "ph", 50, 0, log)

    with pytest.raises(ImageHostBusy, match="no memory was free"):
        gevent.spawn(late).get(timeout=5)
    slow.kill()
    gevent.spawn(fetch, admissions, "ph", 100, 0, log).get(timeout=5)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Adds to what `monotonic` says; a pause passes at once."""
    ahead = [0.0]
    monkeypatch.setattr("worker.evidence.admission.monotonic", lambda: monotonic() + ahead[0])
    monkeypatch.setattr(
        "worker.evidence.admission.pause", lambda seconds: ahead.__setitem__(0, ahead[0] + seconds)
    )
    return ahead


def entered(admissions: Admissions, host: str, times: int = 1, region: str = "ph") -> list[Admission]:
    taken = [admissions.one(region) for _ in range(times)]
    for each in taken:
        each.enter(host)
    return taken


def test_a_host_that_hangs_leaves_places_to_other_hosts_and_regions(clock: list[float]) -> None:
    admissions = Admissions(["ph"], places=8)
    first = entered(admissions, "slow", 7)
    with pytest.raises(ImageHostBusy):
        entered(admissions, "slow")
    assert clock[0] == pytest.approx(SLOW_S, abs=0.1)
    entered(admissions, "quick")
    for each in first[:4]:
        each.end()
    clock[0] += SLOW_S
    with pytest.raises(ImageHostBusy):
        entered(admissions, "slow", 2)


def test_a_host_is_slow_until_it_was_quick(clock: list[float]) -> None:
    admissions = Admissions(["ph", "sg"], places=16)  # a region alone: 12 of them
    for each in entered(admissions, "host"):
        clock[0] += SLOW_S + 0.1
        each.end()
    taken = entered(admissions, "host", 6)
    with pytest.raises(ImageHostBusy):
        entered(admissions, "host")
    entered(admissions, "host", 10, region="sg")
    taken.pop().end()
    entered(admissions, "host", 5)


def test_a_place_at_a_quick_host_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    admissions = Admissions(["ph"], places=2)
    first = entered(admissions, "host")
    monkeypatch.setattr("worker.evidence.admission.pause", lambda _: first[0].leave())
    entered(admissions, "host")


def test_an_image_that_is_being_stored_holds_no_place() -> None:
    admissions = Admissions(["ph"], places=2)
    (first,) = entered(admissions, "host")
    with deadline(1.0):
        first.reserve(10)
    first.leave()
    entered(admissions, "host")
    assert first.size_bytes == 10


def test_slow_hosts_are_not_remembered_without_end(clock: list[float]) -> None:
    admissions = Admissions(["ph"])
    for number in range(MAX_SLOW + 10):
        for each in entered(admissions, f"host-{number}"):
            clock[0] += SLOW_S + 0.1
            each.end()
    assert len(admissions._slow) == MAX_SLOW
    assert not admissions._began


def test_a_name_that_is_none_of_them_keeps_nothing() -> None:
    """Messages may name any region: those that were there once must not take places from the others."""
    shares = Shares.beside(8, ["ph", "sg"])
    free = shares.free("ph")
    for number in range(100):
        shares.take(f"other-{number}", 1)
        shares.give(f"other-{number}", 1)
    assert shares.free("ph") == free
    assert shares.free("other-1") == Shares.beside(8, ["ph", "sg"]).free("other-1")
