"""`ekyc ledger`: which ledger the fleet works for."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from worker.cli.announcement import listeners
from worker.cli.options import who_option, yes_option
from worker.decisions import events
from worker.errors import InvalidInput
from worker.evidence.ledger_identity import new_identity
from worker.evidence.store import Evidence
from worker.ledger import Ledger, Stats
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.policy.visible_text import visible
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis


@click.group
def ledger() -> None:
    """Choose which ledger the fleet works for."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A region whose ledger is not the one that the evidence store knows, or whose evidence store knows none."""

    region: str
    #: Identities of the ledgers that it replaces; empty: the evidence store has no note of the ledger.
    replaces: tuple[str, ...]
    described: str


@ledger.command
@who_option
@yes_option
@click.pass_context
def accept(ctx: click.Context, *, who: str, yes: bool) -> None:
    """Accept the Redis of REDIS_URL instead of the one that the evidence store knows.

    Workers claim nothing from a Redis that came back empty, or from another Redis, until a person accepts it. The
    command shows what this Redis holds for each region in ADVANCE_REGIONS, and asks for confirmation. Verifications
    that only the old Redis held are lost: enqueue them again. The ledger records name and time.

    It also accepts an evidence store that is meant to begin empty although the ledger has evidence in another: without
    that no worker starts. First make sure that the disk of the evidence is mounted.

    Exit status: 0 accepted, or there was nothing to accept; 1 the answer was no, or Redis or the evidence store
    does not answer; 2 invalid input, or stdin is not a terminal.
    """
    settings = current()
    settings.require_evidence()
    evidence = Evidence.from_settings(settings, must_exist=True, may_be_empty=True)
    with connect(settings.redis_url) as redis:
        found = replacements(redis, evidence, settings.regions)
        if not found:
            click.echo("every region has the ledger that the evidence store knows: nothing to accept")
            return
        if not yes and not agreed(found):
            ctx.exit(1)
        endpoints = listeners(settings)
        for replacement in found:
            region = replacement.region
            accepted = Ledger(redis).accept(
                region,
                new=new_identity(),
                replaces=" ".join(replacement.replaces),
                who=who,
                via=Via.CLI,
                events=events.of_region(endpoints, events.LEDGER_REPLACED, region),
            )
            evidence.keep_ledger(region, accepted)
            click.echo(f"{region}: ledger {accepted} is accepted; workers resume within seconds")


def replacements(redis: Redis, evidence: Evidence, regions: Sequence[str]) -> list[Replacement]:
    """Return the regions whose ledger must be accepted. Raises ``LedgerUnavailable`` and ``EvidenceUnavailable``."""
    found = []
    for region in regions:
        identity = Ledger(redis).identify(region)
        noted = evidence.ledgers(region)
        known = {*noted[-1:], identity.expected} - {"", identity.id, *identity.before}
        if known or (identity.store and not noted):
            counts = Stats(redis).counts(region)
            other = (
                f"in place of {', '.join(sorted(known))}"
                if known
                else f"with {evidence.url}, which does not hold its evidence, in place of {visible(identity.store)}"
            )
            described = (
                f"{region}: ledger {identity.id or 'without identity'} {other}; "
                f"it holds {counts.waiting} waiting, {counts.in_flight} in flight, "
                f"{counts.quarantined} in quarantine, {counts.done} done"
            )
            found.append(Replacement(region, tuple(sorted(known)), described))
    return found


def agreed(found: Sequence[Replacement]) -> bool:
    """Show what would be accepted, and ask. Raises ``InvalidInput`` if stdin is not a terminal."""
    lines = "\n".join(replacement.described for replacement in found)
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise InvalidInput(f"{lines}\nstdin is not a terminal: pass --yes to accept")
    click.echo(lines, err=True)
    return click.confirm("accept?", err=True)
