"""`ekyc redeliver`: puts decisions on the pipeline's queue again, with the same bytes and the same id."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Final

import click

from schemas.decision import decision_id
from worker.cli.hold import duration
from worker.cli.options import json_option, region_of, region_option, who_option, yes_option
from worker.cli.reporter import Reporter
from worker.enqueue_request import SIGNATURE_ID
from worker.errors import BrokerUnavailable, EkycError, InvalidInput, OutcomeForged
from worker.ledger import Ledger
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.ledger.damage import left_out
from worker.ledger.decided import Decided, Kept, Known
from worker.ledger.worker_registry import WorkerRegistry
from worker.policy.time_format import span
from worker.settings import current
from worker.signatures import key_signer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celery import Celery
    from redis import Redis

    from worker.decisions.authenticity import Authenticity
    from worker.policy.outcome_seal import Sealer
    from worker.settings import Settings
    from worker.signatures import Signer

#: Decisions per round trip.
PAGE: Final = 64

#: How long the broker may take to answer, in seconds.
BROKER_TIMEOUT_S: Final = 5

_DECISION: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def _since(ctx: click.Context, param: click.Parameter, given: str | None) -> float | None:
    return None if given is None else duration(ctx, param, given)


def _decision(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    if given is not None and not _DECISION.fullmatch(given):
        raise click.BadParameter("must be one word, such as approve", ctx, param)
    return given


@click.command
@click.argument("signature_ids", metavar="[ID]...", nargs=-1)
@region_option
@click.option(
    "--since",
    "since_s",
    metavar="TIME",
    callback=_since,
    help="All decisions delivered within this time, such as 30m or 2h.",
)
@click.option(
    "--decision",
    metavar="NAME",
    callback=_decision,
    help="With --since: only this decision, such as approve.",
)
@who_option
@yes_option
@json_option
@click.pass_context
def redeliver(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    signature_ids: tuple[str, ...],
    region: str | None,
    since_s: float | None,
    decision: str | None,
    who: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Deliver decisions again, the same bytes under the same id.

    Use it if the pipeline has lost decisions that it had read. Give signature ids (after -- if one begins with a
    dash), or --since, which without --region selects from all regions in ADVANCE_REGIONS and scans the whole Redis.
    The command shows how many are selected, and asks for confirmation.

    The ledger keeps a decision for EKYC_RETENTION after its verification is done; older decisions are unknown to it.
    A decision that was not delivered yet is left to the fleet. No new decision is made, and the counts of decisions
    do not change. The ledger records name and time: `ekyc stats --json` shows them among acts, and `ekyc status`
    in each timeline. ADVANCE_SECRET_KEY and EKYC_EVIDENCE_KEYS, as the workers have them, show that a worker made a
    decision; any other is not sent. With --json: redelivered, not_delivered, forged, unknown.

    Exit status: 0 all were redelivered, 1 some were not, or the answer was no, or Redis or the broker does not
    answer, or the key of a verification is damaged, 2 invalid input, or stdin is not a terminal; 130 Ctrl-C.
    """
    if bool(signature_ids) == (since_s is not None):
        raise click.UsageError("give either signature ids or --since", ctx)
    if decision is not None and since_s is None:
        raise click.UsageError("--decision needs --since", ctx)
    settings = current()
    with connect(settings.redis_url) as redis:
        _must_sign(redis, settings)
        sealer = _sealer(settings)
        decided = Decided(redis, who=who, via=Via.CLI)
        damaged: list[str] = []
        if since_s is None:
            chosen, said = _given(decided, redis, settings, signature_ids, region, damaged.append)
        else:
            regions = (region,) if region else settings.regions
            chosen, said = _found(decided, regions, since_s, decision, damaged.append)
        run = Run(decided, chosen, Proof(sealer, Ledger(redis), settings))
        if run.total and not yes and not _agreed(said):
            ctx.exit(1)
        if run.total:
            run.deliver(settings, said)
    click.echo(json.dumps(run.as_json()) if as_json else f"{run}" if run.seen else said)
    if damaged:
        raise EkycError(left_out(damaged))
    ctx.exit(1 if run.left else 0)


def _given(  # noqa: PLR0913, PLR0917 - one a fact
    decided: Decided,
    redis: Redis,
    settings: Settings,
    signature_ids: Sequence[str],
    region: str | None,
    on_damaged: Callable[[str], object],
) -> tuple[Mapping[str, Sequence[str]], str]:
    """Choose by id, in `region` or in the region that knows the id. Returns ids by region, and their description.

    Raises ``InvalidInput``, which names the position of each bad id.
    """
    faults = [
        f"id number {position}: must be 1 to 64 of letters, digits, - and _"
        for position, signature_id in enumerate(signature_ids, start=1)
        if not SIGNATURE_ID.fullmatch(signature_id)
    ]
    if faults:
        raise InvalidInput("\n".join([*faults, "nothing was redelivered"]))
    by_region: dict[str, list[str]] = {}
    for signature_id in dict.fromkeys(signature_ids):
        by_region.setdefault(region_of(redis, signature_id, region, settings), []).append(signature_id)
    known = Counter(
        kept.known for place, ids in by_region.items() for kept in decided.read(place, ids, on_damaged)
    )
    missing = [
        f"{known[word]} {text}"
        for word, text in (
            (Known.NOT_DELIVERED, "not delivered yet"),
            (Known.UNKNOWN, "unknown, or done longer ago than the ledger keeps"),
        )
        if known[word]
    ]
    said = f"{_decisions(known[Known.DELIVERED])} given by id, of {' and '.join(by_region)}"
    return by_region, f"{said} ({', '.join(missing)})" if missing else said


def _found(
    decided: Decided,
    regions: Sequence[str],
    since_s: float,
    decision: str | None,
    on_damaged: Callable[[str], object],
) -> tuple[Mapping[str, Sequence[str]], str]:
    """Choose all decisions delivered within `since_s`. Returns ids by region, and their description."""
    with closing(Reporter("looking for decisions")) as reporter:
        found = {
            region: decided.since(region, since_s, decision, reporter.advance, on_damaged)
            for region in regions
        }
    where = ", ".join(f"{region} {len(ids)}" for region, ids in found.items() if ids) or "none"
    count = sum(map(len, found.values()))
    return found, f"{_decisions(count, decision)} delivered in the last {span(since_s)} ({where})"


def _decisions(count: int, name: str | None = None) -> str:
    return f"{count} {f'{name} ' if name else ''}decision{'' if count == 1 else 's'}"


def _agreed(said: str) -> bool:
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise InvalidInput(f"{said}; stdin is not a terminal: pass --yes")
    click.echo(said, err=True)
    try:
        answer = click.confirm("redeliver them?", err=True)
    except click.Abort:
        click.echo("\nekyc: nothing was redelivered", err=True)
        raise
    if not answer:
        click.echo("ekyc: nothing was redelivered", err=True)
    return answer


class Proof:
    """Shows whether a worker made a decision: by its MAC, and for one without, by the evidence."""

    def __init__(self, sealer: Sealer, ledger: Ledger, settings: Settings) -> None:
        self._sealer = sealer
        self._ledger = ledger
        self._settings = settings

    def checked(self, region: str, kept: Kept) -> Kept:
        """Return a decision as it is, or as forged. Raises ``EvidenceUnavailable`` and ``ConfigError``."""
        if kept.known is not Known.DELIVERED:
            return kept
        if self._sealer.confirms_text(kept.seal, region, kept.signature_id, kept.name, kept.text):
            return kept
        forged, status = Kept(kept.signature_id, Known.FORGED), self._ledger.status(region, kept.signature_id)
        if status is None or status.verification.decision != kept.text:
            return forged
        try:
            self._by_evidence.check_decision(status.verification)
        except OutcomeForged:
            return forged
        return kept

    @cached_property
    def _by_evidence(self) -> Authenticity:
        from worker.decisions.authenticity import Authenticity  # noqa: PLC0415 - slow, and rarely needed
        from worker.decisions.table import Table  # noqa: PLC0415
        from worker.evidence.store import Evidence  # noqa: PLC0415

        self._settings.require_evidence()
        table = Table.load(self._settings.decisions_file)
        return Authenticity(
            self._sealer, Evidence.from_settings(self._settings, must_exist=True, may_be_empty=True), table
        )


class Run:
    """Delivers the chosen decisions, a page at a time, and counts the outcomes."""

    def __init__(self, decided: Decided, chosen: Mapping[str, Sequence[str]], proof: Proof) -> None:
        self._decided = decided
        self._proof = proof
        self._chosen = {region: ids for region, ids in chosen.items() if ids}
        self._counts: Counter[Known] = Counter()

    @property
    def total(self) -> int:
        return sum(map(len, self._chosen.values()))

    @property
    def seen(self) -> int:
        return self._counts.total()

    @property
    def left(self) -> int:
        """The number of decisions that were not redelivered."""
        return self.seen - self._counts[Known.DELIVERED]

    def as_json(self) -> dict[str, int]:
        return {
            "redelivered": self._counts[Known.DELIVERED],
            "not_delivered": self._counts[Known.NOT_DELIVERED],
            "forged": self._counts[Known.FORGED],
            "unknown": self._counts[Known.UNKNOWN],
        }

    def __str__(self) -> str:
        counts = self.as_json()
        return (
            f"redelivered {counts['redelivered']}, not delivered yet {counts['not_delivered']}, "
            f"unknown {counts['unknown']}"
            + (f", refused as forged {counts['forged']}" if counts["forged"] else "")
        )

    def deliver(self, settings: Settings, said: str) -> None:
        """Record the act, then deliver. Raises ``BrokerUnavailable`` and ``LedgerUnavailable``."""
        from worker.messaging.celery_app import make_app  # noqa: PLC0415 - slow to import, and most runs end before

        _reach(settings)
        app, signer = make_app(), key_signer(settings.signing_key)
        try:
            with closing(Reporter("redelivering")) as reporter:
                for region, ids in self._chosen.items():
                    # Before anything is sent, so that the act is recorded even if this process is killed.
                    self._decided.note(region, act=said)
                    for start in range(0, len(ids), PAGE):
                        self._page(app, signer, region, ids[start : start + PAGE])
                        reporter.advance(self.seen)
        except BaseException:
            click.echo(f"ekyc: so far, at least: {self}", err=True)
            raise

    def _page(self, app: Celery, signer: Signer | None, region: str, ids: Sequence[str]) -> None:
        from worker.decisions.delivery import Outgoing, deliver  # noqa: PLC0415 - see `deliver`

        kept = [self._proof.checked(region, each) for each in self._decided.read(region, ids)]
        ready = [each for each in kept if each.known is Known.DELIVERED]
        if ready:
            deliver(
                app,
                [Outgoing(decision_id(region, each.signature_id), each.name, each.text) for each in ready],
                signer,
            )
            self._counts[Known.DELIVERED] += len(ready)
            self._decided.note(region, [each.signature_id for each in ready])
        self._counts.update(each.known for each in kept if each.known is not Known.DELIVERED)


def _must_sign(redis: Redis, settings: Settings) -> None:
    """Raise ``InvalidInput`` if workers sign decisions and this command would not: pipelines would refuse them."""
    if not settings.signing_key and any(worker.signing for worker in WorkerRegistry(redis).present()):
        raise InvalidInput(
            "the workers sign decisions, and here EKYC_SIGNING_KEY is not set: give it as for the workers, "
            "because pipelines may refuse decisions without a signature"
        )


def _sealer(settings: Settings) -> Sealer:
    """Raise ``InvalidInput`` without a key of the workers: this command would send what anyone wrote into Redis."""
    from worker.policy.outcome_seal import Sealer  # noqa: PLC0415 - see `deliver`

    sealer = Sealer.from_settings(settings)
    if not sealer:
        raise InvalidInput(
            "ADVANCE_SECRET_KEY is not set: give it as for the workers, because it shows that they made the decisions"
        )
    return sealer


def _reach(settings: Settings) -> None:
    """Raise ``BrokerUnavailable`` if the broker does not answer. Celery itself would wait for it for a long time."""
    from worker.messaging import queues  # noqa: PLC0415 - see above

    try:
        with queues.connected(settings.broker_url, BROKER_TIMEOUT_S):
            pass
    except Exception as error:  # noqa: BLE001 - kombu passes on whatever any of its drivers raises
        raise BrokerUnavailable(
            f"the broker does not answer ({queues.why(error)}): nothing was redelivered; run `ekyc doctor`"
        ) from None
