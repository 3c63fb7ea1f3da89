"""Every metric that a region has, and where in the ledger it stands. docs/metrics.md says what to make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, get_args

from worker.advance.answers import Answer, TokenFault
from worker.errors import BrokerUnavailable, EkycError, EvidenceUnavailable
from worker.ledger.histograms import ENQUEUED_TO_DECIDED, SETTLED_TO_DECIDED, VENDOR_CALL
from worker.ledger.models import EvidenceState
from worker.observability.metrics.families import Figure, Spread, Tally
from worker.observability.metrics.label import OTHER, Label, few

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.decisions.table import Table

MetricOfRegion: TypeAlias = Figure | Tally | Spread


def catalogue(table: Table) -> tuple[MetricOfRegion, ...]:
    """All of them. What decisions and codes there are is the matter of the decision table."""
    return (*_now(), *_so_far(), *_ends(table), *_around(), *_spreads())


def _now() -> Iterator[MetricOfRegion]:
    """Where verifications are."""
    stage, reason = Label("stage"), Label("reason")
    yield Tally(
        "ekyc_verifications_waiting",
        "Verifications that wait for a stage, in a countdown or due.",
        stage,
        lambda reading: reading.counts.stages,
    )
    yield Tally(
        "ekyc_verifications_due",
        "Those waiting that are due by now, excluding regions on hold: what more workers could take up.",
        stage,
        lambda reading: reading.counts.due,
    )
    yield Figure(
        "ekyc_oldest_due_seconds",
        "For how long the one longest due has been due, or its lease over, excluding regions on hold; 0: none is.",
        lambda reading: reading.counts.oldest_due_s,
    )
    yield Figure(
        "ekyc_verifications_in_flight",
        "Verifications that a batch holds under a lease.",
        lambda reading: reading.counts.in_flight,
    )
    yield Figure(
        "ekyc_verifications_lapsed",
        "Those in flight whose lease has ended: the next claim takes them back.",
        lambda reading: reading.counts.lapsed,
    )
    yield Figure(
        "ekyc_verifications_quarantined",
        "Verifications in quarantine: a person has to look.",
        lambda reading: reading.counts.quarantined,
    )
    yield Tally(
        "ekyc_verifications_quarantined_by_reason",
        "The same by reason; a reason that there is none for is left out.",
        reason,
        lambda reading: few(reading.counts.quarantine),
    )
    yield Tally(
        "ekyc_hold_until_timestamp_seconds",
        "When the region's hold ends, by Redis's clock. Present only while it is on hold, or half-open after it.",
        reason,
        lambda reading: few({hold.word or OTHER: hold.until_ms / 1000 for hold in reading.counts.holds}),
    )


def _so_far() -> Iterator[MetricOfRegion]:
    """What became of them."""
    yield Figure(
        "ekyc_verifications_enqueued_total",
        "Verifications accepted: waiting, in flight, done, in quarantine and dropped together.",
        lambda reading: reading.counts.enqueued,
    )
    yield Figure(
        "ekyc_verifications_done_total",
        "Verifications decided and delivered, with nothing left to wait for.",
        lambda reading: reading.counts.done,
    )
    yield Figure(
        "ekyc_verifications_dropped_total",
        "Verifications that a person ended in quarantine, without a decision.",
        lambda reading: reading.counts.dropped,
    )
    yield Tally(
        "ekyc_polls_total",
        "Answers of the vendor that were recorded, by kind.",
        Label("answer", tuple(kind.kind for kind in get_args(Answer))),
        lambda reading: reading.counts.answers,
    )
    yield Figure(
        "ekyc_extra_calls_total",
        "Vendor calls beyond the polls: for fresh links of images, and to confirm an answer.",
        lambda reading: reading.counts.extra_calls,
    )
    yield Tally(
        "ekyc_holds_total",
        "Rests that were ordered, by reason; BY_HAND are those of people.",
        Label("reason", ("VENDOR_BUSY", "VENDOR_DOWN", "BY_HAND")),
        lambda reading: few(reading.counts.holds_begun),
    )
    yield Figure(
        "ekyc_leases_expired_total",
        "Leases that ended before their batch was done: a worker died or hung, or a message was lost.",
        lambda reading: reading.counts.leases_expired,
    )
    yield Tally(
        "ekyc_faults_total",
        "Tries that failed on our side of the vendor, by cause; each is tried again.",
        Label("cause", tuple(sorted({kind.cause for kind in _errors(EkycError)} | {"UNFORESEEN"}))),
        lambda reading: reading.counts.faults,
    )


def _ends(table: Table) -> Iterator[MetricOfRegion]:
    """Decisions and their delivery."""
    decisions = sorted({*table.rows.values(), *table.reasons.values(), table.otherwise})
    codes = sorted({code for _, code in table.rows} | {*table.reasons, "NONE"})
    yield Tally(
        "ekyc_decisions_total",
        "Decisions delivered, by name.",
        Label("decision", tuple(decisions)),
        lambda reading: reading.counts.decisions,
    )
    yield Tally(
        "ekyc_decision_error_codes_total",
        "Decisions delivered, by errorCode, or by reason where there was no result or it is contradicted.",
        Label("error_code", tuple(codes), closed=True),
        lambda reading: reading.counts.error_codes,
    )
    yield Tally(
        "ekyc_deliveries_total",
        "Tries to deliver a decision: delivered, or failed because the queue could not be written.",
        Label("outcome", ("delivered", "failed")),
        lambda reading: {
            "delivered": sum(reading.counts.decisions.values()),
            "failed": reading.counts.faults.get(BrokerUnavailable.cause, 0),
        },
    )


def _around() -> Iterator[MetricOfRegion]:
    """Evidence and token."""
    yield Tally(
        "ekyc_archivals_total",
        "Evidence sealed, complete or incomplete, and tries that failed because the store could not be used.",
        Label("outcome", (EvidenceState.COMPLETE, EvidenceState.INCOMPLETE, "failed")),
        lambda reading: (
            reading.counts.evidence | {"failed": reading.counts.faults.get(EvidenceUnavailable.cause, 0)}
        ),
    )
    yield Figure(
        "ekyc_evidence_files_total",
        "Files of evidence that is sealed, the manifests not counted.",
        lambda reading: reading.counts.evidence_files,
    )
    yield Figure(
        "ekyc_evidence_bytes_total",
        "Bytes of evidence that is sealed, the manifests not counted.",
        lambda reading: reading.counts.evidence_bytes,
    )
    yield Figure(
        "ekyc_token_age_seconds",
        "Age of the fleet's token; left out where there is none, as in a region that nobody polls.",
        lambda reading: reading.token.life_s - reading.token.left_s if reading.token.token else None,
    )
    yield Figure(
        "ekyc_tokens_issued_total",
        "Tokens that the vendor gave us.",
        lambda reading: reading.counts.tokens_issued,
    )
    yield Tally(
        "ekyc_token_refusals_total",
        "Times that the vendor gave us no token, by the kind of its answer.",
        Label("answer", tuple(kind.kind for kind in get_args(TokenFault))),
        lambda reading: reading.counts.tokens_refused,
    )


def _spreads() -> Iterator[MetricOfRegion]:
    """How long things take."""
    yield Spread(
        "ekyc_vendor_call_duration_seconds",
        "Time that a get-result call took, for each poll that was recorded.",
        VENDOR_CALL,
    )
    yield Spread(
        "ekyc_enqueued_to_decided_seconds",
        "Time from the enqueue until the task that delivered the decision began, for each decision.",
        ENQUEUED_TO_DECIDED,
    )
    yield Spread(
        "ekyc_settled_to_decided_seconds",
        "Time from when we had the vendor's result until the task that delivered the decision began.",
        SETTLED_TO_DECIDED,
    )


def _errors(kind: type[EkycError]) -> Iterator[type[EkycError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _errors(narrower)
