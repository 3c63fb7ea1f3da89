"""`ekyc evidence hold` and `ekyc evidence release`: legal holds, which stop retention and erasure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from worker.cli.evidence.selection import one_region_option, place_of
from worker.cli.options import json_option, well_formed, who_option, why_option
from worker.errors import InvalidInput
from worker.evidence.keys import Tombstone
from worker.evidence.marks import Act, rfc3339
from worker.evidence.store import Evidence
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.ledger.erasures import Erasures
from worker.settings import current

if TYPE_CHECKING:
    from worker.evidence.lifecycle import Lifecycle
    from worker.evidence.marks import LegalHolds

id_argument = click.argument("signature_id", metavar="ID", callback=well_formed)


@click.command
@id_argument
@one_region_option
@why_option
@who_option
@json_option
def hold(*, signature_id: str, region: str | None, why: str, who: str, as_json: bool) -> None:
    """Place a legal hold: the evidence is neither swept nor erased.

    The hold is stored beside the evidence, with name, time and reason, and stays until `ekyc evidence release`. Where
    one is in force already, both count. With --json: region, signature_id, holds (at, who, why, released).

    Exit status: 0 it is on hold; 1 Redis or the evidence store does not answer; 2 invalid input, or there is no
    evidence, or it is erased.
    """
    settings = current()
    evidence = Evidence.from_settings(settings, is_patient=True, must_exist=True)
    region = place_of(evidence, settings, signature_id, region)
    lifecycle = evidence.lifecycle(region, signature_id)
    _must_have_evidence(lifecycle)
    with connect(settings.redis_url) as redis:
        ledger = Erasures(redis, via=Via.CLI)
        # First: if this process is killed, there is an entry too many, and not one too few.
        ledger.note(region, "legal_hold", why, who=who, signature_ids=[signature_id])
        # From now on no erasure begins, and one that has begun refuses this.
        ledger.hold(region, signature_id)
        before = len(lifecycle.holds().all_in_force)
        holds = lifecycle.change_holds(lambda known: known.placing(Act(datetime.now(UTC), who, why)))
        # The ledger may be a new one, which knows of no erasure.
        _must_have_evidence(lifecycle)
    _show(lifecycle, holds, as_json=as_json)
    if before and len(holds.all_in_force) == before:
        click.echo("ekyc: you placed this hold before, for the same reason: nothing is added", err=True)
    elif before:
        said = "a hold was in force already: both count, and a release ends both"
        click.echo(f"ekyc: {said if before == 1 else said.replace('both', 'all')}", err=True)


@click.command
@id_argument
@one_region_option
@why_option
@who_option
@json_option
def release(*, signature_id: str, region: str | None, why: str, who: str, as_json: bool) -> None:
    """Release all legal holds: retention and erasure apply again.

    It prints which holds it ends. The record of each stays beside the evidence, with name, time and reason of the
    release. With --json: region, signature_id, holds (at, who, why, released).

    Exit status: 0 there is no hold, also if there was none; 1 Redis or the evidence store does not answer; 2 invalid
    input.
    """
    settings = current()
    evidence = Evidence.from_settings(settings, is_patient=True, must_exist=True)
    region = place_of(evidence, settings, signature_id, region)
    lifecycle = evidence.lifecycle(region, signature_id)
    holds, act = lifecycle.holds(), Act(datetime.now(UTC), who, why)
    with connect(settings.redis_url) as redis:
        ledger = Erasures(redis, via=Via.CLI)
        was_held = ledger.is_held(region, signature_id)
        if was_held or holds.in_force:
            # First: if this process is killed, there is an entry too many, and not one too few.
            ledger.note(region, "legal_release", why, who=who, signature_ids=[signature_id])
        if holds.in_force:
            holds = lifecycle.change_holds(lambda known: known.releasing(act))
        ledger.release(region, signature_id)
        now = lifecycle.holds()
        if now.in_force and not isinstance(lifecycle.key(), Tombstone):
            # Somebody placed it in between.
            ledger.hold(region, signature_id)
            holds = now
    _show(lifecycle, holds, as_json=as_json)
    ended = [each for each in holds.holds if each.released == act]
    for each in ended:
        said = f"{each.placed.who}: {each.placed.why}"
        click.echo(f"ekyc: released the hold since {rfc3339(each.placed.at)} ({said})", err=True)
    if not ended and was_held:
        click.echo("ekyc: the hold was released already, and the ledger knows it now, too", err=True)
    elif not ended:
        click.echo("ekyc: there was no hold to release: check the id", err=True)


def _must_have_evidence(lifecycle: Lifecycle) -> None:
    """Raises ``InvalidInput``. A mark in an empty folder would keep evidence from being encrypted later."""
    key, name = lifecycle.key(), f"{lifecycle.region}/{lifecycle.signature_id}"
    if isinstance(key, Tombstone):
        raise InvalidInput(f"{name} was erased at {key.at}: there is nothing to hold")
    if key is None and not lifecycle.objects():
        raise InvalidInput(f"{name} has no evidence: there is nothing to hold")


def _show(lifecycle: Lifecycle, holds: LegalHolds, *, as_json: bool) -> None:
    name = f"{lifecycle.region}/{lifecycle.signature_id}"
    if as_json:
        found = [
            {
                "at": rfc3339(each.placed.at),
                "who": each.placed.who,
                "why": each.placed.why,
                "released": each.released
                and {"at": rfc3339(each.released.at), "who": each.released.who, "why": each.released.why},
            }
            for each in holds.holds
        ]
        about = {"region": lifecycle.region, "signature_id": lifecycle.signature_id}
        click.echo(json.dumps(about | {"holds": found}))
    elif in_force := holds.all_in_force:
        for each in in_force:
            placed = each.placed
            click.echo(f"{name} is on legal hold since {rfc3339(placed.at)} ({placed.who}: {placed.why})")
    else:
        click.echo(f"{name} is not on legal hold")
