"""What it costs to lose no evidence with the power: the profile `cpu`, every file synced to the disk by everybody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.bench.failure import BenchFailed
from benchmarks.bench.profile import CPU
from benchmarks.bench.rounds import Entry, line, rotated, run_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.bench.contender import Command


def measure(
    where: Path, entries: Sequence[Entry], *, rounds: int, seconds: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Verifications a second by contender, a figure a round. Raises ``BenchFailed`` where counts disagree."""
    per_s: dict[str, list[float]] = {entry.contender.name: [] for entry in entries}
    for number in range(rounds):
        for entry in rotated([synced(entry) for entry in entries], number):
            figures = run_once(entry, CPU, seconds, where)
            tell(f"synced · round {number + 1} · {entry.name}: {line(figures)}")
            if figures.disagreements:
                raise BenchFailed(f"{entry.name}: {', '.join(figures.disagreements)}")
            per_s[entry.contender.name].append(figures.per_s)
    return {"per_s": per_s}


def synced(entry: Entry) -> Entry:
    """The same, with processes that are told to sync. Ours does it anyway, and has no such switch."""
    variant = entry.variant

    def commands(concurrency: int, folder: Path) -> list[Command]:
        return [
            replace(command, environment={**command.environment, "BENCH_SYNCED": "1"})
            for command in variant.commands(concurrency, folder)
        ]

    return Entry(entry.contender, replace(variant, name=f"{variant.name}, synced", commands=commands))
