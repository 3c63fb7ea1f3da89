"""Every metric of a region, and where in the ledger its value is. docs/metrics.md explains how to use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, get_args

from schemas.result import DOCUMENTED_CODES
from worker.advance.answers import Answer, TokenFault
from worker.decisions.draft import REASONS
from worker.decisions.rules import ANY
from worker.enqueue_request import DEFAULT_PIPELINE
from worker.errors import BrokerUnavailable, EkycError, EvidenceUnavailable
from worker.ledger.histograms import ENQUEUED_TO_DECIDED, SETTLED_TO_DECIDED, VENDOR_CALL
from worker.ledger.models import EvidenceState
from worker.observability.metrics.families import Figure, Spread, Tally
from worker.observability.metrics.label import OTHER, FirstSeen, Label, few
from worker.observability.metrics.shadow import ShadowDifferences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.decisions.table import Table
    from worker.ledger.evidence_log import LogState

#: Names of pipelines that one process of `web` tells apart: a label whose values anyone may choose needs a bound.
MAX_PIPELINES: Final = 64

MetricOfRegion: TypeAlias = Figure | Tally | Spread | ShadowDifferences


def catalogue(table: Table) -> tuple[MetricOfRegion, ...]:
    """Return all metrics. The decision table defines which decisions and codes there are."""
    return (*_now(), *_so_far(), *_ends(table), *_around(), *_log(), *_spreads())


def _now() -> Iterator[MetricOfRegion]:
    """Metrics of the current state."""
    stage, reason = Label("stage"), Label("reason")
    yield Tally(
        "ekyc_verifications_waiting",
        "Verifications that wait for a stage, in a countdown or due.",
        stage,
        lambda reading: reading.counts.stages,
    )
    yield Tally(
        "ekyc_verifications_waiting_by_pipeline",
        "Waiting verifications by pipeline. Those without any are left out, except the default one.",
        FirstSeen("pipeline", (DEFAULT_PIPELINE,), MAX_PIPELINES),
        lambda reading: reading.counts.pipelines,
    )
    yield Tally(
        "ekyc_verifications_due",
        "Waiting verifications that are due, excluding regions on hold: what more workers could process.",
        stage,
        lambda reading: reading.counts.due,
    )
    yield Figure(
        "ekyc_oldest_due_seconds",
        "Seconds since the longest due verification became due, or its lease ended, excluding regions on hold; "
        "0 if none.",
        lambda reading: reading.counts.oldest_due_s,
    )
    yield Figure(
        "ekyc_verifications_in_flight",
        "Verifications that a batch holds under a lease.",
        lambda reading: reading.counts.in_flight,
    )
    yield Figure(
        "ekyc_verifications_lapsed",
        "Verifications in flight whose lease has ended: the next claim takes them back.",
        lambda reading: reading.counts.lapsed,
    )
    yield Figure(
        "ekyc_verifications_quarantined",
        "Verifications in quarantine: a person must look at them.",
        lambda reading: reading.counts.quarantined,
    )
    yield Tally(
        "ekyc_verifications_quarantined_by_reason",
        "Verifications in quarantine, by reason. Reasons without any are left out.",
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
    """Counters of verifications."""
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
        "Verifications in quarantine that a person ended without a decision.",
        lambda reading: reading.counts.dropped,
    )
    yield Tally(
        "ekyc_polls_total",
        "Recorded answers of the vendor, by kind.",
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
        "Holds begun, by reason; BY_HAND are those of people.",
        Label("reason", ("VENDOR_BUSY", "VENDOR_DOWN", "BY_HAND")),
        lambda reading: few(reading.counts.holds_begun),
    )
    yield Figure(
        "ekyc_leases_expired_total",
        "Leases that ended before their batch was done: a worker died or was stuck, or a message was lost.",
        lambda reading: reading.counts.leases_expired,
    )
    yield Tally(
        "ekyc_faults_total",
        "Attempts that failed on our side, by cause. Each is retried.",
        Label("cause", tuple(sorted({kind.cause for kind in _errors(EkycError)} | {"UNFORESEEN"}))),
        lambda reading: reading.counts.faults,
    )


def _ends(table: Table) -> Iterator[MetricOfRegion]:
    """Decisions and their delivery."""
    decisions = sorted(table.decisions)
    documented = {code for codes in DOCUMENTED_CODES.values() for code in codes}
    codes = sorted({*documented, *table.values("error_code"), *REASONS, "NONE"} - {ANY})
    yield Tally(
        "ekyc_decisions_total",
        "Decisions delivered, by name.",
        Label("decision", tuple(decisions)),
        lambda reading: reading.counts.decisions,
    )
    yield Tally(
        "ekyc_decision_error_codes_total",
        "Decisions delivered, by errorCode, or by reason if there was no result or it was contradicted.",
        Label("error_code", tuple(codes), closed=True),
        lambda reading: reading.counts.error_codes,
    )
    yield ShadowDifferences(
        "ekyc_decisions_shadow_differences_total",
        "Decisions for which the shadow table names another one: the decision, and the one of the shadow table.",
    )
    yield Tally(
        "ekyc_deliveries_total",
        "Attempts to deliver a decision: delivered, or failed because the queue could not be written.",
        Label("outcome", ("delivered", "failed")),
        lambda reading: {
            "delivered": sum(reading.counts.decisions.values()),
            "failed": reading.counts.faults.get(BrokerUnavailable.cause, 0),
        },
    )

    yield Tally(
        "ekyc_webhooks_acknowledged_total",
        "Deliveries by webhook that an endpoint has acknowledged.",
        Label("endpoint"),
        lambda reading: reading.counts.webhooks("acknowledged"),
    )
    yield Tally(
        "ekyc_webhook_tries_failed_total",
        "Tries of a delivery by webhook that failed. Each is repeated, up to ten times in three days.",
        Label("endpoint"),
        lambda reading: reading.counts.webhooks("failed"),
    )
    yield Tally(
        "ekyc_webhook_faults_total",
        "Failed tries of a delivery by webhook, by cause: a status, or why no answer came.",
        Label("cause"),
        lambda reading: reading.counts.webhook_faults,
    )


def _around() -> Iterator[MetricOfRegion]:
    """Evidence and token."""
    yield Tally(
        "ekyc_archivals_total",
        "Evidence sealed, complete or incomplete, and attempts that failed because the store could not be used.",
        Label("outcome", (EvidenceState.COMPLETE, EvidenceState.INCOMPLETE, "failed")),
        lambda reading: (
            reading.counts.evidence | {"failed": reading.counts.faults.get(EvidenceUnavailable.cause, 0)}
        ),
    )
    yield Figure(
        "ekyc_evidence_files_total",
        "Files of sealed evidence, without manifests.",
        lambda reading: reading.counts.evidence_files,
    )
    yield Figure(
        "ekyc_evidence_bytes_total",
        "Bytes of sealed evidence, without manifests.",
        lambda reading: reading.counts.evidence_bytes,
    )
    yield Figure(
        "ekyc_token_age_seconds",
        "Age of the fleet's token. Missing if there is none, as in a region that is not polled.",
        lambda reading: reading.token.life_s - reading.token.left_s if reading.token.token else None,
    )
    yield Figure(
        "ekyc_tokens_issued_total",
        "Tokens that the vendor issued.",
        lambda reading: reading.counts.tokens_issued,
    )
    yield Tally(
        "ekyc_token_refusals_total",
        "Token requests for which the vendor issued no token, by the kind of its answer.",
        Label("answer", tuple(kind.kind for kind in get_args(TokenFault))),
        lambda reading: reading.counts.tokens_refused,
    )


def _log() -> Iterator[MetricOfRegion]:
    """The log of evidence. Missing in a region without one."""

    def figure(name: str, text: str, read: Callable[[LogState], float]) -> Figure:
        return Figure(name, text, lambda reading: read(reading.log) if reading.log.is_kept else None)

    yield figure(
        "ekyc_evidence_log_entries",
        "Entries of the region's log of evidence, as the ledger has last seen it. Missing if no log is kept.",
        lambda log: log.seen.size,
    )
    yield figure(
        "ekyc_evidence_log_pending",
        "Ended verifications that are not in the log of evidence yet.",
        lambda log: log.pending,
    )
    yield figure(
        "ekyc_evidence_log_oldest_pending_seconds",
        "Seconds for which the oldest of these has waited; 0 if none.",
        lambda log: log.oldest_pending_s,
    )
    yield figure(
        "ekyc_evidence_log_damaged",
        "1 if the log of evidence was changed, cut off or rolled back, so that nothing is added to it, else 0.",
        lambda log: float(bool(log.fault)),
    )


def _spreads() -> Iterator[MetricOfRegion]:
    """Histograms of durations."""
    yield Spread(
        "ekyc_vendor_call_duration_seconds",
        "Duration of the get-result call, for each recorded poll.",
        VENDOR_CALL,
    )
    yield Spread(
        "ekyc_enqueued_to_decided_seconds",
        "Time from the enqueue until the task that delivered the decision began, for each decision.",
        ENQUEUED_TO_DECIDED,
    )
    yield Spread(
        "ekyc_settled_to_decided_seconds",
        "Time from the vendor's result until the task that delivered the decision began.",
        SETTLED_TO_DECIDED,
    )


def _errors(kind: type[EkycError]) -> Iterator[type[EkycError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _errors(narrower)
