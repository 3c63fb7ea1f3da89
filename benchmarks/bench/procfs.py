"""What processes have used, as Linux tells it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """One process. `cpu_s`: its own, and that of its children that have ended."""

    parent: int
    cpu_s: float


def families(roots: Iterable[int]) -> dict[int, Stat]:
    """These processes and all that descend from them, by process id."""
    everybody = dict(_everybody())
    found = {pid: everybody[pid] for pid in roots if pid in everybody}
    while True:
        more = {pid: stat for pid, stat in everybody.items() if stat.parent in found and pid not in found}
        if not more:
            return found
        found |= more


def cpu_s(roots: Iterable[int]) -> float:
    """CPU seconds of these processes and their descendants so far."""
    return sum(stat.cpu_s for stat in families(roots).values())


def busy_s() -> float:
    """CPU seconds that the whole machine has used so far, for whomever, its host's other guests included."""
    with (_PROC / "stat").open() as stream:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, stream.readline().split()[1:])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def memory_bytes(roots: Iterable[int]) -> int:
    """What these processes and their descendants hold, pages that several share counted once (PSS)."""
    total = 0
    for pid in families(roots):
        with suppress(OSError):
            for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _everybody() -> Iterable[tuple[int, Stat]]:
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                # The name in parentheses may hold anything, also blanks and parentheses.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks = sum(int(field) for field in fields[11:15])
                yield int(folder.name), Stat(int(fields[1]), ticks / _TICKS_PER_S)
