"""What needs a person now, by the figures of the fleet, each with the next step. Pure.

It says earlier what the alerts of `deploy/prometheus` say after some minutes, so both have the same limits.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from worker.errors import BrokerUnavailable, EvidenceKeyUnknown, EvidenceUnavailable
from worker.policy.overview import by_table
from worker.policy.time_format import span
from worker.policy.webhooks import LIMITS, overdue_s
from worker.time_budget import WORKER_SEEN_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from worker.ledger.audit_state import Part
    from worker.ledger.evidence_log import LogState
    from worker.ledger.hour import Hour
    from worker.ledger.models import Counts, Event, Hold, Lately
    from worker.ledger.webhooks import EndpointState
    from worker.ledger.worker_registry import Presence, Worker

#: Seconds by which due work may be overdue: as the alert `EkycOldestDueTooOld`.
OVERDUE_S: Final = 60.0

#: Seconds that the log of evidence may be behind: as `EkycEvidenceLogBehind`.
LOG_BEHIND_S: Final = 900.0

#: Seconds after which evidence that workers cannot open, and so cannot log, is shown.
UNOPENED_S: Final = 60.0

#: Seconds for which the pipeline's queue may grow: `EkycDecisionsUnread` fires after 20 minutes.
UNREAD_S: Final = 300.0

#: The part of its tries or time after which an endpoint that fails is shown: it may answer again by itself before.
STRAIN: Final = 0.05

#: Deliveries that an endpoint may have due before it is shown as late, in seconds.
DELIVERY_LATE_S: Final = 60.0

#: As `EkycRedisFillsUp`.
MEMORY_SHARE: Final = 0.8

#: Expired leases within an hour: a single killed worker has up to a hundred, of one moment.
MANY_EXPIRED: Final = 100

#: The holds that the fleet ends by itself when the vendor answers again.
_ENDS_BY_ITSELF: Final = frozenset({"VENDOR_BUSY", "VENDOR_DOWN"})

_BY_HAND: Final = "BY_HAND"

#: A reason that can be a filter.
_CODE: Final = re.compile(r"[A-Z0-9_]{1,64}")


class Urgency(IntEnum):
    """How soon a person should act."""

    #: Something stands still, or is lost if nobody acts.
    NOW = 0
    SOON = 1
    #: Nothing is wrong, but it explains what is seen.
    NOTE = 2


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that needs a person. `said` and `todo` may have commands in backquotes."""

    kind: str
    urgency: Urgency
    said: str
    todo: str
    region: str = ""
    #: Text that a person or another system wrote, which belongs to the end of `said`.
    quoted: str = ""
    #: The screen of the next step, and what it is asked for.
    screen: str = ""
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RegionFigures:
    """The figures of one region."""

    counts: Counts
    lately: Lately
    hour: Hour
    log: LogState
    is_replaced: bool = False
    #: The newest acts of people, oldest first.
    acts: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class UnreadDecisions:
    """What is known of the pipeline's queue. `count`: None if it was never counted."""

    count: int | None
    age_s: float
    is_answering: bool
    grows_for_s: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """The figures of everything at one moment."""

    regions: Mapping[str, RegionFigures]
    #: Workers that have not signed out.
    seen: tuple[Presence, ...]
    endpoints: tuple[EndpointState, ...] = ()
    unread: UnreadDecisions | None = None
    #: The word with which Redis refuses writes; "" or None: it takes them, or that is not known.
    refusal: str | None = ""
    memory_share: float | None = None
    #: The parts of the audit log.
    audit: tuple[Part, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever enqueued."""
        return not any(region.counts.enqueued for region in self.regions.values())


def needs(fleet: Fleet) -> tuple[Need, ...]:
    """Return what needs a person, the most urgent first."""
    found = [*_redis(fleet), *_workers(fleet)]
    for name, region in fleet.regions.items():
        found += _region(name, region, has_workers=_works(fleet))
    found += [*_endpoints(fleet.endpoints), *_unread(fleet.unread), *_enqueued(fleet), *_audit(fleet)]
    return tuple(sorted(found, key=lambda need: need.urgency))


def _works(fleet: Fleet) -> bool:
    return any(not each.is_missing for each in fleet.seen)


def _redis(fleet: Fleet) -> Iterator[Need]:
    if fleet.refusal:
        yield Need(
            "redis_refuses",
            Urgency.NOW,
            f"Redis refuses to write ({fleet.refusal}): nothing is accepted, claimed or recorded.",
            "Run `ekyc doctor`; usually its memory is full.",
        )
    elif fleet.memory_share is not None and fleet.memory_share > MEMORY_SHARE:
        yield Need(
            "redis_fills_up",
            Urgency.SOON,
            f"The memory of Redis is {fleet.memory_share:.0%} full.",
            "Give it more memory before it refuses writes; `ekyc doctor` shows what uses it.",
        )


def _workers(fleet: Fleet) -> Iterator[Need]:
    present = [each.worker for each in fleet.seen if not each.is_missing]
    missing = [each.worker.name for each in fleet.seen if each.is_missing]
    if not present:
        # Without writes no worker can sign in, even if all of them run.
        if not fleet.refusal:
            yield Need(
                "no_worker",
                Urgency.NOW,
                f"No worker was seen in the last {WORKER_SEEN_S:.0f} s: verifications are accepted, and wait.",
                "Start workers: `celery -A worker worker`. If they run, their logs say what they wait for.",
            )
        return
    if missing:
        yield Need(
            "workers_missing",
            Urgency.SOON,
            f"{len(missing)} of {len(fleet.seen)} workers stopped without signing out, or do not reach Redis.",
            "See why they ended: memory, `kill -9`, the network. Others take over what they held.",
            quoted=", ".join(missing[:5]) + (" …" if len(missing) > 5 else ""),  # noqa: PLR2004 - a few names
        )
    tables = by_table(present)
    if len(tables) > 1:
        yield Need(
            "tables_differ",
            Urgency.SOON,
            "Workers use different decision tables, so a decision depends on the worker that makes it.",
            "Restart the workers that have the old table.",
            quoted=", ".join(f"{number} with {text}" for text, number in tables.items()),
            screen="decisions",
        )
    versions = Counter(worker.version for worker in present)
    if len(versions) > 1:
        yield Need(
            "versions_differ",
            Urgency.NOTE,
            f"Workers run {len(versions)} versions of the code, as during an update.",
            "If no update is running, restart the ones with the old version.",
            quoted=", ".join(f"{number} with {version}" for version, number in sorted(versions.items())),
        )
    signing = {worker.signing for worker in present}
    if len(signing) > 1:
        yield Need(
            "signing_differs",
            Urgency.SOON,
            "Workers do not all sign with the same keys.",
            "Give all of them the same EKYC_SIGNING_KEY, and restart the others.",
        )
    yield from _evidence_keys(present)


def _evidence_keys(present: Sequence[Worker]) -> Iterator[Need]:
    found = Counter(worker.evidence_keys for worker in present)
    if len(found) > 1:
        yield Need(
            "evidence_keys_differ",
            Urgency.NOW,
            "Workers have different keys of evidence: what one of them encrypts, others cannot open.",
            "Give every worker all of these keys, and restart the others. Throw no key away: evidence may need it.",
            quoted=", ".join(f"{number} with {ids or 'none'}" for ids, number in sorted(found.items())),
        )


def _region(name: str, region: RegionFigures, *, has_workers: bool) -> Iterator[Need]:
    counts = region.counts
    if region.is_replaced:
        yield Need(
            "ledger_replaced",
            Urgency.NOW,
            "Redis has another ledger than the one that the fleet knows: nothing is claimed.",
            "Find out what happened to the old Redis, then run `ekyc ledger accept`.",
            region=name,
        )
    for hold in counts.holds:
        yield _hold(hold, region.acts)
    if counts.oldest_due_s > OVERDUE_S and has_workers and not region.is_replaced:
        yield Need(
            "overdue",
            Urgency.NOW,
            f"The oldest verification is overdue by {span(counts.oldest_due_s)}.",
            "Start more workers. If they hang, their logs say why; EKYC_RATE may be too low.",
            region=name,
            screen="verifications",
            query=(("region", name),),
        )
    yield from _evidence(name, region)
    if region.lately.faults.get(BrokerUnavailable.cause):
        yield Need(
            "deliveries_stuck",
            Urgency.NOW,
            f"Decisions could not be written to the pipeline's queue, "
            f"{region.lately.faults[BrokerUnavailable.cause]:,} times in the last minutes.",
            "Check the broker of CELERY_BROKER_URL. The decisions wait in the ledger, none is lost.",
            region=name,
        )
    expired = region.hour.growth(lambda line: line.leases_expired)
    if expired >= MANY_EXPIRED:
        yield Need(
            "leases_expire",
            Urgency.SOON,
            f"{expired:,} leases expired in the last hour.",
            "Workers were killed or hang: see their logs and the kernel's.",
            region=name,
        )
    for reason, number in sorted(counts.quarantine.items(), key=lambda item: (-item[1], item[0])):
        yield Need(
            "quarantine",
            Urgency.SOON,
            f"{number:,} in quarantine: the pipeline gets no decision until a person retries or drops them.",
            f"`ekyc quarantine list --region {name}` lists them.",
            region=name,
            quoted=reason,
            screen="quarantine",
            query=(("region", name), ("reason", reason) if _CODE.fullmatch(reason) else ("reason", "")),
        )


def _hold(hold: Hold, acts: Sequence[Event]) -> Need:
    todo = f"Once its cause is gone, `ekyc resume {hold.region}` ends the hold."
    if hold.half_open:
        return Need(
            "half_open",
            Urgency.NOTE,
            "Half-open after a hold: a single verification probes the vendor. It was on hold for",
            f"Nothing, if the vendor answers. `ekyc resume {hold.region}` polls at full speed at once.",
            region=hold.region,
            quoted=hold.reason,
        )
    said = "On hold"
    if hold.word == _BY_HAND:
        who = next((act.worker for act in acts if act.name == "hold" and act.at_ms == hold.at_ms), "")
        quoted = f"{hold.reason} ({who})" if who else hold.reason
        return Need(
            "held_by_hand", Urgency.SOON, f"{said} by a person:", todo, region=hold.region, quoted=quoted
        )
    if hold.word in _ENDS_BY_ITSELF:
        return Need(
            "vendor",
            Urgency.SOON,
            f"{said} because of the vendor:",
            "The fleet polls again by itself. If this lasts, ask the vendor's support.",
            region=hold.region,
            quoted=hold.reason,
        )
    return Need(
        "account",
        Urgency.NOW,
        f"{said}, because the vendor refuses our account:",
        f"Fix the account with the vendor. {todo}",
        region=hold.region,
        quoted=hold.reason,
    )


def _evidence(name: str, region: RegionFigures) -> Iterator[Need]:
    if failed := region.lately.faults.get(EvidenceUnavailable.cause):
        yield Need(
            "evidence_failing",
            Urgency.NOW,
            f"The evidence store failed {failed:,} times in the last minutes: nothing is decided without evidence.",
            "Run `ekyc doctor`, and check the store of EKYC_EVIDENCE_URL and its credentials.",
            region=name,
        )
    if unknown := region.lately.faults.get(EvidenceKeyUnknown.cause):
        yield Need(
            "evidence_key_missing",
            Urgency.NOW,
            f"Workers met evidence under a key that they do not have, {unknown:,} times in the last minutes.",
            "Run `ekyc doctor`, and give all workers the key. Throw no key away: evidence may need it.",
            region=name,
        )
    if region.log.fault:
        yield Need(
            "log_damaged",
            Urgency.NOW,
            "The log of evidence was changed, cut off or rolled back: nothing is added to it.",
            f"Run `ekyc evidence verify --region {name}`. Evidence may have been changed.",
            region=name,
            quoted=region.log.fault,
        )
    elif region.log.unopened and region.log.oldest_pending_s > UNOPENED_S:
        yield Need(
            "log_unopened",
            Urgency.NOW,
            f"{region.log.unopened:,} verifications wait for the log of evidence for "
            f"{span(region.log.oldest_pending_s)}, because the workers cannot open their evidence, or doubt it.",
            "Run `ekyc doctor`, which says why and names a missing key. Throw no key away: evidence may need it.",
            region=name,
        )
    elif region.log.oldest_pending_s > LOG_BEHIND_S:
        yield Need(
            "log_behind",
            Urgency.SOON,
            f"{region.log.pending:,} verifications wait for the log of evidence, the oldest for "
            f"{span(region.log.oldest_pending_s)}.",
            "Is a worker running that has EKYC_LOG_KEY? See its log.",
            region=name,
        )


def _endpoints(endpoints: Iterable[EndpointState]) -> Iterator[Need]:
    for one in endpoints:
        if one.is_paused:
            yield _endpoint(
                one,
                "endpoint_paused",
                Urgency.SOON if one.paused_by else Urgency.NOW,
                f"The endpoint {one.name} is paused{'' if one.paused_by else ' for its failures'}, "
                f"{one.waiting:,} deliveries wait.",
                f"Once it works, `ekyc deliveries resume {one.name}` sends what waits.",
                quoted=f"{one.paused_why} ({one.paused_by})" if one.paused_by else one.paused_why or "",
            )
        elif one.failing_since_ms is not None and one.strain(LIMITS) >= STRAIN:
            yield _endpoint(
                one,
                "endpoint_failing",
                Urgency.SOON,
                f"The endpoint {one.name} has failed for {span((one.now_ms - one.failing_since_ms) / 1000)}, "
                f"{one.strain(LIMITS):.0%} of the way to its pause; {one.waiting:,} deliveries wait.",
                f"Inform the people who run it. `ekyc deliveries list --endpoint {one.name}` shows the faults.",
            )
        if one.failed:
            yield _endpoint(
                one,
                "given_up",
                Urgency.SOON,
                f"The endpoint {one.name} did not take {one.failed:,} deliveries: their tries are used up.",
                "Find out why, then resend them.",
            )
        late_s = overdue_s(one)
        if late_s > DELIVERY_LATE_S:
            yield _endpoint(
                one,
                "deliveries_late",
                Urgency.SOON,
                f"Deliveries to the endpoint {one.name} are overdue by {span(late_s)}.",
                "Are workers running that have EKYC_ENDPOINTS_FILE with it?",
            )


def _endpoint(  # noqa: PLR0913 - the parts of a need
    one: EndpointState, kind: str, urgency: Urgency, said: str, todo: str, *, quoted: str = ""
) -> Need:
    query = (("name", one.name),)
    return Need(kind, urgency, said, todo, one.region, quoted, screen="endpoint", query=query)


def _unread(unread: UnreadDecisions | None) -> Iterator[Need]:
    if unread is None:
        return
    if not unread.is_answering:
        yield Need(
            "broker_away",
            Urgency.SOON,
            "The broker does not answer, so the decisions that the pipeline has not read are not counted.",
            "Check the broker of CELERY_BROKER_URL; `ekyc doctor` shows what it answers.",
        )
    elif unread.count and unread.grows_for_s >= UNREAD_S:
        yield Need(
            "unread",
            Urgency.NOW,
            f"{unread.count:,} decisions wait in the pipeline's queue, which has not become shorter for "
            f"{span(unread.grows_for_s)}.",
            "Is the pipeline's consumer of the queue `onboarding` running?",
        )


def _enqueued(fleet: Fleet) -> Iterator[Need]:
    """A pipeline that is broken looks like a quiet hour."""
    if fleet.is_empty:
        return
    whole = [region.hour for region in fleet.regions.values() if region.hour.covers_s > 59 * 60]
    if whole and not any(region.hour.growth(lambda line: line.enqueued) for region in fleet.regions.values()):
        yield Need(
            "nothing_enqueued",
            Urgency.NOTE,
            "Nothing was enqueued in the last hour.",
            "If people are expected at this time, check the pipelines that enqueue.",
        )


def _audit(fleet: Fleet) -> Iterator[Need]:
    now_ms = max((region.counts.read_at_ms for region in fleet.regions.values()), default=0)
    for part in fleet.audit:
        if part.refused_lately(now_ms):
            yield Need(
                "audit_refuses",
                Urgency.SOON,
                f"The audit log took no entry of its part {part.name}, so an act was refused, and not done.",
                "Run `ekyc doctor`: people may be unable to act.",
                region=part.region,
            )
        if part.is_nearly_full:
            yield Need(
                "audit_full",
                Urgency.SOON,
                f"The audit log's part {part.name} is {part.used:.0%} full; a full one loses its oldest entries.",
                "Run `ekyc audit --since 1d` to see who acts so often, and keep the entries elsewhere.",
                region=part.region,
            )
