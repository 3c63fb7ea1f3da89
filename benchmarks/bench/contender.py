"""What a contender is: how it is started, where its decisions arrive, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.bench.profile import Profile
    from benchmarks.bench.queues import Queue

#: One process a core, for everybody whom that helps.
CORES: Final = 2


@dataclass(frozen=True, slots=True)
class Command:
    """A process of a contender: what follows `python -m`, and what it is told beside the rest."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Promises:
    """What a user gets. Each is a few words for the table."""

    survives_kill: str
    one_decision: str
    evidence: str
    validation: str
    countdowns_live: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of running a contender.

    Parameters:
      commands: the processes, given a concurrency and a folder for sockets and the like.
      quick, slow: the concurrency of each process where calls take no time, and where they take long.
    """

    name: str
    commands: Callable[[int, Path], Sequence[Command]]
    quick: int = 1
    slow: int = 1

    def concurrency(self, profile: Profile) -> int:
        return self.slow if profile.get_result_s else self.quick


@dataclass(frozen=True, slots=True)
class Contender:
    """Who runs.

    Parameters:
      module: the one whose `enqueue` a pipeline calls.
      queue: where its decisions arrive.
      variants: the best of them counts; where only one runs it is the first.
    """

    name: str
    module: str
    queue: Queue
    variants: Sequence[Variant]
    promises: Promises
