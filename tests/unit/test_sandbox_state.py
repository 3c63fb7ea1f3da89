"""How the sandbox remembers how far along each id is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sandbox.scenario import Fault, Pending, Settled
from sandbox.state import State


class Clock:
    """The epoch, in seconds, under a test's control."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def figures(state: State, signature_id: str) -> dict[str, int | None]:
    return state.verifications()[signature_id]


def ask(state: State, signature_id: str) -> object:
    state.ask(signature_id)
    return state.give(signature_id).step


def test_each_id_walks_its_own_script() -> None:
    state = State()
    assert isinstance(ask(state, "n1-1"), Pending)
    assert isinstance(ask(state, "n1-2"), Pending)
    assert isinstance(ask(state, "n1-1"), Settled)


def test_an_id_is_ready_once_the_last_null_was_given() -> None:
    clock = Clock()
    state = State(clock=clock)
    ask(state, "n2-1")
    assert figures(state, "n2-1")["ready_at_ms"] is None
    clock.now_s = 1007.0
    ask(state, "n2-1")
    clock.now_s = 1060.0
    assert figures(state, "n2-1")["ready_at_ms"] == 1_007_000


def test_an_id_is_ready_once_its_time_has_passed_though_nobody_asks() -> None:
    clock = Clock()
    state = State(clock=clock)
    ask(state, "t5s-1")
    clock.now_s = 1004.9
    assert figures(state, "t5s-1")["ready_at_ms"] is None
    clock.now_s = 1060.0
    assert figures(state, "t5s-1")["ready_at_ms"] == 1_005_000
    ask(state, "t5s-1")
    assert figures(state, "t5s-1")["settled_first_given_at_ms"] == 1_060_000


def test_an_id_with_faults_and_a_wait_is_ready_when_both_are_over() -> None:
    clock = Clock()
    state = State(clock=clock)
    assert isinstance(ask(state, "http500-t2s"), Fault)
    clock.now_s = 1001.0
    ask(state, "http500-t2s")
    clock.now_s = 1009.0
    assert figures(state, "http500-t2s")["ready_at_ms"] == 1_002_000


def test_an_id_that_needs_no_wait_is_ready_when_it_is_first_asked_for() -> None:
    state = State(clock=Clock())
    state.ask("pass-1")
    assert figures(state, "pass-1")["ready_at_ms"] == 1_000_000


def test_an_id_that_never_settles_is_never_ready() -> None:
    state = State()
    ask(state, "forever-1")
    assert figures(state, "forever-1")["ready_at_ms"] is None


def test_asks_that_the_script_does_not_see_are_counted_all_the_same() -> None:
    """An outage of the whole vendor does not use up the nulls of an id."""
    state = State()
    for _ in range(5):
        state.ask("n1-1")
    assert isinstance(state.give("n1-1").step, Pending)
    assert figures(state, "n1-1")["asks"] == 5


def test_image_faults_are_counted_in_gets() -> None:
    state = State()
    faults = [state.image("img503x2-1")[1] for _ in range(4)]
    assert [bool(fault) for fault in faults] == [True, True, False, False]
    assert figures(state, "img503x2-1")["image_gets"] == 4


def test_the_first_result_alone_carries_dead_links() -> None:
    state = State()
    assert [state.give("imgexpired-1").settled_before for _ in range(3)] == [0, 1, 2]


def test_memory_is_bounded_and_the_id_longest_unheard_of_goes_first() -> None:
    state = State(max_ids=2)
    for signature_id in ("a", "b", "a", "c"):
        state.ask(signature_id)
    assert list(state.verifications()) == ["a", "c"]


def test_threads_share_one_script() -> None:
    state = State()
    with ThreadPoolExecutor(8) as pool:
        steps = list(pool.map(lambda _: ask(state, "n100-1"), range(250)))
    assert sum(isinstance(step, Pending) for step in steps) == 100
    assert figures(state, "n100-1")["asks"] == 250
