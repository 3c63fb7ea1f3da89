"""The catalogue: complete, consistent with the grammar, and held against our own decision table."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from sandbox.grammar import parse
from sandbox.scenario import DOCUMENTED, RESULTS, Entry, Kind, Links, Scenario, Shape, catalogue
from tests.support.decided import decided
from worker.decisions.table import Table

SCENARIOS = {entry.id_prefix: parse(f"{entry.id_prefix}-0001") for entry in catalogue()}


def named(entry: Entry) -> str:
    return entry.id_prefix


def test_every_error_code_has_an_example() -> None:
    assert {scenario.error_code for scenario in SCENARIOS.values()} == set(RESULTS)
    assert set(DOCUMENTED) <= set(RESULTS)


def test_every_kind_of_fault_has_an_example() -> None:
    kinds = {fault.kind for scenario in SCENARIOS.values() for fault in scenario.faults}
    images = {scenario.image_fault.kind for scenario in SCENARIOS.values() if scenario.image_fault}
    assert kinds | images == set(Kind)


def test_every_shape_and_every_sort_of_link_has_an_example() -> None:
    assert {shape for scenario in SCENARIOS.values() for shape in scenario.shapes} == set(Shape)
    assert {scenario.links for scenario in SCENARIOS.values()} == set(Links)


def test_every_documented_envelope_code_has_an_example() -> None:
    codes = {fault.code for scenario in SCENARIOS.values() for fault in scenario.faults if fault.code}
    assert codes >= {
        "SIGNATURE_NOT_EXIST",
        "ERROR",
        "IAM_FAILED",
        "ACCESS_DENIED",
        "SERVICE_BUSY",
        "RETRY_LATER",
        "OVER_QUERY_LIMIT",
        "INSUFFICIENT_BALANCE",
        "ACCOUNT_DISABLED",
        "SERVICE_DISABLED",
        "PARAMETER_ERROR",
        "EMPTY_PARAMETER_ERROR",
        "CLIENT_ERROR",
        "BRAND_NEW_CODE",
    }


def test_no_two_examples_ask_for_the_same() -> None:
    same_country = {prefix: parse(f"{prefix}-my") for prefix in SCENARIOS}
    assert len(set(same_country.values())) == len(catalogue())


@pytest.mark.parametrize("entry", catalogue(), ids=named)
def test_an_example_leaves_room_for_what_makes_an_id_unique(entry: Entry) -> None:
    assert len(entry.id_prefix) <= 40
    assert not _plain(SCENARIOS[entry.id_prefix])


@pytest.mark.parametrize("entry", catalogue(), ids=named)
def test_what_is_expected_of_an_example_is_what_its_id_asks_for(entry: Entry) -> None:
    scenario, expect = SCENARIOS[entry.id_prefix], entry.expect
    assert expect.outcome in {"decided", "quarantined"}
    assert (expect.decision is None) == (expect.outcome == "quarantined")
    if expect.error_code:
        assert (expect.overall_result, expect.error_code) == (
            scenario.overall_result.upper(),
            scenario.error_code,
        )


@pytest.mark.parametrize(
    "entry", [entry for entry in catalogue() if entry.expect.outcome == "decided"], ids=named
)
def test_our_own_table_decides_as_expected(entry: Entry) -> None:
    expect = entry.expect
    assert (
        decided(Table.load(None), expect.overall_result, expect.error_code, expect.reason) == expect.decision
    )


def test_the_catalogue_is_json() -> None:
    entries = [asdict(entry) for entry in catalogue()]
    assert json.loads(json.dumps(entries)) == entries


def _plain(scenario: Scenario) -> bool:
    return scenario.wait_s > 0 and scenario.submitted_after == 1
