"""`ekyc evidence rotate`: brings the evidence of all verifications under the current key."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from worker.cli.options import canonical, json_option
from worker.cli.reporter import Reporter
from worker.enqueue_request import REGIONS
from worker.errors import ConfigError, EvidenceKeyUnknown, EvidenceUnavailable, Refused
from worker.evidence.rotation import Rotated
from worker.evidence.rotation import rotate as rotate_one
from worker.evidence.store import Evidence
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

#: Verifications at a time, by default. A bucket answers slowly, a disk syncs several files as fast as one.
JOBS: Final = 8

#: The most failures that are named for people. With --json: all.
NAMED: Final = 20


@dataclass(slots=True)
class Report:
    """What became of the verifications."""

    counts: Counter[Rotated] = field(default_factory=Counter)
    #: Region, signature id, and why.
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    #: Configured keys that no evidence needs any more.
    unused: tuple[str, ...] = ()

    @property
    def seen(self) -> int:
        return self.counts.total() + len(self.failed)

    def as_json(self) -> dict[str, Any]:
        return {
            **{each.value: self.counts[each] for each in Rotated},
            "failed": [
                {"region": region, "signature_id": signature_id, "why": why}
                for region, signature_id, why in self.failed
            ],
            "unused_keys": list(self.unused),
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{each} {self.counts[each]}" for each in Rotated)
        return f"{counts}, failed {len(self.failed)}"


@click.command
@click.option("--region", metavar="REGION", callback=canonical, help="Only this one. Default: all six.")
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(1, 64),
    default=JOBS,
    show_default=True,
    help="How many verifications are worked on at a time.",
)
@json_option
@click.pass_context
def rotate(ctx: click.Context, *, region: str | None, jobs: int, as_json: bool) -> None:
    """Bring evidence under the current key, and encrypt what was stored without keys.

    It replaces key.json of each verification, one small object; the other objects stay as they are. Evidence of before
    there were keys is encrypted, object by object. Workers may run meanwhile, once all of them have the new key.

    The command may be interrupted and run again, and several may run at once: what is done is skipped. When it ends
    with nothing failed for all regions, it names the keys that can be removed from EKYC_EVIDENCE_KEYS.

    With --json: rewrapped, encrypted, current, erased, failed (region, signature_id, why), unused_keys.

    Exit status: 0, 1 some failed or the store does not answer, 2 no keys or wrong keys, 130 Ctrl-C.
    """
    evidence = Evidence.from_settings(current(), must_exist=True)
    if not evidence.keys.are_on:
        raise ConfigError("EKYC_EVIDENCE_KEYS is not set: `ekyc evidence keygen` makes a key")
    evidence.check()
    evidence.keys.check_replacing()
    report = Report()
    try:
        _rotate_all(evidence, _places(evidence, region), jobs, report)
    except BaseException:
        click.echo(f"ekyc: so far: {report}; run it again, it continues", err=True)
        raise
    if region is None and not report.failed:
        report.unused = evidence.keys.ids[1:]
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        for place, signature_id, why in report.failed[:NAMED]:
            click.echo(f"ekyc: {place} {signature_id}: {why}", err=True)
        if len(report.failed) > NAMED:
            click.echo(f"ekyc: and {len(report.failed) - NAMED} more: pass --json to see them", err=True)
        click.echo(str(report))
        for key_id in report.unused:
            click.echo(
                f"no evidence is under the key {key_id}: once each worker has the new key first, rotate again; "
                "if this line comes again, remove that key from EKYC_EVIDENCE_KEYS"
            )
    ctx.exit(1 if report.failed else 0)


def _places(evidence: Evidence, region: str | None) -> list[tuple[str, str]]:
    """Return region and id of all verifications with evidence."""
    found = []
    with closing(Reporter("looking for evidence")) as reporter:
        for place in (region,) if region else REGIONS:
            for signature_id in evidence.ids(place):
                found.append((place, signature_id))
                reporter.advance(len(found))
    return found


def _rotate_all(evidence: Evidence, places: list[tuple[str, str]], jobs: int, report: Report) -> None:
    """Rotate each verification. Raises ``EvidenceUnavailable`` if the store is away; those in flight still end."""
    left = iter(places)
    with closing(Reporter("rotating", total=len(places))) as reporter, ThreadPoolExecutor(jobs) as threads:
        running = {_begin(evidence, place, threads): place for place in _first(left, jobs)}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                _note(evidence, each, running.pop(each), report)
                reporter.advance(report.seen)
                for place in _first(left, 1):
                    running[_begin(evidence, place, threads)] = place


def _first(places: Iterator[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    return [place for _, place in zip(range(count), places, strict=False)]


def _begin(evidence: Evidence, place: tuple[str, str], threads: ThreadPoolExecutor) -> Future[Rotated]:
    return threads.submit(rotate_one, evidence.of(*place))


def _note(evidence: Evidence, each: Future[Rotated], place: tuple[str, str], report: Report) -> None:
    try:
        report.counts[each.result()] += 1
    except (EvidenceKeyUnknown, Refused) as error:
        report.failed.append((*place, str(error)))
    except EvidenceUnavailable as error:
        # One object that cannot be read must not stop the others.
        evidence.check_answers()
        report.failed.append((*place, str(error)))
