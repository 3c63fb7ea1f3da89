"""What an uploaded table would change: its faults, and if it has none, the recorded decisions that would differ.

It runs in a process of its own that may be killed (``worker.web.console.comparing``), and has bounds of its own: on the
size of the table, on time, and on the number of decisions.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from worker.decisions.check import Finding, Severity, check
from worker.decisions.endpoints import load as load_endpoints
from worker.decisions.replay import Replay, replay
from worker.decisions.table import Source, Table, Unreadable
from worker.ledger.connection import connect
from worker.ledger.damage import left_out

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from worker.decisions.replay import Change
    from worker.settings import Settings

    #: Gets what is known so far, as JSON.
    Tell = Callable[[Mapping[str, Any]], None]

#: The most keys and values of a table. To look for what is misspelt takes about a millisecond for each.
MOST_ENTRIES: Final = 10_000

#: The most findings that are listed one by one.
MOST_FINDINGS: Final = 100

#: The most ids that are listed of decisions that would change.
MOST_IDS: Final = 100

#: The longest text of a finding: it may quote the file.
_LONGEST: Final = 300

#: Seconds between two reports of the progress.
_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is replayed, and for how long. `since_s`: only what was settled within it; None: all that is remembered."""

    regions: Sequence[str]
    since_s: float | None
    longest_s: float
    most: int


def examine(
    name: str, raw: bytes, packaged: Table, endpoints: Collection[str] | None
) -> tuple[Table | None, tuple[Finding, ...]]:
    """The table in a file, and everything that is found about it; None: a worker would refuse it."""
    try:
        source = Source.of_bytes(name, raw)
    except Unreadable as error:
        cure = "give the file of a decision table, as `ekyc decisions show --toml` prints one"
        return None, (Finding(Severity.ERROR, error.line, error.said, cure),)
    if entries(source.document) > MOST_ENTRIES:
        said = f"has more than {MOST_ENTRIES} keys and values"
        return None, (Finding(Severity.ERROR, None, said, "use `ekyc decisions diff`, which has no bound"),)
    checked = check(source, packaged, endpoints)
    return checked.table, checked.findings


def entries(document: Mapping[str, Any]) -> int:
    """The number of keys and values in a parsed file. It does not recurse."""
    count, left = 0, list[Any]([document])
    while left:
        value = left.pop()
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        count += len(inner)
        left.extend(inner)
    return count


def compare(settings: Settings, name: str, raw: bytes, wanted: Wanted, tell: Tell) -> None:
    """Check a table, and replay recorded decisions through it and through the table in use.

    Raises ``ConfigError`` for settings and ``LedgerUnavailable``.
    """
    endpoints = load_endpoints(settings.endpoints_file, with_secrets=False)
    before = Table.load(settings.decisions_file, endpoints)
    after, findings = examine(name, raw, Table.load(None), endpoints)
    tell(
        {
            "before": before.version,
            "after": after.version if after else None,
            "findings": [_finding(each) for each in findings[:MOST_FINDINGS]],
            "more_findings": max(len(findings) - MOST_FINDINGS, 0),
        }
    )
    if after is None:
        return
    progress = _Progress(wanted, tell)
    replayed = Replay(before, after, MOST_IDS, advance=progress.advance)
    try:
        with connect(settings.redis_url) as redis:
            replay(redis, wanted.regions, replayed, since_s=wanted.since_s)
    except _Enough as enough:
        tell(_result(replayed) | {"ended": str(enough)})
    else:
        tell(_result(replayed) | {"ended": ""})


class _Enough(Exception):
    """A bound is reached: the message says which."""


class _Progress:
    """Reports how many decisions were compared, and ends the replay at its bounds."""

    def __init__(self, wanted: Wanted, tell: Tell) -> None:
        self._wanted = wanted
        self._tell = tell
        self._ends = time.monotonic() + wanted.longest_s
        self._report_at = 0.0

    def advance(self, compared: int) -> None:
        now = time.monotonic()
        if compared >= self._wanted.most:
            raise _Enough(f"{compared:,} decisions were compared, which is the most")
        if now >= self._ends:
            raise _Enough(f"{self._wanted.longest_s:g} s have passed")
        if now >= self._report_at:
            self._report_at = now + _EVERY_S
            self._tell({"compared": compared})


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "severity": one.severity.value,
        "line": one.line,
        "said": one.said[:_LONGEST],
        "cure": one.cure[:_LONGEST],
    }


def _result(replayed: Replay) -> dict[str, Any]:
    changes = replayed.changes.most_common()
    return {
        "compared": replayed.compared,
        "without_facts": replayed.without_facts,
        "decided_otherwise": replayed.decided_otherwise,
        "changed": replayed.changes.total(),
        "left_out": left_out(replayed.damaged) if replayed.damaged else "",
        "changes": [
            {"from": before, "to": after, "count": count, "ids": ids}
            for ((before, after), count), ids in zip(changes, _shared(replayed, changes), strict=True)
        ],
    }


def _shared(replayed: Replay, changes: Sequence[tuple[Change, int]]) -> list[list[tuple[str, str]]]:
    """The ids that are listed for each change: as equal a part of `MOST_IDS` as there are ids for it."""
    known = [sorted(replayed.ids[change]) for change, _ in changes]
    told, left = [0] * len(known), MOST_IDS
    while left and (open_ := [at for at, ids in enumerate(known) if told[at] < len(ids)]):
        for at in open_[:left]:
            told[at] += 1
        left -= min(len(open_), left)
    return [ids[:count] for ids, count in zip(known, told, strict=True)]
