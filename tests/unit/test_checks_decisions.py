"""What `ekyc doctor` says of decision tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.decided import ROWS_TABLE
from tests.support.tables import PASS_RULE, load_table, write_table
from worker.cli.checks.decisions import check_decisions, check_shadow, fleet_tables
from worker.cli.checks.finding import Level
from worker.decisions.table import Table
from worker.ledger.worker_registry import Worker
from worker.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PACKAGED = Table.load(None)


def workers(*tables: str, shadow: str = "") -> tuple[Worker, ...]:
    return tuple(Worker(f"w{at}", table, "1", "x", shadow) for at, table in enumerate(tables))


def test_the_packaged_table_is_one_line() -> None:
    (finding,) = check_decisions(Settings())
    assert (finding.level, finding.said) == (Level.OK, f"version {PACKAGED.version} (packaged)")
    assert list(check_shadow(Settings())) == []


def test_what_the_check_finds_is_a_warning_with_its_line(tmp_path: Path) -> None:
    path = write_table(tmp_path, PASS_RULE.replace("approve", "aprove"))
    first, *warnings = check_decisions(Settings(decisions_file=path))
    assert (first.level, first.said) == (Level.OK, f"version {Table.load(path).version} ({path})")
    assert {each.level for each in warnings} == {Level.WARNING}
    assert any(each.said.startswith(f"{path}:5: aprove may be a decision") and each.todo for each in warnings)


def test_the_older_format_is_a_warning() -> None:
    _, finding = check_decisions(Settings(decisions_file=ROWS_TABLE))
    assert (finding.level, "older format" in finding.said) == (Level.WARNING, True)
    assert "show --toml" in finding.todo


def test_a_shadow_table_is_checked_as_well(tmp_path: Path) -> None:
    first, *warnings = check_shadow(Settings(decisions_shadow=write_table(tmp_path, PASS_RULE)))
    assert (first.check, first.level) == ("shadow table", Level.OK)
    assert warnings


def test_without_workers_there_is_nothing_to_say() -> None:
    assert list(fleet_tables((), PACKAGED, None)) == []


def test_workers_with_the_table_of_this_configuration_are_well() -> None:
    (finding,) = fleet_tables(workers(PACKAGED.version, PACKAGED.version), PACKAGED, None)
    assert (finding.level, finding.said) == (Level.OK, f"workers: 2 with {PACKAGED.version}")


def test_workers_with_different_tables_are_a_warning() -> None:
    (finding,) = fleet_tables(workers(PACKAGED.version, "2"), PACKAGED, None)
    assert finding.level is Level.WARNING
    assert finding.said == f"workers: 1 with 2, 1 with {PACKAGED.version}; here it is {PACKAGED.version}"
    assert "restart those that differ" in finding.todo


def test_workers_with_another_table_than_here_are_a_warning() -> None:
    (finding,) = fleet_tables(workers("2", "2"), PACKAGED, None)
    assert (finding.level, finding.said) == (
        Level.WARNING,
        f"workers: 2 with 2; here it is {PACKAGED.version}",
    )


def test_shadow_tables_are_compared_as_well(tmp_path: Path) -> None:
    shadow = load_table(tmp_path, PASS_RULE)
    _, finding = fleet_tables(workers(PACKAGED.version), PACKAGED, shadow)
    assert (finding.check, finding.level, finding.said) == (
        "fleet shadow tables",
        Level.WARNING,
        f"workers: 1 with none; here it is {shadow.version}",
    )
    _, well = fleet_tables(workers(PACKAGED.version, shadow=shadow.version), PACKAGED, shadow)
    assert (well.check, well.level) == ("fleet shadow tables", Level.OK)
