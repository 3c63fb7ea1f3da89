"""The schedule of the chaos suite: a function of the seed, with all that has to be in it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.population import expected, waves
from tests.chaos.profile import LONG, PROFILES, SHORT, Profile
from tests.chaos.schedule import schedule

SEEDS = range(25)
BOTH = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


@BOTH
def test_a_seed_reproduces_the_schedule_and_the_population(profile: Profile) -> None:
    assert schedule(7, profile) == schedule(7, profile)
    assert waves(7, profile) == waves(7, profile)
    assert schedule(7, profile) != schedule(8, profile)
    assert waves(7, profile) != waves(8, profile)


@BOTH
def test_every_fault_of_a_schedule_can_be_carried_out_within_the_run(profile: Profile) -> None:
    for seed in SEEDS:
        for strike in schedule(seed, profile):
            assert strike.fault in FAULTS
            assert 0 <= strike.at_s <= strike.at_s + strike.for_s <= profile.travel_s


@BOTH
def test_faults_of_one_lane_never_overlap(profile: Profile) -> None:
    for seed in SEEDS:
        for lane in profile.lanes:
            names = {name for name, _ in lane.faults}
            strikes = [strike for strike in schedule(seed, profile) if strike.fault in names]
            for before, after in pairwise(strikes):
                assert round(before.at_s + before.for_s, 1) <= after.at_s + 0.1


@BOTH
def test_a_frozen_worker_is_not_killed_before_it_goes_on(profile: Profile) -> None:
    for seed in SEEDS:
        plan = schedule(seed, profile)
        for frozen in (strike for strike in plan if strike.fault == "zombie"):
            for strike in plan:
                if strike.fault == "worker_killed" and strike.place == frozen.place:
                    assert not frozen.at_s <= strike.at_s <= frozen.at_s + frozen.for_s


def test_the_long_run_breaks_all_that_it_should() -> None:
    """At least 30 worker kills, Valkey frozen for 6 s and for 40 s, and the vendor broken for minutes in every way."""
    faults = Counter(strike.fault for strike in schedule(1, LONG))
    assert faults["worker_killed"] >= 30
    assert set(faults) == set(FAULTS)
    assert {round(strike.for_s) for strike in schedule(1, LONG) if strike.fault == "valkey_frozen"} == {6, 40}
    assert all(strike.for_s >= 60 for strike in schedule(1, LONG) if strike.fault.startswith("vendor_"))
    assert all(strike.for_s > LONG.lease_s for strike in schedule(1, LONG) if strike.fault == "zombie")


def test_the_short_run_breaks_a_little_of_everything() -> None:
    faults = Counter(strike.fault for strike in schedule(1, SHORT))
    assert faults["worker_killed"] == SHORT.kills
    skipped = {"vendor_refuses", "vendor_garbage", "vendor_busy", "vendor_rejects_tokens"}
    assert set(faults) == set(FAULTS) - skipped
    assert all(strike.for_s > SHORT.lease_s for strike in schedule(1, SHORT) if strike.fault == "zombie")


@BOTH
def test_everybody_is_enqueued_and_some_of_them_twice(profile: Profile) -> None:
    calls = waves(3, profile)
    everybody = [one for call in calls for one in call.travellers]
    assert len({one.signature_id for one in everybody}) == profile.verifications
    assert len(everybody) > profile.verifications
    assert all(call.at_s <= profile.travel_s for call in calls)


def test_what_an_id_must_come_to_follows_from_the_catalogue() -> None:
    assert expected("pass-n2-000001", seed=0) == "approve"
    assert expected("ID_FORGERY_DETECTED-latency3sx2-000001", seed=0) == "reject"
    assert expected("USER_TIMEOUT-imgslow2s-000001", seed=0) == "abandoned"
    assert expected("nodata-000001", seed=0) is None
