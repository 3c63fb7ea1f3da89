"""The checks after a run. Each yields a line for every problem that it finds; without a line it holds."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.decision import decision_id, load_decision
from schemas.errors import SchemaError
from tests.chaos.delays import delays
from tests.chaos.faults import DEATHS
from tests.chaos.population import REGIONS
from tests.chaos.touched import touched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.chaos.driver import Run
    from tests.chaos.faults import Injected
    from tests.chaos.pipeline import Received
    from tests.chaos.population import Traveller
    from tests.chaos.state import Record

#: Promise 4: what a killed worker held is taken up by another within this time.
LONGEST_DELAY_S: Final = 30.0

#: Faults that may occur between the delivery of a decision and its record.
_BETWEEN: Final = DEATHS | {"valkey_killed", "valkey_frozen", "connections_dropped"}

#: How long a delivered decision may take to reach the pipeline, and its delivery to be recorded.
_ON_ITS_WAY_MS: Final = 2000
_UNRECORDED_MS: Final = 5000

#: The share of all verifications that must be decided: a few are meant for quarantine.
_LEAST_DECIDED: Final = 0.9

#: Events that a done verification has exactly once. In a full timeline the first may be missing.
_ONCE: Final = ("settled", "archived", "delivered")

#: The sets in which a verification is at its end.
_PLACES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {"done": ((),), "quarantined": (("quarantine",),)}

_FULL: Final = 64


@dataclass(frozen=True, slots=True)
class Check:
    """A statement about a run, and the problems that contradict it."""

    promise: str
    against: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.against


def check(run: Run) -> list[Check]:
    """Return all checks of a run."""
    return [Check(promise, tuple(find(run))) for promise, find in _CHECKS.items()]


def duplicates(run: Run) -> list[tuple[Received, Received]]:
    """Return every second delivery, with the first one before it."""
    first: dict[str, Received] = {}
    found = []
    for received in run.received:
        before = first.setdefault(received.message_id, received)
        if before is not received:
            found.append((before, received))
    return found


def crashes(run: Run) -> list[Injected]:
    """Return the faults that may have caused a second delivery."""
    return [injected for injected in run.injected if injected.strike.fault in _BETWEEN]


def quarantined(run: Run) -> dict[str, list[str]]:
    """Return the ids in quarantine, by reason."""
    found: dict[str, list[str]] = {}
    for (_, signature_id), record in run.state.records.items():
        if record.fields.get("s") == "quarantined":
            found.setdefault(record.fields.get("q", ""), []).append(signature_id)
    return found


def kills(run: Run) -> list[Injected]:
    """Return the kills of workers that were ready: others prove nothing."""
    return [
        injected for injected in run.injected if injected.strike.fault == "worker_killed" and injected.ready
    ]


def _lost(run: Run) -> Iterator[str]:
    delivered = {received.message_id for received in run.received}
    least = math.ceil(_LEAST_DECIDED * run.profile.verifications)
    if len(delivered) < least:
        yield f"{len(delivered)} were decided, and at least {least} must be"
    for traveller in run.accepted:
        record = run.state.records.get((traveller.region, traveller.signature_id))
        in_quarantine = record is not None and "quarantine" in record.places
        decided = decision_id(traveller.region, traveller.signature_id) in delivered
        if in_quarantine and not (record and record.fields.get("q")):
            yield f"{traveller.signature_id} is in quarantine without a reason"
        if in_quarantine and traveller.decision is not None:
            yield (
                f"{traveller.signature_id} is in quarantine for {record and record.fields.get('q')}, "
                f"and should be decided as {traveller.decision}"
            )
        if in_quarantine and decided:
            yield f"{traveller.signature_id} is in quarantine and was decided"
        if not in_quarantine and not decided:
            yield f"{traveller.signature_id} has no decision and is not in quarantine: {_where(record)}"
    known = {decision_id(traveller.region, traveller.signature_id) for traveller in run.accepted}
    for unknown in sorted(delivered - known):
        yield f"the pipeline received {unknown}, which was never enqueued"


def _where(record: Record | None) -> str:
    if record is None:
        return "the ledger does not know it"
    last = record.timeline[-1] if record.timeline else None
    return f"{record.fields.get('s')} in {', '.join(record.places) or 'no set'}, last {last and last.event}"


def _wrong(run: Run) -> Iterator[str]:
    travellers = {
        decision_id(traveller.region, traveller.signature_id): traveller for traveller in run.accepted
    }
    for received in run.received:
        if received.message_id in travellers:
            yield from _wrong_decision(received, travellers[received.message_id])


def _wrong_decision(received: Received, traveller: Traveller) -> Iterator[str]:
    try:
        decision = load_decision(received.decision)
    except SchemaError as error:
        yield f"{traveller.signature_id}: {error}"
        return
    if decision.decision != traveller.decision:
        yield f"{traveller.signature_id} was decided as {decision.decision}, not as {traveller.decision}"
    if received.task != f"onboarding.{decision.decision}":
        yield f"{traveller.signature_id} was delivered as {received.task}"
    if (decision.id, decision.signature_id) != (received.message_id, traveller.signature_id):
        yield f"{traveller.signature_id} was delivered with the decision of another"
    if decision.context != traveller.context:
        yield f"{traveller.signature_id} was delivered with another context"


def _different(run: Run) -> Iterator[str]:
    for first, second in duplicates(run):
        if first.content != second.content:
            yield f"{second.message_id} was delivered twice, with different bytes"


def _too_many(run: Run) -> Iterator[str]:
    found, causes = duplicates(run), crashes(run)
    if len(found) > len(causes):
        yield f"{len(found)} second deliveries after {len(causes)} crashes"
    for first, second in found:
        if not any(_came_between(crash, first, second) for crash in causes):
            yield f"{second.message_id} was delivered twice, though no fault had kept the first from being recorded"


def _came_between(crash: Injected, first: Received, second: Received) -> bool:
    """Return whether a crash, of the sender or of Valkey, may have kept the first delivery from being recorded."""
    if crash.strike.fault in DEATHS and crash.pid != first.sender_pid:
        return False
    begin_ms, end_ms = first.at_ms - _ON_ITS_WAY_MS, min(first.at_ms + _UNRECORDED_MS, second.at_ms)
    return crash.span.begin_ms <= end_ms and crash.span.end_ms >= begin_ms


def _evidence(run: Run) -> Iterator[str]:
    delivered = {received.message_id for received in run.received}
    for traveller in run.accepted:
        if decision_id(traveller.region, traveller.signature_id) in delivered:
            faults = run.state.evidence.get((traveller.region, traveller.signature_id), ["there is none"])
            yield from (f"{traveller.signature_id}: {fault}" for fault in faults)


def _unlogged(run: Run) -> Iterator[str]:
    """Yield what is wrong with the log of evidence: by the auditor, and by the decisions that the pipeline got."""
    yield from run.log_findings
    if run.log_pending:
        yield "verifications still wait to be logged"
    delivered = {received.message_id for received in run.received}
    for region in REGIONS:
        logged = Counter(run.state.logged.get(region, ()))
        decided = [
            traveller.signature_id
            for traveller in run.accepted
            if traveller.region == region and decision_id(region, traveller.signature_id) in delivered
        ]
        yield from (f"{region}/{each} is decided, and not in the log" for each in decided if not logged[each])


def _ledger(run: Run) -> Iterator[str]:
    for region in REGIONS:
        accepted = {traveller.signature_id for traveller in run.accepted if traveller.region == region}
        records = {
            signature_id: record
            for (where, signature_id), record in run.state.records.items()
            if where == region
        }
        if accepted != set(records):
            yield f"{region}: {len(accepted ^ set(records))} are known on one side only"
        for signature_id, record in records.items():
            yield from (f"{signature_id}: {fault}" for fault in _misplaced(record))
        yield from (f"{region}: {fault}" for fault in _miscounted(run, region, records))


def _misplaced(record: Record) -> Iterator[str]:
    stage = record.fields.get("s", "")
    pipeline = record.fields.get("P")
    on_its_way = (("leased",), (f"due:{stage}",), (f"due:{stage}:{pipeline}",))
    if record.places not in _PLACES.get(stage, on_its_way):
        yield f"{stage or 'unknown'}, and in {', '.join(record.places) or 'no set'}"
    moments = [moment.at_ms for moment in record.timeline]
    if moments != sorted(moments):
        yield "its timeline is out of order"
    if stage == "done" and len(record.timeline) < _FULL:
        events = Counter(moment.event for moment in record.timeline)
        yield from (f"{event} {events[event]} times" for event in _ONCE if events[event] != 1)


def _miscounted(run: Run, region: str, records: dict[str, Record]) -> Iterator[str]:
    stages = Counter(record.fields.get("s") for record in records.values())
    reasons = Counter(
        record.fields.get("q") for record in records.values() if record.fields.get("s") == "quarantined"
    )
    deliveries = {
        received.message_id: received for received in run.received if received.decision["region"] == region
    }
    expected = {
        "enqueued": len(records),
        "done": stages["done"],
        "polls": sum(int(record.fields.get("p", 0)) for record in records.values()),
        **{f"quarantine:{reason}": number for reason, number in reasons.items()},
    }
    names = Counter(received.task.removeprefix("onboarding.") for received in deliveries.values())
    expected |= {f"decision:{name}": number for name, number in names.items()}
    counters = run.state.counters.get(region, {})
    for name, number in expected.items():
        if counters.get(name, 0) != number:
            yield f"the counter {name} is {counters.get(name, 0)}, there are {number}"
    answers = sum(number for name, number in counters.items() if name.startswith("answer:"))
    if answers != counters.get("polls", 0):
        yield f"{answers} answers and {counters.get('polls', 0)} polls were counted"


def _left(run: Run) -> Iterator[str]:
    if run.finished_s is None:
        yield f"the fleet was not done after {run.profile.patience_s:.0f} s"
    for region, sets in run.state.sets.items():
        yield from (
            f"{region}: {number} in {name}"
            for name, number in sets.items()
            if number and name != "quarantine"
        )


def _stuck(run: Run) -> Iterator[str]:
    if not run.canaries_done:
        yield "verifications that were enqueued after all faults were not done in time"
    for worker, doing in run.doing.items():
        if doing is None:
            yield f"{worker} did not answer"
        elif doing:
            yield f"{worker} was still at work on {len(doing)} tasks"
    yield from (f"{worker} ended unexpectedly" for worker in run.deserters)
    for worker, code in run.exit_codes.items():
        if code != 0:
            yield (
                f"{worker} did not end after SIGTERM"
                if code is None
                else f"{worker} ended with exit code {code}"
            )


def _delayed(run: Run) -> Iterator[str]:
    for delay in delays(run):
        if delay.delay_s is None:
            yield f"{delay.key[1]} lost its batch after {delay.after} and was never started again"
        elif delay.delay_s > LONGEST_DELAY_S:
            yield f"{delay.key[1]} was delayed for {delay.delay_s:.1f} s after {delay.after}"


def _unexplained(run: Run) -> Iterator[str]:
    for delay in delays(run):
        if delay.unexplained:
            yield f"{delay.key[1]} lost {delay.unexplained} leases that no fault explains; before that: {delay.after}"


def _forgotten(run: Run) -> Iterator[str]:
    if run.lost_writes:
        yield f"{run.lost_writes} writes that Valkey had acknowledged were lost: this run proves nothing about losses"


def _missed(run: Run) -> Iterator[str]:
    """Yield the kinds of fault that had no effect: a run without effective faults proves nothing."""
    most: dict[str, int] = {}
    for injected, keys in zip(run.injected, touched(run, delays(run)), strict=True):
        most[injected.strike.fault] = max(most.get(injected.strike.fault, 0), len(keys))
    yield from (f"{fault} touched no verification" for fault, number in most.items() if not number)
    if len(kills(run)) < run.profile.least_kills:
        yield f"{len(kills(run))} ready workers were killed, and at least {run.profile.least_kills} must be"


def _too_gentle(run: Run) -> Iterator[str]:
    """Check the share of faults within four standard deviations, which chance exceeds once in 16,000 runs."""
    rate, answers = run.profile.fault_rate, run.usual.answers
    if abs(run.usual.faults - rate * answers) > 4 * math.sqrt(rate * (1 - rate) * answers) or not answers:
        yield f"{run.usual.faults} of {answers} answers outside of outages were faults"


def _leaked(run: Run) -> Iterator[str]:
    yield from (f"{name} has personal data in it" for name in run.state.leaks)


_CHECKS: Final[dict[str, Callable[[Run], Iterable[str]]]] = {
    "every accepted verification has one decision at the pipeline, or is in quarantine if expected": _lost,
    "every decision is the expected one": _wrong,
    "a second delivery has the same bytes": _different,
    "there are no more second deliveries than crashes, and a crash explains each": _too_many,
    "the evidence of every decision is complete, and its hashes match": _evidence,
    "the log of evidence verifies, and has every decided verification": _unlogged,
    "the ledger's records, sets and counters agree": _ledger,
    "nothing is left leased or due": _left,
    "no worker is stuck": _stuck,
    f"a crash delays no verification by more than {LONGEST_DELAY_S:.0f} s": _delayed,
    "no lease expires without a fault that explains it": _unexplained,
    "no personal data is readable, in the encrypted evidence or elsewhere": _leaked,
    "every kind of fault touched some verification, and enough workers were killed": _missed,
    "the share of faults in the vendor's answers (tokens, results, images) is as configured": _too_gentle,
    "Valkey kept all acknowledged writes": _forgotten,
}
