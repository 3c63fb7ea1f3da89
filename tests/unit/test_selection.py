"""The table of quick and slow tests names what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.selection import QUICK, SLOW_FILES, SLOW_TESTS, is_ignored, is_slow

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
    assert not is_slow(path, "test_sigterm_ends_a_worker_with_exit_code_0")
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


def test_the_table_alone_makes_a_test_slow() -> None:
    """A marker elsewhere would be in a file that the slow run does not import."""
    marks = "mark." + "slow"
    marked = [path.relative_to(TESTS) for path in TESTS.rglob("*.py") if marks in path.read_text()]
    assert marked == [Path("selection.py")]
