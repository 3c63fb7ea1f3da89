"""The checks of a demo. Pure: from findings to checks."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sandbox.demo.console import NOW
from sandbox.demo.endpoint import DECISIONS
from sandbox.demo.plan import Way
from schemas.decision import decision_id
from worker.ledger.models import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from sandbox.demo.findings import Findings, Kept
    from sandbox.demo.plan import Planned

#: Problems of one check that are listed; further ones are only counted.
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Check:
    """A statement about the demo, and the problems that contradict it."""

    name: str
    promise: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def checks(findings: Findings) -> tuple[Check, ...]:
    """Return all checks, passed and failed."""
    return tuple(_check(name, promise, list(look(findings))) for name, promise, look in _CHECKS)


def _check(name: str, promise: str, problems: list[str]) -> Check:
    more = [f"… and {len(problems) - _MOST_NAMED} more"] if len(problems) > _MOST_NAMED else []
    return Check(name, promise, (*problems[:_MOST_NAMED], *more))


def _accepted(findings: Findings) -> Iterator[str]:
    by_way = Counter(planned.way for planned in findings.plan.all)
    for way, count in by_way.items():
        if findings.accepted.get(way, 0) != count:
            yield f"{way}: {findings.accepted.get(way, 0)} of {count}"
    if findings.counts.enqueued != by_way.total():
        yield f"the ledger has {findings.counts.enqueued} of {by_way.total()}"


def _sent_again(findings: Findings) -> Iterator[str]:
    if not findings.http.repeated_alike:
        yield "the second answer differs from the first"


def _accounted_for(findings: Findings) -> Iterator[str]:
    delivered = findings.deliveries
    for planned in findings.plan.all:
        status = findings.statuses.get(planned.signature_id)
        stage = status.verification.stage if status else None
        expected = Stage.DONE if planned.signature_id in delivered else Stage.QUARANTINED
        if stage is not expected:
            had = "has" if planned.signature_id in delivered else "has not"
            yield f"{_named(planned)}: in the ledger it is {stage or 'unknown'}, the pipeline {had} its decision"
    for unknown in sorted(delivered.keys() - {planned.signature_id for planned in findings.plan.all}):
        yield f"{unknown}: decided, but never enqueued"


def _one_decision(findings: Findings) -> Iterator[str]:
    for planned in findings.plan.all:
        received = findings.deliveries.get(planned.signature_id, [])
        ids = {delivery.decision["id"] for delivery in received}
        if ids - {decision_id(planned.region, planned.signature_id)}:
            yield f"{_named(planned)}: its decision has a wrong id"
        if len({json.dumps(delivery.decision) for delivery in received}) > 1:
            yield f"{_named(planned)}: received two different decisions"
        if any(delivery.task != f"onboarding.{delivery.name}" for delivery in received):
            yield f"{_named(planned)}: its decision came as a task of another name"


def _one_by_http(findings: Findings) -> Iterator[str]:
    fed = Counter(str(decision["signature_id"]) for decision in findings.seen.decisions)
    for planned in findings.plan.all:
        if planned.way is not Way.HTTP:
            continue
        expected = 1 if planned.expect.outcome == "decided" else 0
        delivered = len(findings.deliveries.get(planned.signature_id, []))
        if (fed[planned.signature_id], min(delivered, 1)) != (expected, expected):
            found = f"{fed[planned.signature_id]} in the feed, {delivered} at the pipeline"
            yield f"{_named(planned)}: should have {expected}, has {found}"


def _feed(findings: Findings) -> Iterator[str]:
    fed = Counter(str(decision["signature_id"]) for decision in findings.seen.decisions)
    for name in findings.deliveries:
        if fed[name] != 1:
            yield f"{name}: is in the feed {fed[name]} times"
    for decision in findings.seen.decisions:
        received = findings.deliveries.get(str(decision["signature_id"]), [])
        if not received or received[0].decision != decision:
            yield f"{decision['signature_id']}: the feed has a decision that the pipeline has not received"


def _on_the_console(findings: Findings) -> Iterator[str]:
    now = findings.shown.words(NOW).split()
    yield from (f"{NOW} does not show {region}" for region in findings.plan.regions if region not in now)
    for name in ("enqueued", "done", "quarantined"):
        shown, expected = findings.shown.figure(name), getattr(findings.counts, name)
        if shown != expected:
            yield f"{NOW} shows {shown} {name}, the ledger has {expected}"


def _reconciled(findings: Findings) -> Iterator[str]:
    for region, ids in findings.plan.ids_by_region.items():
        answer = findings.seen.reconciliations.get(region)
        if answer is None:
            yield f"{region}: was not reconciled"
            continue
        decided = [name for name in ids if name in findings.deliveries]
        expected = {
            "done": sorted(decided),
            "under_way": [],
            "quarantined": sorted(set(ids) - set(decided)),
            "unknown": [],
        }
        for name, names in expected.items():
            if sorted(answer[name]) != names:
                yield f"{region}: {len(answer[name])} are {name}, should be {len(names)}"
        balance = dict(answer["balance"])
        accepted = balance.pop("accepted")
        if not accepted == sum(balance.values()) == len(ids):
            yield f"{region}: {accepted} accepted, {sum(balance.values())} accounted for, {len(ids)} enqueued"


def _webhooks(findings: Findings) -> Iterator[str]:
    received = _received(findings)
    wanted = {name for name, each in findings.deliveries.items() if each[0].name in DECISIONS}
    listed = Counter(delivery["signature_id"] for delivery in findings.seen.deliveries)
    yield from (f"{name}: has {listed[name]} deliveries" for name in sorted(wanted) if listed[name] != 1)
    for delivery in findings.seen.deliveries:
        if problem := _webhook_of(delivery, received.get(delivery["id"], []), findings, wanted):
            yield f"{delivery['signature_id']}: {problem}"
    unknown = received.keys() - {delivery["id"] for delivery in findings.seen.deliveries}
    yield from (f"{message_id}: was received, but is not in the ledger" for message_id in sorted(unknown))


def _received(findings: Findings) -> dict[str, list[str]]:
    """Return the bodies that the receiver acknowledged, by `webhook-id`."""
    found: dict[str, list[str]] = {}
    for webhook in findings.webhooks:
        if not webhook.refused:
            found.setdefault(webhook.id, []).append(webhook.body)
    return found


def _webhook_of(
    delivery: Mapping[str, Any], bodies: list[str], findings: Findings, wanted: Collection[str]
) -> str:
    name = delivery["signature_id"]
    if name not in wanted:
        return "its decision is for the queue alone"
    if delivery["state"] != "acknowledged":
        return f"is not acknowledged ({delivery['fault'] or 'not tried'})"
    if not bodies:
        return "is acknowledged, but was not received"
    if len(set(bodies)) > 1:
        return "came with different bytes under one id"
    decision = findings.deliveries[name][0].decision
    differing = [key for key, value in json.loads(bodies[0]).items() if decision.get(key, value) != value]
    return f"has another {' and '.join(differing)} than on the queue" if differing else ""


def _signed(findings: Findings) -> Iterator[str]:
    yield from (
        f"{webhook.id or 'one'}: {webhook.refused}" for webhook in findings.webhooks if webhook.refused
    )


def _called_back(findings: Findings) -> Iterator[str]:
    if failed := findings.callbacks.get("failed", 0):
        yield f"{failed} failed"
    expected = sum(planned.called_back for planned in findings.plan.all)
    if findings.callbacks.get("sent", 0) < expected:
        yield f"{findings.callbacks.get('sent', 0)} were taken, of {expected} at least"


def _delivered_once(findings: Findings) -> Iterator[str]:
    for signature_id, received in findings.deliveries.items():
        if len(received) > 1:
            yield f"{signature_id}: came {len(received)} times"


def _as_expected(findings: Findings) -> Iterator[str]:
    for planned in findings.plan.all:
        expect = planned.expect
        expected = (expect.decision, expect.overall_result, expect.error_code, expect.reason)
        for delivery in findings.deliveries.get(planned.signature_id, []):
            got = delivery.decision
            received = (got["decision"], got["overall_result"], got["error_code"], got["reason"])
            if expect.outcome != "decided":
                yield f"{_named(planned)}: should have been quarantined, is {got['decision']}"
            elif received != expected:
                yield f"{_named(planned)}: should be {_words(expected)}, is {_words(received)}"


def _quarantined(findings: Findings) -> Iterator[str]:
    for planned in findings.plan.all:
        status = findings.statuses.get(planned.signature_id)
        if not status or status.verification.stage is not Stage.QUARANTINED:
            continue
        if planned.expect.outcome != "quarantined":
            yield f"{_named(planned)}: {status.verification.quarantine_reason}, should be {planned.expect.decision}"
        elif not status.verification.quarantine_reason:
            yield f"{_named(planned)}: quarantined without a reason"


def _context(findings: Findings) -> Iterator[str]:
    for planned in findings.plan.all:
        for delivery in findings.deliveries.get(planned.signature_id, []):
            if delivery.decision["context"] != planned.context:
                yield f"{_named(planned)}: its decision has another context than it was enqueued with"


def _evidence(findings: Findings) -> Iterator[str]:
    for planned in findings.plan.all:
        kept = findings.kept[planned.signature_id]
        for delivery in findings.deliveries.get(planned.signature_id, []):
            problem = _evidence_of(planned, kept, sent_complete=delivery.decision["evidence"]["complete"])
            if problem:
                yield f"{_named(planned)}: {problem}"


def _evidence_of(planned: Planned, kept: Kept, *, sent_complete: bool) -> str:
    if kept.faults:
        return ", ".join(kept.faults)
    if kept.listed is None:
        return "has no manifest"
    expected = planned.expect.evidence_complete
    if expected is not None and (kept.complete, sent_complete) != (expected, expected):
        return f"complete should be {expected}, is {kept.complete}, the pipeline received {sent_complete}"
    return ""


def _sums(findings: Findings) -> Iterator[str]:
    counts = findings.counts
    decided = [received[0].decision for received in findings.deliveries.values()]
    known = [status.verification for status in findings.statuses.values() if status]
    kept = findings.kept.values()
    pairs = {
        "decided": (counts.done, len(decided)),
        "quarantined": (counts.quarantined, sum(counts.quarantine.values())),
        "together": (counts.done + counts.quarantined, counts.enqueued),
        "decisions": (counts.decisions, dict(Counter(decision["decision"] for decision in decided))),
        "error codes": (
            counts.error_codes,
            dict(Counter(decision["reason"] or decision["error_code"] or "NONE" for decision in decided)),
        ),
        "polls": (counts.polls, sum(verification.polls for verification in known)),
        "evidence kept": (counts.evidence_files, sum(evidence.listed or 0 for evidence in kept)),
        "evidence bytes": (counts.evidence_bytes, sum(evidence.listed_bytes for evidence in kept)),
        "evidence files": (findings.usage.files, sum(len(evidence.files) for evidence in kept)),
        "manifests": (sum(evidence.listed is not None for evidence in kept), len(decided)),
    }
    for name, (left, right) in pairs.items():
        if left != right:
            yield f"{name}: {left} and {right}"


def _nothing_left(findings: Findings) -> Iterator[str]:
    for name in ("waiting", "in_flight"):
        if count := getattr(findings.counts, name):
            yield f"{count} {name.replace('_', ' ')} in the ledger"
    if findings.messages_left:
        yield f"{findings.messages_left} messages on queues"


def _clean_logs(findings: Findings) -> Iterator[str]:
    yield from (f"personal data or a token in {name}" for name in findings.leaks.logs)


def _clean_redis(findings: Findings) -> Iterator[str]:
    yield from (f"personal data in {name}" for name in findings.leaks.redis)


def _encrypted(findings: Findings) -> Iterator[str]:
    yield from (f"personal data or a key in {name}" for name in findings.leaks.stored)


def _logged(findings: Findings) -> Iterator[str]:
    yield from findings.log.faults
    if findings.log.entries != findings.counts.done:
        yield f"the log has {findings.log.entries} entries for {findings.counts.done} ended verifications"


def _erased(findings: Findings) -> Iterator[str]:
    erased = findings.erased
    if erased.is_readable:
        yield f"the answer of {erased.signature_id} can still be read"
    if erased.stage != Stage.ERASED:
        yield f"the ledger says {erased.stage} of {erased.signature_id}"
    if not erased.deleted:
        yield "the certificate names no deleted object"
    if not erased.vendor_cleared:
        yield "the vendor did not delete its data"


def _logged_after(findings: Findings) -> Iterator[str]:
    before, after = findings.log, findings.erased.log
    yield from after.faults
    if after.entries != before.entries + 1:
        yield f"the log has {after.entries} entries, not one more than {before.entries}"


def _clean_decisions(findings: Findings) -> Iterator[str]:
    if findings.leaks.decisions:
        yield "personal data in what the pipeline received"
    if not findings.leaks.evidence:
        yield "no personal data in the evidence either: the search itself is broken"


def _healthy(findings: Findings) -> Iterator[str]:
    yield from (f"{name} has a failure in it" for name in findings.failures)
    yield from (f"{name} ended with exit code {code}" for name, code in findings.exit_codes.items() if code)


def _named(planned: Planned) -> str:
    return f"{planned.region} {planned.signature_id}"


def _words(fields: tuple[str | None, ...]) -> str:
    return " ".join(field for field in fields if field)


_CHECKS: Final[tuple[tuple[str, str, Callable[[Findings], Iterator[str]]], ...]] = (
    ("all_accepted", f"every verification was accepted, in each of {len(Way)} ways", _accepted),
    ("repeated_request", "an HTTP request that was sent again had the same answer", _sent_again),
    ("all_accounted_for", "each verification is decided, or in quarantine", _accounted_for),
    ("one_decision_each", "each decided verification has one decision id", _one_decision),
    ("one_decision_by_http", "each verification enqueued by HTTP has exactly one decision", _one_by_http),
    ("delivered_once", "no decision was delivered twice", _delivered_once),
    ("decided_as_expected", "each decision is the one expected for its answer", _as_expected),
    ("quarantined_as_expected", "only what cannot be read or polled is in quarantine", _quarantined),
    ("context_came_back", "the pipeline got its context back with each decision", _context),
    ("evidence_proves_it", "the evidence of each decision is complete, byte for byte", _evidence),
    ("evidence_is_logged", "the log of evidence verifies, and has each verification once", _logged),
    ("person_erased", "a person's evidence and history are gone, here and at the vendor", _erased),
    ("log_verifies_still", "after the erasure the log still verifies, with one entry more", _logged_after),
    ("feed_has_each_once", "GET /v1/decisions has every decision exactly once", _feed),
    ("webhooks_acknowledged", "each webhook was acknowledged; a second one had the same bytes", _webhooks),
    ("webhooks_signed", "the signature of every webhook was right", _signed),
    ("reconciled", "POST /v1/reconciliations accounts for every verification", _reconciled),
    ("console_shows_it", "the console answers, and shows the run", _on_the_console),
    ("callbacks_taken", "every callback of the vendor was taken", _called_back),
    ("sums_agree", "the totals of ledger, pipeline and evidence agree", _sums),
    ("nothing_left", "nothing is left in flight", _nothing_left),
    ("no_personal_data_in_logs", "no personal data and no token in any log", _clean_logs),
    ("no_personal_data_in_redis", "no personal data in anything ever written to Redis", _clean_redis),
    ("evidence_is_encrypted", "nothing in the evidence store can be read without its key", _encrypted),
    ("no_personal_data_in_decisions", "no personal data in any decision", _clean_decisions),
    ("nothing_failed", "no process failed, and the workers stopped on request", _healthy),
)
