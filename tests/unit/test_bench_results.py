"""Parts of the benchmark that are measured apart meet in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.bench import needs
from benchmarks.bench.failure import BenchFailed, Missing
from benchmarks.bench.results import check, empty, merged, read, write
from tests.unit.bench_results import SITTING, results, run, step

if TYPE_CHECKING:
    from pathlib import Path

LATER = "2026-11-25T10:00:00+00:00"


def later(*runs: dict[str, Any], waiting: Any = (), targets: Any = None) -> dict[str, Any]:
    made = results(*runs, waiting=waiting, targets=targets)
    for record in (*made["runs"], *made["waiting"], *made["targets"].values()):
        record["sitting"] = LATER
    return made | {"sittings": {LATER: made["sittings"][SITTING]}}


def test_what_is_measured_anew_replaces_what_was_and_the_rest_stays() -> None:
    old = results(
        run("ours", 1.0), run("ours", 2.0), run("huey", 3.0), run("ours", 4.0, profile="real"),
        waiting=[step("ours", 100, 5.0), step("huey", 100, 6.0)],
        targets={"claim": {"few": 1, "sitting": SITTING}, "nudge": {"count": 1, "sitting": SITTING}},
    )  # fmt: skip
    new = later(
        run("ours", 9.0), waiting=[step("huey", 100, 8.0)], targets={"nudge": {"count": 7, "sitting": LATER}}
    )
    both = merged(old, new)
    assert [(one["contender"], one["profile"], one["per_s"]) for one in both["runs"]] == [
        ("huey", "cpu", 3.0),
        ("ours", "real", 4.0),
        ("ours", "cpu", 9.0),
    ]
    assert [(one["contender"], one["taken_per_s"]) for one in both["waiting"]] == [
        ("ours", 5.0),
        ("huey", 8.0),
    ]
    assert {name: one["sitting"] for name, one in both["targets"].items()} == {
        "claim": SITTING,
        "nudge": LATER,
    }
    assert set(both["sittings"]) == {SITTING, LATER}


def test_a_sitting_of_which_nothing_is_left_is_forgotten() -> None:
    assert set(merged(results(run("ours", 1.0)), later(run("ours", 2.0)))["sittings"]) == {LATER}


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    assert read(path) == empty()
    write(path, results(run("ours", 1.0)))
    assert read(path) == results(run("ours", 1.0))


@pytest.mark.parametrize("text", ["{half", "{}", "[]", "7"])
def test_a_file_of_something_else_is_named_before_anything_is_measured(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(BenchFailed, match=r"bench\.json: no results of the benchmark; remove it"):
        check(path)
    assert path.read_text() == text


def test_a_place_for_results_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    check(tmp_path / "new" / "bench.json")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        check(tmp_path / "file" / "bench.json")


def test_a_disk_that_the_runs_would_fill_is_told_with_what_to_do(tmp_path: Path) -> None:
    needs.room(tmp_path, 0, 8.0)
    with pytest.raises(Missing, match=r"1000000 runs write some 500,000.0 GB .* --folder"):
        needs.room(tmp_path, 1_000_000, 8.0)
