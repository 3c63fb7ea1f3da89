"""What must be true when all is over. Each check says every fault that it finds in a line; none: it holds."""

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

#: Promise 4: what a killed worker held is picked up by another within this.
LONGEST_DELAY_S: Final = 30.0

#: What may come between delivering a decision and recording that it was delivered.
_BETWEEN: Final = DEATHS | {"valkey_killed", "valkey_frozen", "connections_dropped"}

#: How long a delivered decision may lie before the pipeline has it, and how long before its delivery is recorded.
_ON_ITS_WAY_MS: Final = 2000
_UNRECORDED_MS: Final = 5000

#: Of all that travel so many must be decided: a few are meant for quarantine.
_LEAST_DECIDED: Final = 0.9

#: Events of which a verification that is done has exactly one. With a full timeline the first may have gone.
_ONCE: Final = ("settled", "archived", "delivered")

#: The sets that a verification stands in once it has come to its end.
_PLACES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {"done": ((),), "quarantined": (("quarantine",),)}

_FULL: Final = 64


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be true, and what speaks against it."""

    promise: str
    against: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.against


def check(run: Run) -> list[Check]:
    """Every check on a run."""
    return [Check(promise, tuple(find(run))) for promise, find in _CHECKS.items()]


def duplicates(run: Run) -> list[tuple[Received, Received]]:
    """Every delivery after the first, beside the first."""
    first: dict[str, Received] = {}
    found = []
    for received in run.received:
        before = first.setdefault(received.message_id, received)
        if before is not received:
            found.append((before, received))
    return found


def crashes(run: Run) -> list[Injected]:
    """What may have caused a second delivery."""
    return [one for one in run.injected if one.strike.fault in _BETWEEN]


def quarantined(run: Run) -> dict[str, list[str]]:
    """Who stands in quarantine, by reason."""
    found: dict[str, list[str]] = {}
    for (_, signature_id), record in run.state.records.items():
        if record.fields.get("s") == "quarantined":
            found.setdefault(record.fields.get("q", ""), []).append(signature_id)
    return found


def kills(run: Run) -> list[Injected]:
    """Deaths of workers that were ready: others would prove nothing."""
    return [one for one in run.injected if one.strike.fault == "worker_killed" and one.ready]


def _lost(run: Run) -> Iterator[str]:
    delivered = {received.message_id for received in run.received}
    least = math.ceil(_LEAST_DECIDED * run.profile.verifications)
    if len(delivered) < least:
        yield f"{len(delivered)} were decided, and at least {least} must be"
    for one in run.accepted:
        record = run.state.records.get((one.region, one.signature_id))
        in_quarantine = record is not None and "quarantine" in record.places
        decided = decision_id(one.region, one.signature_id) in delivered
        if in_quarantine and not (record and record.fields.get("q")):
            yield f"{one.signature_id} stands in quarantine without a reason"
        if in_quarantine and one.decision is not None:
            yield (
                f"{one.signature_id} stands in quarantine for {record and record.fields.get('q')}, "
                f"and had to come to {one.decision}"
            )
        if in_quarantine and decided:
            yield f"{one.signature_id} stands in quarantine and was decided"
        if not in_quarantine and not decided:
            yield f"{one.signature_id} has no decision and is not in quarantine: {_where(record)}"
    known = {decision_id(one.region, one.signature_id) for one in run.accepted}
    for stranger in sorted(delivered - known):
        yield f"the pipeline was told {stranger}, which nobody asked for"


def _where(record: Record | None) -> str:
    if record is None:
        return "the ledger does not know it"
    last = record.timeline[-1] if record.timeline else None
    return f"{record.fields.get('s')} in {', '.join(record.places) or 'no set'}, last {last and last.event}"


def _wrong(run: Run) -> Iterator[str]:
    travellers = {decision_id(one.region, one.signature_id): one for one in run.accepted}
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
        yield f"{traveller.signature_id} came to {decision.decision}, not to {traveller.decision}"
    if received.task != f"onboarding.{decision.decision}":
        yield f"{traveller.signature_id} came as {received.task}"
    if (decision.id, decision.signature_id) != (received.message_id, traveller.signature_id):
        yield f"{traveller.signature_id} came with the decision of another"
    if decision.context != traveller.context:
        yield f"{traveller.signature_id} came with another context"


def _different(run: Run) -> Iterator[str]:
    for first, second in duplicates(run):
        if first.content != second.content:
            yield f"{second.message_id} came twice, with other bytes"


def _too_many(run: Run) -> Iterator[str]:
    found, causes = duplicates(run), crashes(run)
    if len(found) > len(causes):
        yield f"{len(found)} second deliveries after {len(causes)} crashes"
    for first, second in found:
        if not any(_came_between(one, first, second) for one in causes):
            yield f"{second.message_id} came twice, and nothing had cut its delivery off from the ledger"


def _came_between(crash: Injected, first: Received, second: Received) -> bool:
    """Whether a crash may have kept the first delivery from being recorded: its sender's, or Valkey's, just then."""
    if crash.strike.fault in DEATHS and crash.pid != first.sender_pid:
        return False
    begin_ms, end_ms = first.at_ms - _ON_ITS_WAY_MS, min(first.at_ms + _UNRECORDED_MS, second.at_ms)
    return crash.span.begin_ms <= end_ms and crash.span.end_ms >= begin_ms


def _evidence(run: Run) -> Iterator[str]:
    delivered = {received.message_id for received in run.received}
    for one in run.accepted:
        if decision_id(one.region, one.signature_id) in delivered:
            faults = run.state.evidence.get((one.region, one.signature_id), ["there is none"])
            yield from (f"{one.signature_id}: {fault}" for fault in faults)


def _ledger(run: Run) -> Iterator[str]:
    for region in REGIONS:
        accepted = {one.signature_id for one in run.accepted if one.region == region}
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
    on_its_way = (("leased",), (f"due:{stage}",))
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
    told = {
        received.message_id: received for received in run.received if received.decision["region"] == region
    }
    expected = {
        "enqueued": len(records),
        "done": stages["done"],
        "polls": sum(int(record.fields.get("p", 0)) for record in records.values()),
        **{f"quarantine:{reason}": number for reason, number in reasons.items()},
    }
    names = Counter(received.task.removeprefix("onboarding.") for received in told.values())
    expected |= {f"decision:{name}": number for name, number in names.items()}
    counters = run.state.counters.get(region, {})
    for name, number in expected.items():
        if counters.get(name, 0) != number:
            yield f"the counter {name} is {counters.get(name, 0)}, there are {number}"
    of_kinds = sum(number for name, number in counters.items() if name.startswith("answer:"))
    if of_kinds != counters.get("polls", 0):
        yield f"{of_kinds} answers and {counters.get('polls', 0)} polls were counted"


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
    yield from (f"{worker} ended, and nobody had told it to" for worker in run.deserters)
    for worker, code in run.exit_codes.items():
        if code != 0:
            yield (
                f"{worker} did not end at SIGTERM"
                if code is None
                else f"{worker} ended with exit code {code}"
            )


def _delayed(run: Run) -> Iterator[str]:
    for one in delays(run):
        if one.delay_s is None:
            yield f"{one.key[1]} lost its batch after {one.after} and was never taken up"
        elif one.delay_s > LONGEST_DELAY_S:
            yield f"{one.key[1]} lay for {one.delay_s:.1f} s after {one.after}"


def _unexplained(run: Run) -> Iterator[str]:
    for one in delays(run):
        if one.unexplained:
            yield f"{one.key[1]} lost {one.unexplained} leases, and nothing had been broken; before that: {one.after}"


def _forgotten(run: Run) -> Iterator[str]:
    if run.lost_writes:
        yield f"{run.lost_writes} writes that Valkey had acknowledged were gone: this run proves nothing about losses"


def _missed(run: Run) -> Iterator[str]:
    """A run that breaks nothing proves nothing."""
    most: dict[str, int] = {}
    for one, keys in zip(run.injected, touched(run, delays(run)), strict=True):
        most[one.strike.fault] = max(most.get(one.strike.fault, 0), len(keys))
    yield from (f"{fault} touched nobody" for fault, number in most.items() if not number)
    if len(kills(run)) < run.profile.least_kills:
        yield f"{len(kills(run))} workers that were ready were killed, not {run.profile.least_kills}"


def _too_gentle(run: Run) -> Iterator[str]:
    """Within four standard deviations: chance alone goes further once in 16,000 runs."""
    rate, answers = run.profile.fault_rate, run.usual.answers
    if abs(run.usual.faults - rate * answers) > 4 * math.sqrt(rate * (1 - rate) * answers) or not answers:
        yield f"{run.usual.faults} of {answers} answers outside of outages were faults"


def _leaked(run: Run) -> Iterator[str]:
    yield from (f"{name} holds personal data" for name in run.state.leaks)


_CHECKS: Final[dict[str, Callable[[Run], Iterable[str]]]] = {
    "every accepted verification has one decision at the pipeline, or stands in quarantine if it had to": _lost,
    "every decision is the one that its verification had to come to": _wrong,
    "a second delivery has the same bytes": _different,
    "there are no more second deliveries than crashes, and each follows one that cut it off": _too_many,
    "the evidence of all that is decided is complete, and its hashes hold": _evidence,
    "the ledger's records, sets and counters agree": _ledger,
    "nothing is left leased or due": _left,
    "no worker is stuck": _stuck,
    f"a crash delays nobody by more than {LONGEST_DELAY_S:.0f} s": _delayed,
    "no lease ends without a fault that may have ended it": _unexplained,
    "no personal data outside of the evidence store": _leaked,
    "every kind of fault touched somebody, and enough workers were killed": _missed,
    "faults struck the vendor's answers, of tokens, results and images, as often as they should": _too_gentle,
    "Valkey kept what it had acknowledged": _forgotten,
}
