"""Medians, spreads, ratios: what the runs say together. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.bench.results import Results

OURS: Final = "ours"
PLAIN_CELERY: Final = "plain Celery"
BARE: Final = "bare asyncio"


@dataclass(frozen=True, slots=True)
class Spread:
    """Some measurements of the same thing."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Standing:
    """A contender in one profile, in its best variant.

    Parameters:
      per_s: None where it did not finish once.
      others: its other variants, and what they came to in the rounds that they were in.
      others_cores: the most cores that programs beside the benchmark kept busy meanwhile.
      disagreements: where counts were not what the job asks for.
    """

    contender: str
    variant: str
    rounds: int
    per_s: Spread | None
    cpu_ms: float
    memory_mb: float
    others: tuple[tuple[str, float], ...]
    others_cores: float
    disagreements: tuple[str, ...]


def standings(results: Results, profile: str) -> list[Standing]:
    """Who came to what, fastest first."""
    runs = [run for run in results["runs"] if run["profile"] == profile]
    names = dict.fromkeys(run["contender"] for run in runs)
    found = [_standing(name, [run for run in runs if run["contender"] == name]) for name in names]
    return sorted(found, key=lambda one: -(one.per_s.median if one.per_s else 0.0))


def profiles(results: Results) -> list[str]:
    return list(dict.fromkeys(run["profile"] for run in results["runs"]))


def disagreeing(results: Results) -> list[str]:
    """Where a count was not what the job asks for, a line for each run."""
    return [
        f"{run['profile']} · {run['contender']} ({run['variant']}), round {run['round']}: {', '.join(odd)}"
        for run in results["runs"]
        if (odd := run.get("disagreements"))
    ]


def _standing(contender: str, runs: Sequence[dict[str, Any]]) -> Standing:
    by_variant: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        by_variant.setdefault(run["variant"], []).append(run)
    pace = {name: _median_per_s(of_one) for name, of_one in by_variant.items()}
    # A variant that sat out has fewer rounds, and does not count.
    rounds = max(map(len, by_variant.values()))
    best = max((name for name in pace if len(by_variant[name]) == rounds), key=lambda name: pace[name])
    finished = [run for run in by_variant[best] if "failure" not in run]
    return Standing(
        contender=contender,
        variant=best,
        rounds=len(by_variant[best]),
        per_s=Spread.of([run["per_s"] for run in finished]) if finished else None,
        cpu_ms=round(median(run["cpu_s"] / run["count"] * 1000 for run in finished), 2) if finished else 0.0,
        memory_mb=max((run["memory_mb"] for run in finished), default=0.0),
        others=tuple((name, per_s) for name, per_s in pace.items() if name != best),
        others_cores=max((run["others_cores"] for run in finished), default=0.0),
        disagreements=tuple(fault for run in finished for fault in run["disagreements"]),
    )


def _median_per_s(runs: Sequence[dict[str, Any]]) -> float:
    """A run that did not finish counts as none a second."""
    paces: list[float] = [run.get("per_s", 0.0) for run in runs]
    return median(paces)
