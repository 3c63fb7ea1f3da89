"""What was measured, as JSON: parts that are measured apart meet in one file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.bench.failure import BenchFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Each part is a list of records, and a record says in which sitting it was made.
Results = dict[str, Any]


def empty() -> Results:
    return {"sittings": {}, "runs": [], "waiting": [], "targets": {}}


def read(path: Path) -> Results:
    """What a file holds; nothing where there is none. Raises ``BenchFailed`` for a file of something else."""
    if not path.exists():
        return empty()
    try:
        results: Results = json.loads(path.read_text())
    except ValueError:
        results = {}
    if not (isinstance(results, dict) and results.keys() >= empty().keys()):
        raise BenchFailed(f"{path}: no results of the benchmark; remove it, or name another file")
    return results


def check(path: Path) -> None:
    """Whether results could be kept there, before they are made. Raises ``BenchFailed`` and ``OSError``."""
    read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = _half(path)
    half.touch()
    half.unlink()


def write(path: Path, results: Results) -> None:
    """Whole or not at all. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = _half(path)
    half.write_text(json.dumps(results, indent=1) + "\n")
    half.replace(path)


def _half(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def merged(old: Results, new: Results) -> Results:
    """Both; where both measured the same contender in the same profile, or the same target, the newer counts."""
    targets = old["targets"] | new["targets"]
    runs = _replaced(old["runs"], new["runs"], ("contender", "profile"))
    waiting = _replaced(old["waiting"], new["waiting"], ("contender",))
    used = {record["sitting"] for record in (*runs, *waiting, *targets.values())}
    sittings = {name: about for name, about in (old["sittings"] | new["sittings"]).items() if name in used}
    return {"sittings": sittings, "runs": runs, "waiting": waiting, "targets": targets}


def _replaced(
    old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]], key: Sequence[str]
) -> list[dict[str, Any]]:
    again = {tuple(record[name] for name in key) for record in new}
    return [record for record in old if tuple(record[name] for name in key) not in again] + list(new)
