"""The breaker of the evidence store: when it trips, who probes, and when all may use the store again."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pytest

from worker.errors import EvidenceKeyUnknown, EvidenceUnavailable, EvidenceUnsuitable, StoreAway
from worker.evidence.breaker import FIRST_S, FORGOTTEN_AFTER_S, LONGEST_S, TRIALS, TRIP_AFTER, Breaker

AWAY = EvidenceUnavailable("no space left on device")


class Store:
    """A store, the breaker in front of it, and the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.fault: Exception | None = None
        self.probes = 0
        self.breaker = Breaker(self.check, lambda: self.now)

    def check(self) -> None:
        self.probes += 1
        if self.fault:
            raise self.fault

    @property
    def state(self) -> str:
        return self.breaker.state.value

    def use(self, *, fails: bool = False) -> None:
        with self.breaker.use():
            if fails:
                raise AWAY

    def fail(self) -> None:
        with suppress(EvidenceUnavailable):
            self.use(fails=True)


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_store_that_is_away_trips_it_at_the_first_failure(store: Store) -> None:
    store.fault = AWAY
    store.fail()
    assert (store.state, store.probes) == ("open", 1)
    with pytest.raises(StoreAway) as caught:
        store.use()
    assert (caught.value.not_for_s, caught.value.probed, store.probes) == (FIRST_S, False, 1)


def test_evidence_under_a_key_that_is_not_here_does_not_trip_it(store: Store) -> None:
    """The store answers: it is this verification that waits, and not its whole region."""
    for _ in range(5 * TRIP_AFTER):
        with pytest.raises(EvidenceKeyUnknown), store.breaker.use():
            raise EvidenceKeyUnknown("under the key old")
    assert (store.state, store.probes) == ("closed", 0)


def test_it_closes_again_though_all_that_is_left_lacks_a_key(store: Store) -> None:
    store.fault = AWAY
    store.fail()
    store.fault, store.now = None, store.now + FIRST_S
    for _ in range(TRIALS):
        with pytest.raises(EvidenceKeyUnknown), store.breaker.use():
            raise EvidenceKeyUnknown("under the key old")
    assert store.state == "closed"


def test_a_failure_of_one_alone_does_not(store: Store) -> None:
    store.fail()
    assert (store.state, store.probes) == ("closed", 1)
    store.use()
    for _ in range(TRIP_AFTER - 1):
        store.fail()
    assert store.state == "closed"


def test_failures_in_a_row_trip_it_though_probes_succeed(store: Store) -> None:
    for _ in range(TRIP_AFTER):
        store.fail()
    assert store.state == "open"


def test_what_is_no_fault_of_the_store_does_not_count(store: Store) -> None:
    store.fault = AWAY
    for _ in range(2 * TRIP_AFTER):
        with suppress(LookupError), store.breaker.use():
            raise LookupError
    assert (store.state, store.probes) == ("closed", 0)


def test_while_it_is_open_one_probes_and_waits_get_longer(store: Store) -> None:
    store.fault = AWAY
    store.fail()
    waits = []
    for _ in range(7):
        store.now += LONGEST_S
        with pytest.raises(StoreAway) as caught:
            store.use()
        assert caught.value.probed
        waits.append(caught.value.not_for_s)
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_S
    assert store.probes == 8


def test_while_one_probes_the_others_wait(store: Store) -> None:
    store.fault = AWAY
    store.fail()
    store.now += FIRST_S
    met: list[bool] = []

    def check() -> None:
        with pytest.raises(StoreAway) as caught:
            store.use()
        met.append(caught.value.probed)

    store.breaker._check = check
    store.use()
    assert met == [False]


def test_half_open_a_few_use_it_at_a_time_and_then_all(store: Store) -> None:
    store.fault = AWAY
    store.fail()
    store.fault, store.now = None, store.now + FIRST_S
    with ExitStack() as trials:
        for _ in range(TRIALS):
            trials.enter_context(store.breaker.use())
        assert store.state == "half-open"
        with pytest.raises(StoreAway):
            store.use()
    assert store.state == "closed"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_is_no_fault_of_the_store_gives_its_place_back(store: Store, error: type[BaseException]) -> None:
    store.fault = AWAY
    store.fail()
    store.fault, store.now = None, store.now + FIRST_S
    for _ in range(2 * TRIALS):
        with pytest.raises(error), store.breaker.use():
            raise error
    for _ in range(TRIALS):
        store.use()
    assert store.state == "closed"


def test_a_failure_while_half_open_trips_it_again(store: Store) -> None:
    store.fault = AWAY
    store.fail()
    store.fault, store.now = None, store.now + FIRST_S
    store.fail()
    assert store.state == "open"
    with pytest.raises(StoreAway):
        store.use()
    store.now += 2 * FIRST_S
    for _ in range(TRIALS):
        store.use()
    assert store.state == "closed"


def test_one_that_was_whole_for_long_begins_with_the_shortest_wait(store: Store) -> None:
    for wait_s in (FIRST_S, 2 * FIRST_S):
        store.fault = AWAY
        store.fail()
        with pytest.raises(StoreAway) as caught:
            store.use()
        assert caught.value.not_for_s == wait_s
        store.fault, store.now = None, store.now + wait_s
        for _ in range(TRIALS):
            store.use()
    store.now += FORGOTTEN_AFTER_S + 1
    store.fault = AWAY
    store.fail()
    with pytest.raises(StoreAway) as caught:
        store.use()
    assert caught.value.not_for_s == FIRST_S


def test_one_that_came_back_without_its_guarantee_stays_shut(store: Store) -> None:
    store.breaker.trip(AWAY)
    store.fault, store.now = EvidenceUnsuitable("files are replaced"), store.now + FIRST_S
    with pytest.raises(StoreAway):
        store.use()
    assert store.state == "open"


def test_a_store_that_turns_out_unfit_in_use_is_the_store_s_fault(store: Store) -> None:
    store.fault = unfit = EvidenceUnsuitable("files are replaced")
    with pytest.raises(StoreAway), store.breaker.use():
        raise unfit
    assert store.state == "open"


def test_it_tells_once_of_an_outage_and_once_of_its_end(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.fault = AWAY
    for _ in range(5):
        store.fail()
        store.now += LONGEST_S
    store.fault = None
    for _ in range(TRIALS + 3):
        store.use()
    told = capsys.readouterr().out
    assert (told.count("evidence_unavailable"), told.count("evidence_recovered")) == (1, 1)
