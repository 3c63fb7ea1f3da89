"""`ekyc evidence retain`: until when evidence is kept, closing times, and the sweep."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from worker.cli.evidence.log_lines import warnings_to_stderr
from worker.cli.evidence.selection import place_of
from worker.cli.options import canonical, json_option, well_formed, who_option
from worker.cli.reporter import Reporter
from worker.errors import EvidenceConflict, EvidenceKeyUnknown, EvidenceUnavailable, InvalidInput
from worker.evidence.marks import rfc3339
from worker.evidence.store import Evidence
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.ledger.erasures import Erasures
from worker.policy.retention import load
from worker.records import closings, retention
from worker.records.assembly import eraser
from worker.records.erasure import begun_text, begun_todo
from worker.records.retention import kept_json, until_text
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.ledger.erasures import Begun
    from worker.policy.retention import Retention
    from worker.records.retention import Kept, Survey, Swept
    from worker.settings import Settings

#: The most refusals that are listed for people.
_MOST_LINES = 20

#: How far a closing time may be in the future, in seconds: clocks differ.
_AHEAD_S = 300


def _ids(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(well_formed(ctx, param, each) for each in given)


def _closed(ctx: click.Context, param: click.Parameter, given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("must be a date or a time, such as 2027-01-31", ctx, param) from None
    if at.year < 2000 or (at - datetime.now(UTC)).total_seconds() > _AHEAD_S:  # noqa: PLR2004 - a mistake
        raise click.BadParameter("must be after 1999, and not in the future", ctx, param)
    return at


@click.command
@click.argument("signature_ids", metavar="[ID]...", nargs=-1, callback=_ids)
@click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="The region. Default: with IDs, the one in ADVANCE_REGIONS whose evidence has each; without, all of them.",
)
@click.option(
    "--closed",
    "closed_at",
    metavar="TIME",
    callback=_closed,
    help="Say when the business relationship of each ID ended, such as 2027-01-31: its period begins then.",
)
@click.option("--sweep", is_flag=True, help="Erase what is over age, after a confirmation.")
@click.option(
    "--without-vendor", is_flag=True, help="With --sweep: do not ask the vendor to delete its data."
)
@click.option("--yes", is_flag=True, help="With --sweep: do not ask for confirmation, for scripts.")
@who_option
@json_option
@click.pass_context
def retain(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    signature_ids: tuple[str, ...],
    region: str | None,
    closed_at: datetime | None,
    sweep: bool,
    without_vendor: bool,
    yes: bool,
    who: str,
    as_json: bool,
) -> None:
    """Show until when evidence is kept, or erase what is over age.

    With IDs: for each of them. Without: how many of a region, or of all regions, are over age by EKYC_RETAIN, by
    region and decision, which is what --sweep would erase. A sweep erases one after the other, as `ekyc evidence erase`
    does, and can be stopped at any time: the next one continues. What is on legal hold is kept.

    With --json: for IDs a list of region, signature_id, decision, decided_at, closed_at, rule, until, held; otherwise
    seen, over (region, decision, count, oldest), held, unreadable, begun (erasures, by request too, that have begun and
    not ended; with --sweep those that are left), and with --sweep erased and refused.

    Exit status: 0; 1 some were not erased, or could not be judged, or with --sweep some that have begun have not ended,
    or the answer was no, or Redis or the evidence store does not answer; 2 invalid input, or stdin is not a terminal;
    130 Ctrl-C.
    """
    warnings_to_stderr()
    settings = current()
    rules = load(settings.retain)
    evidence = Evidence.from_settings(settings, is_patient=True, must_exist=True)
    if signature_ids:
        if sweep:
            raise InvalidInput("--sweep takes no IDs: to erase one, run `ekyc evidence erase`")
        # Each is found before anything is changed.
        failed: list[str] = []
        places = [(place_of(evidence, settings, each, region), each) for each in signature_ids]
        if closed_at:
            done: list[tuple[str, str]] = []
            try:
                failed = _close(evidence, places, closed_at, done)
            finally:
                _note_closings(settings, done, who)
            places = done
        failed += _show_each(evidence, rules, places, as_json=as_json)
        for line in failed:
            click.echo(f"ekyc: {line}", err=True)
        ctx.exit(1 if failed else 0)
    if closed_at is not None:
        raise InvalidInput("--closed needs the IDs whose relationship ended")
    regions = (region,) if region else settings.regions
    with connect(settings.redis_url) as redis:
        begun = Erasures(redis).unended(regions)
    reporter = Reporter("reading")
    try:
        found = retention.survey(evidence, rules, regions, datetime.now(UTC), reporter.advance)
    finally:
        reporter.close()
    if not sweep:
        _show_survey(found, begun, as_json=as_json)
        ctx.exit(1 if found.unreadable else 0)
    ctx.exit(
        _sweep(
            settings, rules, found, regions, who=who, at_vendor=not without_vendor, yes=yes, as_json=as_json
        )
    )


def _close(
    evidence: Evidence, places: Sequence[tuple[str, str]], at: datetime, done: list[tuple[str, str]]
) -> list[str]:
    """Store a closing time for each. Returns a line for each that cannot be read; `done` gets the others."""
    failed = []
    for region, each in places:
        try:
            closings.close(evidence, region, each, at)
        except (EvidenceConflict, EvidenceUnavailable) as error:
            evidence.check_answers()
            failed.append(f"{region}/{each}: {error}")
        else:
            done.append((region, each))
    return failed


def _note_closings(settings: Settings, places: Sequence[tuple[str, str]], who: str) -> None:
    if not places:
        return
    by_region: dict[str, list[str]] = {}
    for region, signature_id in places:
        by_region.setdefault(region, []).append(signature_id)
    with connect(settings.redis_url) as redis:
        for region, ids in by_region.items():
            Erasures(redis, via=Via.CLI).note(
                region, "closed", f"{len(ids)} closing times", who=who, signature_ids=ids
            )


def _show_each(
    evidence: Evidence, rules: Retention, places: Sequence[tuple[str, str]], *, as_json: bool
) -> list[str]:
    """Print until when each is kept. Returns a line for each that cannot be judged."""
    rows, failed = [], []
    for region, each in places:
        try:
            found = retention.kept(evidence, rules, region, each)
        except EvidenceKeyUnknown:
            raise
        except (EvidenceConflict, EvidenceUnavailable) as error:
            evidence.check_answers()
            failed.append(f"{region}/{each}: {error}")
            continue
        if found is None:
            raise InvalidInput(f"{region}/{each} has no evidence, or is erased")
        rows.append(found)
    if as_json:
        click.echo(json.dumps([kept_json(each) for each in rows]))
        return failed
    for row in rows:
        click.echo(_line(row))
    return failed


def _line(each: Kept) -> str:
    name, decision = f"{each.region}/{each.signature_id}", each.decision or "undecided"
    return f"{name} ({decision}, {each.rule}) is {until_text(each)}"


def _show_survey(found: Survey, begun: Mapping[str, Begun], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_survey_members(found, begun)))
        return
    for line in (*_survey_lines(found), *_begun_lines(begun)):
        click.echo(line)


def _begun_lines(begun: Mapping[str, Begun]) -> Iterator[str]:
    for region, each in begun.items():
        yield f"{begun_text(region, each)}: {begun_todo(region, each)}"


def _survey_members(found: Survey, begun: Mapping[str, Begun]) -> dict[str, Any]:
    return {
        "seen": found.seen,
        "over": [
            {"region": region, "decision": decision or None, "count": count, "oldest": rfc3339(oldest)}
            for (region, decision), (count, oldest) in found.counts().items()
        ],
        "held": found.held,
        "unreadable": found.unreadable,
        "begun": [f"{region}/{each}" for region, one in begun.items() for each in one.ids],
    }


def _survey_lines(found: Survey) -> list[str]:
    lines = [f"{found.seen:,} verifications with evidence, {len(found.over):,} over age"]
    lines += [
        f"  {region:<7} {decision or 'undecided':<17} {count:>9,}  oldest {rfc3339(oldest)}"
        for (region, decision), (count, oldest) in found.counts().items()
    ]
    if found.held:
        lines.append(f"{found.held:,} are kept by a legal hold alone")
    if found.unreadable:
        lines.append(
            f"{len(found.unreadable):,} cannot be judged and are kept, such as {found.unreadable[0]}"
        )
    return lines


def _sweep(  # noqa: PLR0913 - one an option
    settings: Settings,
    rules: Retention,
    found: Survey,
    regions: Sequence[str],
    *,
    who: str,
    at_vendor: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Ask, erase, and print what became of it. Returns the exit status."""
    with connect(settings.redis_url) as redis:
        parts = eraser(settings, redis, at_vendor=at_vendor, via=Via.CLI)
        if found.over and not yes and not _agreed(found):
            return 1
        reporter = Reporter("erasing")
        swept = retention.Swept()
        try:
            for swept in retention.sweep(  # noqa: B007 - the last one is shown below
                parts, rules, found.over, who=who, advance=lambda sofar: reporter.advance(sofar.erased)
            ):
                pass
        except KeyboardInterrupt:
            reporter.say("stopped: the next sweep continues")
            raise
        finally:
            reporter.close()
        begun = Erasures(redis).unended(regions)
    _show_swept(found, swept, begun, as_json=as_json)
    return 1 if swept.refused or found.unreadable or begun else 0


def _show_swept(found: Survey, swept: Swept, begun: Mapping[str, Begun], *, as_json: bool) -> None:
    if as_json:
        members = _survey_members(found, begun) | {"erased": swept.erased, "refused": swept.refused}
        click.echo(json.dumps(members))
        return
    click.echo(f"erased {swept.erased:,} of {len(found.over):,} over age")
    for line in swept.refused[:_MOST_LINES]:
        click.echo(f"ekyc: {line}", err=True)
    if len(swept.refused) > _MOST_LINES:
        click.echo(f"ekyc: {len(swept.refused) - _MOST_LINES:,} more; --json has all of them", err=True)
    for line in _begun_lines(begun):
        click.echo(f"ekyc: {line}", err=True)


def _agreed(found: Survey) -> bool:
    """Show what would be erased, and ask. Raises ``InvalidInput`` if stdin is not a terminal."""
    lines = "\n".join(_survey_lines(found))
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise InvalidInput(f"{lines}\nstdin is not a terminal: pass --yes to erase them")
    click.echo(lines, err=True)
    answer = click.confirm(f"erase {len(found.over):,} for good?", err=True)
    if not answer:
        click.echo("ekyc: nothing was erased", err=True)
    return answer
