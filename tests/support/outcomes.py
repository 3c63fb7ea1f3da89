"""Verifications on their way through a ledger, with the facts of an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from schemas.enqueue import EnqueueRequest
from worker.decisions.facts import packed
from worker.ledger import transitions
from worker.ledger.fields import Field
from worker.ledger.models import Batch, EvidenceState, Stage
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.decisions.facts import Facts
    from worker.ledger import Ledger
    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition


def settle_all(ledger: Ledger, region: str, answers: Mapping[str, Facts], *, facts: bool = True) -> Batch:
    """Enqueue verifications, and settle each by its answer. Without `facts`: as an older release did.

    Returns the batch that holds them at the stage archiving.
    """
    ledger.enqueue([EnqueueRequest(signature_id, region) for signature_id in answers])
    (batch,) = ledger.claim(region, limit=len(answers)).batches

    def settle(verification: Verification) -> Transition:
        answer = answers[verification.signature_id]
        if answer.overall_result is None and answer.reason:
            return transitions.unsettled(
                verification, Heard("pending"), reason=answer.reason, answer_kept=True
            )
        code = answer.error_codes[0] if answer.error_codes else None
        transition = transitions.settle(
            verification,
            Heard("result"),
            overall_result=answer.overall_result,
            error_code=code,
            contradiction=answer.reason,
        )
        kept = {Field.FACTS: packed(answer, code)} if facts else {}
        return replace(transition, fields={**transition.fields, **kept})

    _record(ledger, batch, settle, ledger.load(batch))
    return replace(batch, stage=Stage.ARCHIVING)


def decide_all(
    ledger: Ledger,
    region: str,
    answers: Mapping[str, Facts],
    decision: Callable[[Verification], str],
    *,
    table: str,
    facts: bool = True,
) -> None:
    """Settle verifications, and decide and deliver each."""
    batch = settle_all(ledger, region, answers, facts=facts)
    _record(ledger, batch, lambda one: transitions.archived(one, EvidenceState.COMPLETE), ledger.load(batch))
    routing = replace(batch, stage=Stage.ROUTING)
    loaded, text = ledger.load(routing), json.dumps({"table": table})
    _record(ledger, routing, lambda one: transitions.decide(one, name=decision(one), decision=text), loaded)
    _record(ledger, routing, lambda one: transitions.delivered(one, name=decision(one)), loaded)


def _record(
    ledger: Ledger,
    batch: Batch,
    make: Callable[[Verification], Transition],
    loaded: Sequence[Verification],
) -> None:
    """Record one transition of each verification of a batch."""
    assert all(each.written for each in ledger.record(batch, [make(one) for one in loaded]))
