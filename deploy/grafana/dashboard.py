"""Write the dashboard: `python deploy/grafana/dashboard.py >deploy/grafana/ekyc.json`. Needs only Python.

`$job` is one ledger. `max by` counts the figures of a second `web`, which are the same, only once.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from panels import (
    COLUMNS,
    DATASOURCE,
    FLEET,
    Json,
    Panel,
    Query,
    increase,
    now,
    of,
    rate,
    spread,
    stat,
    yes_or_no,
)

_REVIEWED: Final = of("ekyc_decisions_total", 'decision="review"')

REVIEWS: Final = (
    f"sum(max by (region) (increase({_REVIEWED}[1h])))"
    f" / sum(max by (region, decision) (increase({of('ekyc_decisions_total')}[1h])))"
)

HOLDS: Final = f"max by (region, reason) ({of('ekyc_hold_until_timestamp_seconds')})"


def _by_endpoint(metric: str) -> str:
    return f"max by (region, endpoint) ({of(metric)})"


def _by_part(metric: str) -> str:
    return f"max by (region, part) ({metric}{FLEET})"


def _growth_by_part(metric: str) -> str:
    return f"max by (region, part) (increase({metric}{FLEET}[1h]))"


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "Is all well?",
        (
            stat(
                "Redis",
                "Whether the ledger's Redis answers `web`. If it does not, nothing else is known.",
                f"max(ekyc_up{FLEET})",
                red_below=1,
                mappings=yes_or_no("unavailable", "answers"),
            ),
            stat(
                "Accepts writes",
                "A full Redis answers, but refuses to write: nothing is accepted or recorded.",
                f"max(ekyc_redis_writable{FLEET})",
                red_below=1,
                mappings=yes_or_no("refuses", "yes"),
            ),
            stat("Workers", "Seen in the last 20 s.", f"max(ekyc_workers{FLEET})", red_below=1),
            stat(
                "Due now",
                "Verifications that more workers could claim at once.",
                now("ekyc_verifications_due"),
            ),
            stat(
                "Oldest due",
                "Seconds by which the oldest due verification is overdue.",
                f"max({of('ekyc_oldest_due_seconds')})",
                unit="s",
                red_from=60,
            ),
            stat(
                "Regions on hold",
                "Nothing of these regions is polled. See “Holds”.",
                f"count(count by (region) ({of('ekyc_hold_until_timestamp_seconds')})) or vector(0)",
                red_from=1,
            ),
            stat(
                "In quarantine",
                "Each needs a person: `ekyc quarantine list`.",
                now("ekyc_verifications_quarantined"),
                red_from=1,
            ),
            stat(
                "Review share",
                "The share of the last hour's decisions that are `review`.",
                REVIEWS,
                unit="percentunit",
            ),
            stat(
                "Decision tables",
                "More than one for longer than a restart: some workers use another decision table.",
                f"count(count by (table) (ekyc_worker_info{FLEET}))",
                red_from=2,
            ),
            Panel(
                "Alerts",
                "The alerts that fire now. docs/runbooks.md has the commands for each.",
                (Query('ALERTS{alertname=~"Ekyc.+", alertstate="firing"}', instant=True),),
                kind="table",
                width=COLUMNS,
                height=5,
                hidden=("alertstate", "Value"),
            ),
        ),
    ),
    (
        "Waiting verifications",
        (
            Panel(
                "Waiting",
                "In a countdown, or due. Many in a countdown do not mean that workers are missing.",
                (Query(now("ekyc_verifications_waiting", "stage"), "{{stage}}"),),
                stacked=True,
            ),
            Panel(
                "Due",
                "Due, excluding regions on hold, or the lease expired: too few workers, or EKYC_RATE.",
                (
                    Query(now("ekyc_verifications_due", "stage"), "{{stage}}"),
                    Query(now("ekyc_verifications_lapsed"), "lease expired"),
                ),
                stacked=True,
            ),
            Panel(
                "Oldest due",
                "Above a minute and growing: too few workers, workers hang, or EKYC_RATE limits them.",
                (Query(now("ekyc_oldest_due_seconds", "region"), "{{region}}"),),
                unit="s",
            ),
            Panel(
                "In flight",
                "Held by a batch. If it stays constant while the oldest due grows, workers hang or were killed.",
                (Query(now("ekyc_verifications_in_flight", "region"), "{{region}}"),),
                stacked=True,
            ),
            Panel(
                "In and out",
                "Accepted, done, and dropped by a person, per second.",
                (
                    Query(rate("ekyc_verifications_enqueued_total"), "accepted"),
                    Query(rate("ekyc_verifications_done_total"), "done"),
                    Query(rate("ekyc_verifications_dropped_total"), "dropped"),
                ),
                unit="ops",
            ),
            Panel(
                "Expired leases",
                "A worker died or hung, or a message was lost. The verifications were claimed again.",
                (Query(rate("ekyc_leases_expired_total", "region"), "{{region}}"),),
                unit="ops",
            ),
            Panel(
                "Waiting by pipeline",
                "Pipelines that have something due get equal shares of the polls.",
                (Query(now("ekyc_verifications_waiting_by_pipeline", "pipeline"), "{{pipeline}}"),),
                stacked=True,
            ),
        ),
    ),
    (
        "The vendor",
        (
            Panel(
                "Polls by answer",
                "Answers per second. `pending`: a null answer, not ready yet.",
                (Query(rate("ekyc_polls_total", "answer"), "{{answer}}"),),
                unit="ops",
                stacked=True,
            ),
            spread(
                "Duration of a call",
                "Of Get Result calls whose answer was recorded. A call times out after 10 s.",
                "ekyc_vendor_call_duration_seconds",
            ),
            Panel(
                "Holds",
                "Seconds until the hold of each region ends, and its reason.",
                (Query(f"clamp_min({HOLDS} - time(), 0)", "{{region}} {{reason}}"),),
                unit="s",
            ),
            Panel(
                "New holds",
                "Per hour, by reason.",
                (
                    Query(
                        f"sum by (reason) (max by (region, reason) (increase({of('ekyc_holds_total')}[1h])))",
                        "{{reason}}",
                    ),
                ),
            ),
            Panel(
                "Age of the token",
                "Renewed on use after 54 minutes; expires after 60.",
                (Query(now("ekyc_token_age_seconds", "region"), "{{region}}"),),
                unit="s",
            ),
            Panel(
                "Tokens",
                "Issued and refused, per hour.",
                (
                    Query(increase("ekyc_tokens_issued_total"), "issued"),
                    Query(
                        increase("ekyc_token_refusals_total", "answer"),
                        "refused: {{answer}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Decisions",
        (
            Panel(
                "Decisions",
                "Delivered, per second.",
                (Query(rate("ekyc_decisions_total", "decision"), "{{decision}}"),),
                unit="ops",
                stacked=True,
            ),
            Panel(
                "By errorCode",
                "`other` is an unknown code: `ekyc stats` has its name.",
                (Query(rate("ekyc_decision_error_codes_total", "error_code"), "{{error_code}}"),),
                unit="ops",
            ),
            Panel(
                "Share of reviews",
                "The share of `review` in the last hour.",
                (Query(REVIEWS, "review"),),
                unit="percentunit",
            ),
            spread(
                "From the vendor's result to the decision",
                "The time on our side.",
                "ekyc_settled_to_decided_seconds",
            ),
            spread(
                "From the enqueue to the decision",
                "Includes the time of the user and the vendor.",
                "ekyc_enqueued_to_decided_seconds",
            ),
            Panel(
                "Deliveries",
                "Attempts per second. Failed ones are retried.",
                (Query(rate("ekyc_deliveries_total", "outcome"), "{{outcome}}"),),
                unit="ops",
            ),
            Panel(
                "Unread",
                "Decisions in the pipeline's queue. If it grows, no consumer reads it, or too slowly.",
                (Query(f"max(ekyc_decisions_unread{FLEET})", "unread"),),
            ),
            Panel(
                "Shadow table",
                "Decisions of the last hour for which the shadow table names another one. No decision changes.",
                (
                    Query(
                        increase("ekyc_decisions_shadow_differences_total", "from, to"), "{{from}} -> {{to}}"
                    ),
                ),
            ),
        ),
    ),
    (
        "Faults",
        (
            Panel(
                "In quarantine",
                "By reason; docs/operators.md explains each.",
                (Query(now("ekyc_verifications_quarantined_by_reason", "reason"), "{{reason}}"),),
                stacked=True,
                width=12,
            ),
            Panel(
                "Refused messages and extra calls",
                "Refused messages of tasks.enqueue, by field, and calls of the vendor in addition to the polls.",
                (
                    Query(
                        f"sum by (field) (max by (field) (rate(ekyc_enqueue_refused_total{FLEET}[$__rate_interval])))",
                        "refused: {{field}}",
                    ),
                    Query(rate("ekyc_extra_calls_total", "region"), "extra calls: {{region}}"),
                ),
                unit="ops",
            ),
            Panel(
                "Faults",
                "Attempts that failed on our side, not at the vendor, per second, by cause.",
                (Query(f"{rate('ekyc_faults_total', 'cause')} > 0", "{{cause}}"),),
                unit="ops",
                width=12,
            ),
        ),
    ),
    (
        "Evidence",
        (
            Panel(
                "Sealed",
                "Per second. `incomplete`: an image cannot be fetched. `failed`: the store could not be used.",
                (Query(rate("ekyc_archivals_total", "outcome"), "{{outcome}}"),),
                unit="ops",
            ),
            Panel(
                "Bytes",
                "Bytes stored, per second.",
                (Query(rate("ekyc_evidence_bytes_total", "region"), "{{region}}"),),
                unit="Bps",
            ),
            Panel(
                "Files",
                "Files stored, per second.",
                (Query(rate("ekyc_evidence_files_total", "region"), "{{region}}"),),
                unit="ops",
            ),
            Panel(
                "Log",
                "Entries of the log of evidence. It only grows.",
                (Query(now("ekyc_evidence_log_entries", "region"), "{{region}}"),),
            ),
            Panel(
                "Not in the log yet",
                "Ended verifications that wait for the log, and for how long the oldest has waited, in seconds.",
                (
                    Query(now("ekyc_evidence_log_pending", "region"), "waiting: {{region}}"),
                    Query(now("ekyc_evidence_log_oldest_pending_seconds", "region"), "oldest: {{region}}"),
                ),
            ),
            Panel(
                "Damaged logs",
                "By region. 1: the log was changed, cut off or rolled back, and nothing is added to it.",
                (Query(now("ekyc_evidence_log_damaged", "region"), "{{region}}"),),
            ),
        ),
    ),
    (
        "Redis",
        (
            Panel(
                "Memory",
                "Used memory, and its limit. Act at 80 %.",
                (
                    Query(f"max(ekyc_redis_memory_used_bytes{FLEET})", "used"),
                    Query(f"max(ekyc_redis_memory_limit_bytes{FLEET})", "limit"),
                ),
                unit="bytes",
            ),
            Panel(
                "Replaced ledgers",
                "By region. 1: Redis has another ledger than the fleet knows, and nothing is claimed.",
                (Query(now("ekyc_ledger_replaced", "region"), "{{region}}"),),
            ),
            Panel(
                "Durability",
                "By setting. 1: as required, 0.5: all but the last seconds are kept, 0: not durable.",
                (Query(f"max by (setting) (ekyc_redis_durable{FLEET})", "{{setting}}"),),
            ),
        ),
    ),
    (
        "Audit log",
        (
            Panel(
                "How full",
                "By part. 1: each new entry pushes out the oldest. Parts without a region are shown, too.",
                (Query(_by_part("ekyc_audit_log_used_ratio"), "{{part}} {{region}}"),),
                unit="percentunit",
            ),
            Panel(
                "Goes back",
                "For how long each part is complete, to its oldest entry.",
                (
                    Query(
                        f"time() - {_by_part('ekyc_audit_log_oldest_timestamp_seconds')}",
                        "{{part}} {{region}}",
                    ),
                ),
                unit="s",
            ),
            Panel(
                "Not kept, not taken",
                "Entries that newer ones pushed out in the last hour, and acts that were refused without an entry.",
                (
                    Query(_growth_by_part("ekyc_audit_log_dropped_total"), "dropped: {{part}} {{region}}"),
                    Query(_growth_by_part("ekyc_audit_log_refused_total"), "refused: {{part}} {{region}}"),
                ),
            ),
        ),
    ),
    (
        "Webhooks",
        (
            Panel(
                "Waiting",
                "Deliveries that an endpoint has not acknowledged yet.",
                (Query(_by_endpoint("ekyc_webhooks_waiting"), "{{region}} {{endpoint}}"),),
            ),
            Panel(
                "Given up",
                "Deliveries whose tries are used up. A person resends them.",
                (Query(_by_endpoint("ekyc_webhooks_given_up"), "{{region}} {{endpoint}}"),),
            ),
            Panel(
                "Way to the pause",
                "How near an endpoint is to its pause; 1: it is paused for its failures.",
                (Query(_by_endpoint("ekyc_endpoint_strain"), "{{region}} {{endpoint}}"),),
            ),
            Panel(
                "Overdue",
                "For how long the oldest due delivery has been due.",
                (Query(_by_endpoint("ekyc_webhooks_oldest_due_seconds"), "{{region}} {{endpoint}}"),),
                unit="s",
            ),
            Panel(
                "Tries",
                "Tries per second that were acknowledged, and that failed.",
                (
                    Query(rate("ekyc_webhooks_acknowledged_total", "endpoint"), "{{endpoint}} acknowledged"),
                    Query(rate("ekyc_webhook_tries_failed_total", "endpoint"), "{{endpoint}} failed"),
                ),
                unit="ops",
            ),
            Panel(
                "Faults",
                "Failed tries per second, by cause.",
                (Query(rate("ekyc_webhook_faults_total", "cause"), "{{cause}}"),),
                unit="ops",
            ),
            Panel(
                "Paused",
                "1: a person or the fleet has paused the endpoint.",
                (Query(_by_endpoint("ekyc_endpoint_paused"), "{{region}} {{endpoint}}"),),
            ),
        ),
    ),
    (
        "Workers",
        (
            Panel("Number", "Seen in the last 20 s.", (Query(f"max(ekyc_workers{FLEET})", "workers"),)),
            Panel(
                "Versions",
                "Each worker with the version of its decision table and of its code.",
                (Query(f"max by (worker, table, version) (ekyc_worker_info{FLEET})", instant=True),),
                kind="table",
                width=16,
                hidden=("Value",),
            ),
            Panel(
                "Shadow tables",
                "Each worker that has a shadow table, with its version.",
                (Query(f"max by (worker, table) (ekyc_worker_shadow_table{FLEET})", instant=True),),
                kind="table",
                width=COLUMNS,
                hidden=("Value",),
            ),
        ),
    ),
)


def panels() -> list[Json]:
    """Return all rows, each followed by its panels from left to right."""
    placed: list[Json] = []
    y = 0
    for title, row in ROWS:
        header = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        placed.append(
            {
                "id": len(placed) + 1,
                "type": "row",
                "title": title,
                "gridPos": header,
                "collapsed": False,
                "panels": [],
            }
        )
        x, y, height = 0, y + 1, 0
        for panel in row:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            placed.append(panel.as_json(len(placed) + 1, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return placed


def variable(name: str, label: str, query: str, **others: Any) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
    } | others


def dashboard() -> Json:
    chosen = {"selected": True, "text": "All", "value": "$__all"}
    return {
        "uid": "ekyc",
        "title": "eKYC worker fleet",
        "description": "Figures of the ledger, from `web`. docs/metrics.md explains each figure.",
        "tags": ["ekyc"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "graphTooltip": 1,
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                variable("job", "ledger", "label_values(ekyc_up, job)"),
                variable(
                    "region",
                    "region",
                    'label_values(ekyc_verifications_in_flight{job="$job"}, region)',
                    multi=True,
                    includeAll=True,
                    current=chosen,
                ),
            ]
        },
        "annotations": {"list": []},
        "links": [],
        "panels": panels(),
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
