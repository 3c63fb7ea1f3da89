"""Retention: until when each verification is kept, and the sweep that erases what is over age."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from worker.errors import EvidenceConflict, EvidenceErased, EvidenceKeyUnknown, EvidenceUnavailable
from worker.evidence import paths
from worker.evidence.keys import Tombstone
from worker.evidence.marks import Act, rfc3339
from worker.policy.retention import UNDECIDED, Clock, Rule
from worker.records.erasure import AlreadyErased, NotErased, Order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from worker.evidence.store import Evidence, VerificationEvidence
    from worker.policy.retention import Retention
    from worker.records.erasure import Eraser

_Item = TypeVar("_Item")

#: Verifications that are read at a time, and by how many threads: a bucket answers each read in some 20 ms.
SLICE: Final = 200
THREADS: Final = 16

#: Erasures at a time: most of each is a call of the vendor.
ERASERS: Final = 4

#: How far the clocks of this machine and of Redis may differ during a sweep.
MOST_SKEW: Final = timedelta(minutes=1)

#: The decision of evidence from before decisions were stored with it: the one that is kept longest by default.
BEFORE: Final = "approve"

#: What stands for the decision of a verification whose erasure has begun and not ended.
UNENDED: Final = "erasure not ended"

#: Until when it is kept: it is over age whatever time its file names, which a stranger may have written.
BEGUN: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Kept:
    """Until when the evidence of a verification is kept.

    Parameters:
        decision: its name; "" without one.
        decided_at: when it was decided; without a decision, when the newest file was stored, without reviews and marks.
        until: None: without an end, or nobody has said when the relationship ended.
    """

    region: str
    signature_id: str
    decision: str
    decided_at: datetime
    closed_at: datetime | None
    held: bool
    rule: Rule
    until: datetime | None

    def is_over(self, now: datetime) -> bool:
        """Whether it is over age, and not on legal hold."""
        return not self.held and self.until is not None and self.until <= now


@dataclass(slots=True)
class Survey:
    """What a walk through the evidence found.

    Parameters:
        seen: verifications with evidence, without the erased ones.
        over: those that are over age.
        held: how many are kept only by a legal hold.
        unreadable: how many could not be judged, so they are kept. `ekyc evidence verify` says why.
    """

    seen: int = 0
    over: list[Kept] = field(default_factory=list)
    held: int = 0
    unreadable: list[str] = field(default_factory=list)

    def counts(self) -> dict[tuple[str, str], tuple[int, datetime]]:
        """Return by region and decision how many are over age, and when the oldest was decided."""
        found: dict[tuple[str, str], tuple[int, datetime]] = {}
        for each in self.over:
            key = (each.region, each.decision)
            count, oldest = found.get(key, (0, each.decided_at))
            found[key] = (count + 1, min(oldest, each.decided_at))
        return dict(sorted(found.items()))


@dataclass(slots=True)
class Swept:
    """What a sweep did so far. `refused`: a line for each that was not erased."""

    erased: int = 0
    refused: list[str] = field(default_factory=list)


def kept(evidence: Evidence, rules: Retention, region: str, signature_id: str) -> Kept | None:
    """Return until when a verification is kept; None: there is no evidence of it, or it is erased.

    Raises ``EvidenceConflict`` and ``EvidenceKeyUnknown`` if that cannot be told, and ``EvidenceUnavailable``.
    """
    found = _found(evidence, rules, region, signature_id)
    return found if isinstance(found, Kept) else None


def _found(evidence: Evidence, rules: Retention, region: str, signature_id: str) -> Kept | Tombstone | None:
    lifecycle, one = evidence.lifecycle(region, signature_id), evidence.of(region, signature_id)
    key = lifecycle.key()
    if isinstance(key, Tombstone):
        return key
    try:
        decided = _decided(one)
    except EvidenceErased:
        return None
    if decided is None:
        return None
    name, decided_at = decided
    closed_at = lifecycle.closed()
    return Kept(
        region,
        signature_id,
        name,
        decided_at,
        closed_at,
        held=lifecycle.holds().in_force is not None,
        rule=rules.rule(region, name),
        until=rules.until(region, name, decided=decided_at, closed=closed_at),
    )


def _decided(one: VerificationEvidence) -> tuple[str, datetime] | None:
    """Return the name of the decision and its time; None: there is no evidence."""
    if record := one.decision():
        try:
            return record.decision.decision, record.decision.decided_at.astimezone(UTC)
        except OverflowError:
            raise EvidenceConflict("DECISION_UNREADABLE", f"{one.url}: its time cannot be read") from None
    if manifest := one.manifest():
        try:
            return BEFORE, datetime.fromisoformat(manifest.archived_at).astimezone(UTC)
        except (ValueError, OverflowError):
            raise EvidenceConflict("MANIFEST_UNREADABLE", f"{one.url}: its time cannot be read") from None
    stored = [
        file.kept_at
        for file in one.files()
        # What is noted about it later must not renew its age.
        if file.name not in paths.MARKS and paths.review_number(file.name) is None
    ]
    return (UNDECIDED, max(stored)) if stored else None


def kept_json(each: Kept) -> dict[str, Any]:
    """Return the members of its JSON."""
    return {
        "region": each.region,
        "signature_id": each.signature_id,
        "decision": each.decision or None,
        "decided_at": rfc3339(each.decided_at),
        "closed_at": each.closed_at and rfc3339(each.closed_at),
        "rule": str(each.rule),
        "until": each.until and rfc3339(each.until),
        "held": each.held,
    }


def until_text(each: Kept) -> str:
    """Until when a verification is kept, for people."""
    if each.until is not None:
        said = f"kept until {rfc3339(each.until)}"
    elif each.rule.clock is Clock.CLOSED and each.closed_at is None and not each.rule.period.is_endless:
        said = "kept: nobody has said when the relationship ended"
    else:
        said = "kept without an end"
    return f"{said}, and is on legal hold" if each.held else said


def survey(
    evidence: Evidence,
    rules: Retention,
    regions: Sequence[str],
    now: datetime,
    advance: Callable[[int], object] = lambda _: None,
) -> Survey:
    """Walk through the evidence. `advance` is called with the number seen so far.

    Raises ``EvidenceUnavailable`` if the store is away, not for one object, and ``EvidenceKeyUnknown`` if there is
    encrypted evidence and no key is set here.
    """
    found = Survey()
    with ThreadPoolExecutor(THREADS) as threads:
        for region in regions:
            for ids in _slices(evidence.ids(region)):
                judged = threads.map(lambda each, region=region: _judged(evidence, rules, region, each), ids)
                for each in judged:
                    _count(found, each, now)
                advance(found.seen)
    return found


def _judged(evidence: Evidence, rules: Retention, region: str, signature_id: str) -> Kept | str | None:
    try:
        found = _found(evidence, rules, region, signature_id)
        if isinstance(found, Tombstone):
            return _unended(evidence, found, rules, region, signature_id)
        return _planned(evidence, found, rules, region, signature_id) or found
    except EvidenceConflict as error:
        return f"{region}/{signature_id}: {error.reason}"
    except EvidenceKeyUnknown as error:
        # Without any key the setting is missing, and not the key of this verification.
        if not evidence.keys.are_on:
            raise
        return f"{region}/{signature_id}: {error.cause}"
    except EvidenceUnavailable as error:
        # One object that cannot be read must not stop the others.
        evidence.check_answers()
        return f"{region}/{signature_id}: {error}"


def _unended(
    evidence: Evidence, tombstone: Tombstone, rules: Retention, region: str, signature_id: str
) -> Kept | None:
    """Return an erasure that was killed, or did not reach the vendor, as over age; None: it has ended."""
    if tombstone.certificate is not None and not evidence.lifecycle(region, signature_id).has_plan():
        return None
    try:
        at = datetime.fromisoformat(tombstone.at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise EvidenceConflict(
            "KEY_UNREADABLE", f"{region}/{signature_id}: its time cannot be read"
        ) from None
    rule = rules.rule(region, UNDECIDED)
    return Kept(region, signature_id, UNENDED, at, None, held=False, rule=rule, until=BEGUN)


def _planned(
    evidence: Evidence, found: Kept | None, rules: Retention, region: str, signature_id: str
) -> Kept | None:
    """Return an erasure that was killed after its plan, which a sweep checks, as over age; None: there is none."""
    try:
        plan = evidence.lifecycle(region, signature_id).plan()
    except (EvidenceConflict, EvidenceKeyUnknown):  # none of ours
        return None
    if plan is None:
        return None
    rule, held = rules.rule(region, UNDECIDED), found is not None and found.held
    return Kept(region, signature_id, UNENDED, plan.act.at, None, held=held, rule=rule, until=BEGUN)


def _count(found: Survey, each: Kept | str | None, now: datetime) -> None:
    if each is None:
        return
    found.seen += 1
    if isinstance(each, str):
        found.unreadable.append(each)
    elif each.is_over(now):
        found.over.append(each)
    elif each.held and each.until is not None and each.until <= now:
        found.held += 1


def sweep(
    eraser: Eraser,
    rules: Retention,
    over: Sequence[Kept],
    *,
    who: str,
    advance: Callable[[Swept], object] = lambda _: None,
) -> Iterator[Swept]:
    """Erase what is over age, in slices; yields after each slice, so that the caller may stop there.

    Each is judged once more right before: a hold or a later closing time may have come since the survey. A sweep that
    was stopped or killed is continued by the next one. Raises ``LedgerUnavailable``, ``EvidenceUnavailable``, and
    ``NotErased`` if this machine's clock is not that of Redis.
    """
    swept = Swept()
    with ThreadPoolExecutor(ERASERS) as threads:
        try:
            for slice_ in _slices(over):
                _check_clock(eraser)
                done: Counter[str] = Counter()
                outcomes = threads.map(lambda each: _sweep_one(eraser, rules, each, who), slice_)
                for each, outcome in zip(slice_, outcomes, strict=True):
                    if outcome is None:
                        swept.erased += 1
                        done[each.region] += 1
                    elif outcome:
                        swept.refused.append(outcome)
                    advance(swept)
                for region, count in done.items():
                    eraser.ledger.note(region, "retention", f"erased {count} over age", who=who)
                yield swept
        except BaseException:
            # What is being erased is completed; nothing new begins.
            threads.shutdown(cancel_futures=True)
            raise


def _slices(items: Iterable[_Item]) -> Iterator[tuple[_Item, ...]]:
    rest = iter(items)
    while slice_ := tuple(islice(rest, SLICE)):
        yield slice_


def _check_clock(eraser: Eraser) -> None:
    """Refuse a sweep by one wrong clock, which would erase what is not over age."""
    skew = abs(eraser.now() - eraser.ledger.clock())
    if skew > MOST_SKEW:
        raise NotErased(
            f"the clocks of this machine and of Redis differ by {skew.total_seconds():.0f} s: "
            "synchronise both with NTP, then sweep again"
        )


def _sweep_one(eraser: Eraser, rules: Retention, each: Kept, who: str) -> str | None:
    """Erase one. Returns why it was not erased; "": it was erased before."""
    now = eraser.now()
    try:
        judged = kept(eraser.evidence, rules, each.region, each.signature_id)
        begun = each.decision == UNENDED and not (judged and judged.is_over(now))
        if judged is not None and not judged.is_over(now) and (judged.held or not begun):
            return f"{each.region}/{each.signature_id} is no longer over age, or on legal hold"
        why = f"retention: {each.decision or 'undecided'} is kept for {each.rule}"
        if each.decision == UNENDED:
            why = "retention: an erasure that had not ended"
        eraser.erase(Order(each.region, each.signature_id, Act(now, who, why), over_age=True, begun=begun))
    except AlreadyErased:
        return ""
    except (NotErased, EvidenceConflict, EvidenceKeyUnknown) as error:
        return str(error)
    except EvidenceUnavailable as error:
        eraser.evidence.check_answers()
        return f"{each.region}/{each.signature_id}: {error}"
    return None
