"""The table of quick and slow tests names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.selection import QUICK, SLOW_FILES, SLOW_TESTS, is_ignored, is_slow, rotated, scope

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", sorted(QUICK | SLOW_TESTS))
def test_each_test_of_the_table_exists(name: str) -> None:
    file, _, test = name.partition("::")
    assert f"\ndef {test}(" in (TESTS / file).read_text()


@pytest.mark.parametrize("file", sorted(SLOW_FILES))
def test_each_slow_file_exists(file: str) -> None:
    assert (TESTS / file).is_file()


def test_an_acceptance_test_is_slow_unless_the_table_says_otherwise() -> None:
    path = TESTS / "acceptance" / "test_worker.py"
    assert is_slow(path, "test_new")
    assert not is_slow(path, "test_what_a_killed_worker_held_is_picked_up_by_another")
    assert not is_slow(TESTS / "unit" / "test_policy.py", "test_new")


def test_a_test_that_the_table_names_is_slow_with_each_of_its_parameters() -> None:
    path = TESTS / "unit" / "test_cli_spreadsheets.py"
    assert is_slow(path, "test_memory_does_not_grow_with_the_file[utf-8-;]")
    assert not is_slow(path, "test_new")


def test_a_run_imports_only_files_of_which_it_needs_a_test() -> None:
    slow_file, file_of_both, quick_file = (
        "acceptance/test_graceful_stop.py",
        "acceptance/test_worker.py",
        "unit/test_selection.py",
    )
    assert is_ignored(slow_file, "not slow")
    assert is_ignored(quick_file, "slow")
    for expression in ("slow", "not slow", ""):
        assert not is_ignored(file_of_both, expression)
        assert not is_ignored("unit/test_cli_spreadsheets.py", expression)
    assert not is_ignored(slow_file, "slow")
    assert not is_ignored(quick_file, "not slow")


@pytest.mark.parametrize("processes", [1, 3, 4])
def test_each_process_imports_every_file_and_begins_elsewhere(processes: int) -> None:
    files = [Path(str(number)) for number in range(10)]
    orders = [list(rotated(files, number, processes)) for number in range(processes)]
    assert all(sorted(order) == sorted(files) for order in orders)
    assert len({order[0] for order in orders}) == processes


def test_one_process_runs_all_tests_with_rabbitmq() -> None:
    found = [
        f"{path}::{name}"
        for path in TESTS.rglob("test_*.py")
        for name, parameters in re.findall(r"^def (test_\w+)\(([^)]*)\)", path.read_text(), re.MULTILINE)
        if "RabbitMQ" in parameters or "on_rabbitmq" in parameters
    ]
    assert len(found) > 10
    assert {scope(name) for name in found} == {"rabbitmq"}
    assert scope("tests/unit/test_selection.py::test_new[1]") == "tests/unit/test_selection.py"


def test_the_table_alone_makes_a_test_slow() -> None:
    """A marker elsewhere would be in a file that the slow run does not import."""
    marks = "mark." + "slow"
    marked = [path.relative_to(TESTS) for path in TESTS.rglob("*.py") if marks in path.read_text()]
    assert marked == [Path("selection.py")]
