"""What a demo enqueues."""

from __future__ import annotations

from collections import Counter

import pytest

from sandbox.catalogue import catalogue
from sandbox.demo.plan import ACCOUNT_REGION, BUSY_REGION, CALLBACK_REGIONS, FEWEST, REGIONS, Way, plan
from sandbox.grammar import parse
from sandbox.scenario import DOCUMENTED, Kind
from tests.support.decided import decided
from worker.decisions.table import Table


def test_every_example_that_can_be_shown_is_there_once_even_in_the_smallest_demo() -> None:
    shown = Counter(one.signature_id.rpartition("-")[0] for one in plan(FEWEST).all)
    assert shown == Counter(entry.id_prefix for entry in catalogue() if entry.demo)


@pytest.mark.parametrize("total", [FEWEST, 300, 1000])
def test_it_has_as_many_as_were_asked_for_and_no_id_twice(total: int) -> None:
    assert len({one.signature_id for one in plan(total).all}) == len(plan(total).all) == total


def test_two_demos_of_a_size_do_the_same() -> None:
    assert plan(300) == plan(300)


def test_every_documented_error_code_and_every_kind_of_fault_is_met() -> None:
    scenarios = [parse(one.signature_id) for one in plan(FEWEST).all]
    assert {scenario.error_code for scenario in scenarios} >= set(DOCUMENTED)
    faults = [fault for scenario in scenarios for fault in (*scenario.faults, scenario.image_fault) if fault]
    assert {fault.kind for fault in faults} == set(Kind)


def test_plain_ids_are_expected_to_become_what_the_decision_table_makes_of_them() -> None:
    table = Table.load(None)
    for one in plan(1000).all:
        if "-" not in one.signature_id:
            expect = one.expect
            assert expect.decision == decided(table, expect.overall_result, expect.error_code, None)


def test_every_way_to_hand_over_is_used() -> None:
    ways = Counter(one.way for one in plan(300).all)
    assert set(ways) == set(Way)
    assert min(ways.values()) > 60
    assert 90 <= ways[Way.HTTP] <= 110


def test_each_way_is_used_in_each_region() -> None:
    used = {(one.way, one.region) for one in plan(FEWEST).all}
    assert used >= {(way, region) for way in Way for region in REGIONS}


def test_callbacks_about_half_of_the_results_of_two_regions_are_lost() -> None:
    planned = plan(300).all
    announced = [one for one in planned if one.announced]
    assert {one.region for one in announced} == set(CALLBACK_REGIONS)
    assert all(one.expect.overall_result != "INCOMPLETE" for one in announced)
    assert all(one.announced for one in planned if one.called_back)
    compared = Counter(one.called_back for one in planned if one.compared)
    assert min(compared[True], compared[False]) > 30


def test_what_makes_a_region_rest_has_a_region_to_itself() -> None:
    holding = {entry.id_prefix for entry in catalogue() if entry.holds_region}
    for one in plan(300).all:
        if one.signature_id.rpartition("-")[0] in holding:
            assert one.region in {BUSY_REGION, ACCOUNT_REGION}
        elif one.region not in REGIONS:
            assert one.signature_id.startswith("tokenexpired-")


def test_a_token_expires_where_no_other_is_refused() -> None:
    """Two refusals in a row, whatever their causes, hold a region for a minute."""
    refused = {"IAM_FAILED", "ACCESS_DENIED"}
    for one in plan(300).all:
        faults = parse(one.signature_id).faults
        if one.region == BUSY_REGION:
            assert not [fault for fault in faults if fault.code in refused or fault.status in {401, 403}]


def test_faults_of_the_account_come_one_by_one() -> None:
    codes = [fault.code for one in plan(300).one_by_one for fault in parse(one.signature_id).faults]
    assert sorted(codes) == [
        "ACCOUNT_DISABLED",
        "INSUFFICIENT_BALANCE",
        "OVER_QUERY_LIMIT",
        "SERVICE_DISABLED",
    ]


def test_every_request_can_be_enqueued_and_carries_a_context_of_its_own() -> None:
    contexts = [one.request().context for one in plan(300).all]
    assert len(set(contexts)) == 300


def test_smooth_are_those_with_which_nothing_goes_wrong() -> None:
    smooth = {one.signature_id.rpartition("-")[0]: one.smooth for one in plan(FEWEST).all}
    assert smooth["pass"]
    assert smooth["pass-n3"]
    assert smooth["CARD_NOT_FOUND"]
    assert not smooth["http500"]
    assert not smooth["imgexpired"]
    assert not smooth["notimage"]
    assert not smooth["latency2s"]
    assert not smooth["imgprivate"]
