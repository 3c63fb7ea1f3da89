"""The state and history of one verification, as text and as JSON. The pipeline's context is left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import decision_id
from schemas.result import Contradiction
from worker.enqueue_request import DEFAULT_PIPELINE
from worker.evidence import paths
from worker.ledger import Ledger, Stats
from worker.ledger.models import Stage
from worker.ledger.moments import rfc3339, rfc3339_or_none
from worker.ledger.webhooks import State, Webhooks
from worker.policy.time_format import hold_text, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from redis import Redis

    from worker.ledger.models import Hold, Status, Verification
    from worker.ledger.webhooks import Delivery

#: What a verification waits for at its stage.
_WAITS: Final = {
    Stage.POLLING: "to be polled",
    Stage.ARCHIVING: "for its images to be archived",
    Stage.ROUTING: "to be decided and delivered",
    Stage.DELIVERING: "for endpoints to acknowledge its decision",
}


class StatusView:
    """A verification as `ekyc status` and the console show it.

    Parameters:
        status: its status in the ledger.
        hold: the hold of its region, or None.
        evidence_url: where evidence is kept; "" if not set.
        replaced: whether workers claim nothing, because the ledger is not the one they know.
        deliveries: those that endpoints have not acknowledged yet.
    """

    def __init__(
        self,
        status: Status,
        hold: Hold | None,
        evidence_url: str,
        *,
        replaced: bool = False,
        deliveries: Sequence[Delivery] = (),
    ) -> None:
        self._status = status
        self._verification = status.verification
        self._hold = hold
        self._replaced = replaced
        self._deliveries = deliveries
        self._place = evidence_url.rstrip("/")

    @classmethod
    def read(cls, redis: Redis, region: str, signature_id: str, evidence_url: str) -> StatusView | None:
        """Return the view of one verification; None: its region does not know it. Raises ``LedgerUnavailable``."""
        ledger = Ledger(redis)
        status = ledger.status(region, signature_id)
        if status is None:
            return None
        holds = Stats(redis).counts(region).holds
        waits_for = status.verification.deliveries
        return cls(
            status,
            holds[0] if holds else None,
            evidence_url,
            replaced=ledger.identify(region).is_replaced,
            deliveries=Webhooks(redis).of_verification(region, decision_id(region, signature_id), waits_for)
            if waits_for
            else (),
        )

    @property
    def status(self) -> Status:
        return self._status

    @property
    def hold(self) -> Hold | None:
        """The hold of its region."""
        return self._hold

    @property
    def deliveries(self) -> Sequence[Delivery]:
        return self._deliveries

    @property
    def verification(self) -> Verification:
        return self._verification

    @property
    def evidence_url(self) -> str | None:
        """Where its evidence is or will be; None if nothing is kept yet, or the store is not set."""
        known = self._verification
        if (decision := self._decision()) and isinstance(evidence := decision.get("evidence"), dict):
            return str(evidence.get("url", ""))
        # Nothing is kept before the first result.
        if not self._place or known.stage is Stage.POLLING:
            return None
        return f"{self._place}/{paths.folder(known.region, known.signature_id)}"

    def as_json(self) -> dict[str, Any]:
        """The keys that the help of `ekyc status` names."""
        known, status = self._verification, self._status
        return {
            "signature_id": known.signature_id,
            "region": known.region,
            "pipeline": known.pipeline,
            "stage": known.stage.value,
            "polls": known.polls,
            "nulls": known.nulls,
            "faults": known.faults,
            "starts": status.starts,
            "submission_completed": known.submission_completed,
            "transaction_id": known.transaction_id,
            "overall_result": known.overall_result,
            "error_code": known.error_code,
            "reason": known.reason,
            "quarantine_reason": known.quarantine_reason,
            "batch": status.batch_id,
            "hold": self._hold
            and {
                "reason": self._hold.reason,
                "until": rfc3339(self._hold.until_ms),
                "half_open": self._hold.half_open,
            },
            "evidence": {"url": self.evidence_url, "state": known.evidence and known.evidence.value},
            "decision": self._decision(),
            "deliveries": [
                {
                    "id": each.id,
                    "endpoint": each.endpoint,
                    "state": each.state.value,
                    "tries": each.tries,
                    "fault": each.fault,
                    "due_at": rfc3339_or_none(each.due_at_ms),
                }
                for each in self._deliveries
            ],
            "enqueued_at": None if known.stage is Stage.ERASED else rfc3339(known.enqueued_at_ms),
            "erased_at": rfc3339(known.enqueued_at_ms) if known.stage is Stage.ERASED else None,
            "settled_at": rfc3339_or_none(known.settled_at_ms),
            "retried_at": rfc3339_or_none(known.retried_at_ms),
            "due_at": rfc3339_or_none(status.due_at_ms),
            "leased_until": rfc3339_or_none(status.leased_until_ms),
            "now": rfc3339(status.now_ms),
            "timeline": [
                {
                    "at": rfc3339(event.at_ms),
                    "event": event.name,
                    "detail": event.detail,
                    "worker": event.worker,
                }
                for event in status.timeline
            ],
        }

    def lines(self) -> Iterator[str]:
        """Yield a headline, the facts, and the timeline."""
        known = self._verification
        yield f"{known.region}/{known.signature_id}: {self.headline()}"
        for name, fact in self.facts():
            if fact:
                yield f"  {name:<15} {fact}"
        yield ""
        yield self._event(known.enqueued_at_ms, "erased" if known.stage is Stage.ERASED else "enqueued")
        for event in self._status.timeline:
            yield self._event(event.at_ms, event.name, event.detail, event.worker)

    def headline(self) -> str:
        """Return its state in a few words, what it waits for, and until when."""
        stage = self._verification.stage
        if stage is Stage.DONE:
            return "done"
        if stage is Stage.QUARANTINED:
            return f"in quarantine ({self._verification.quarantine_reason}): a person must look at it"
        if stage in {Stage.DROPPED, Stage.ERASED}:
            return self._dropped() if stage is Stage.DROPPED else self._erased()
        if self._status.leased_until_ms is not None:
            left = span((self._status.leased_until_ms - self._status.now_ms) / 1000)
            return f"a worker processes it ({stage}), for at most {left} more"
        if stage is Stage.DELIVERING:
            return f"decided, and waits {_WAITS[stage]}"
        # What follows the decision is evidence, and changes nothing for the pipeline.
        decided = "decided, and " if self._verification.decision and stage is not Stage.ROUTING else ""
        return f"{decided}waits {_WAITS[stage]}, {self._due()}"

    def _dropped(self) -> str:
        act = next((event for event in reversed(self._status.timeline) if event.name == "dropped"), None)
        return f"dropped by {act.worker}: {act.detail}" if act else "dropped"

    def _erased(self) -> str:
        if self._verification.reason:
            return "its erasure has not ended: run `ekyc evidence erase` again"
        return "erased: only this mark is left, and the certificate in the evidence store"

    def _due(self) -> str:
        if self._status.due_at_ms is None:
            # The ledger changed it between two reads.
            return "due now"
        in_s = (self._status.due_at_ms - self._status.now_ms) / 1000
        if in_s > 0:
            return f"due in {span(in_s)}"
        if self._replaced:
            why = "workers claim nothing, because Redis was replaced; see `ekyc doctor`"
        elif self._hold and self._verification.stage is Stage.POLLING:
            why = "its region is on hold"
        else:
            why = "no worker has taken it yet"
        return f"due since {span(-in_s)}: {why}"

    def facts(self) -> Iterator[tuple[str, str | None]]:
        """Yield what is known by its name; None or "": nothing is."""
        known = self._verification
        if known.stage is Stage.ERASED:
            # The mark has the time of the erasure, and nothing else.
            yield "erased", f"{span((self._status.now_ms - known.enqueued_at_ms) / 1000)} ago"
            return
        if self._hold and known.stage is Stage.POLLING:
            left = span((self._hold.until_ms - self._status.now_ms) / 1000)
            said = (
                hold_text(self._hold)
                if self._hold.half_open
                else f"on hold for {left} more ({self._hold.reason})"
            )
            yield "region", said
        yield "pipeline", known.pipeline if known.pipeline != DEFAULT_PIPELINE else None
        yield "enqueued", f"{span((self._status.now_ms - known.enqueued_at_ms) / 1000)} ago"
        if known.retried_at_ms is not None:
            retried_s = (self._status.now_ms - known.retried_at_ms) / 1000
            yield "retried", f"{span(retried_s)} ago, when its deadline started over"
        yield "polls", f"{known.polls} (null in a row: {known.nulls}, faults in a row: {known.faults})"
        yield "user is done", "yes" if known.submission_completed else "not known"
        yield "transaction id", known.transaction_id and f"{known.transaction_id} (for the vendor's support)"
        yield "result", " ".join(filter(None, (known.overall_result, known.error_code)))
        yield self._reason()
        yield "decision", known.decision_name
        for delivery in self._deliveries:
            yield "delivery", self._delivery(delivery)
        yield "evidence", self._evidence()
        yield "held by batch", self._status.batch_id
        yield "starts", str(self._status.starts) if self._status.starts > 1 else None

    def _reason(self) -> tuple[str, str | None]:
        known = self._verification
        if not known.overall_result:
            return "no result", known.reason
        # A result that came after the deadline leaves the reason of the decision as it was.
        return "contradicted by" if known.reason in list(Contradiction) else "decided for", known.reason

    def _event(self, at_ms: int, name: str, detail: str = "", worker: str = "") -> str:
        since_s = (at_ms - self._verification.enqueued_at_ms) / 1000
        return f"  {rfc3339(at_ms)}  {since_s:>+10.3f} s  {name:<14} {detail:<24} {worker}".rstrip()

    def _delivery(self, delivery: Delivery) -> str:
        tries = f"{delivery.tries} tries" + (f", the last one {delivery.fault}" if delivery.fault else "")
        said = f"{delivery.endpoint}: {tries}"
        if delivery.state is State.FAILED:
            return f"{said}; given up: run `ekyc deliveries resend {delivery.id}`"
        if delivery.due_at_ms is None:
            return f"{said}; a worker sends it"
        in_s = (delivery.due_at_ms - self._status.now_ms) / 1000
        return f"{said}; due {f'in {span(in_s)}' if in_s > 0 else 'now'}"

    def _evidence(self) -> str | None:
        url, state = self.evidence_url, self._verification.evidence
        return url and (f"{url} ({state})" if state else url)

    def _decision(self) -> dict[str, Any] | None:
        if self._verification.decision is None:
            return None
        try:
            decision: Any = json.loads(self._verification.decision)
        except (ValueError, RecursionError):
            return None
        if not isinstance(decision, dict):
            # A Redis client wrote it.
            return None
        decision.pop("context", None)
        return decision
