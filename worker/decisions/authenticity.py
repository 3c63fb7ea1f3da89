"""Whether a worker wrote what the ledger says about an outcome, a decision and a delivery, before it is acted on.

The MACs of ``worker.policy.outcome_seal`` show it. Where one is missing, as of an older release, or made by a key that
is no longer known, the answer in the evidence store decides: the outcome is derived from it again. Where that shows
another outcome, or there is no answer, something else than a worker wrote to the ledger. With keys, an answer that was
ever plain in the store shows nothing: the vendor is asked again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import structlog

from schemas.decision import Decision, decision_id, load_decision
from schemas.errors import SchemaError
from worker.advance.answers import Settled, UnknownId, read_again
from worker.decisions import facts
from worker.decisions.events import MEMBERS
from worker.decisions.webhooks import of_decision, packed
from worker.errors import OutcomeForged
from worker.evidence.paths import ANSWER, DECISION
from worker.evidence.sealing import Origin
from worker.ledger.fields import Field
from worker.ledger.webhooks import DECIDED
from worker.policy.outcome_seal import Outcome
from worker.policy.rules import SIGNATURE_NOT_EXIST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemas.result import Result
    from worker.advance.answers import Answer
    from worker.decisions.endpoints import Endpoint
    from worker.decisions.table import Table
    from worker.evidence.store import Evidence
    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition
    from worker.ledger.webhooks import Delivery
    from worker.policy.outcome_seal import Sealer

_log = structlog.get_logger(__name__)


def outcome_of(result: Result) -> Outcome:
    """The outcome of a result of the vendor."""
    return Outcome(
        result.overall_result.value if result.overall_result else None,
        result.error_code,
        result.contradiction.value if result.contradiction else None,
        facts.text_of(result),
    )


def established(answer: Answer) -> Outcome | None:
    """The outcome of an answer that is kept as evidence. None: it has none."""
    match answer:
        case Settled():
            return outcome_of(answer.result)
        case UnknownId():
            return Outcome(None, None, SIGNATURE_NOT_EXIST)
    return None


def sealed(transition: Transition, verification: Verification, answer: Answer, sealer: Sealer) -> Transition:
    """The transition of `answer`; of an outcome with the facts that decision tables read, and its MAC.

    The MAC covers what this answer says, and nothing that the ledger said before.
    """
    if isinstance(answer, Settled):
        found = outcome_of(answer.result)
    elif reason := transition.fields.get(Field.REASON):
        found = Outcome(None, None, reason)
    else:
        return transition
    seal = sealer.outcome(verification.region, verification.signature_id, found)
    more = {} if found.facts is None else {Field.FACTS: found.facts}
    return replace(transition, fields={**transition.fields, **more, Field.OUTCOME_SEAL: seal})


@dataclass(frozen=True, slots=True)
class Authenticity:
    """Checks what the ledger says. Thread-safe. It may read the evidence store, and then raises its errors."""

    sealer: Sealer = field(repr=False)
    evidence: Evidence
    table: Table

    def checked(self, verification: Verification) -> Verification:
        """Return a verification at the stage of routing with an outcome that is proven, or with a proven decision.

        Raises ``OutcomeForged``, and errors of the evidence store.
        """
        if is_fixed(verification):
            self.check_decision(verification)
            return verification
        if self.sealer.confirms_outcome(verification):
            return verification
        return self._derived(verification)

    def check_decision(self, verification: Verification) -> None:
        """Raise ``OutcomeForged`` unless a worker fixed the decision. Raises errors of the evidence store."""
        if not self.sealer.confirms_decision(verification):
            self._check_decision(verification)

    def _derived(self, verification: Verification) -> Verification:
        """The verification with the facts of the stored answer, if its outcome is the same."""
        recorded, kept = Outcome.of(verification), self._kept(verification)
        if kept is None and verification.outcome_seal is None and recorded.overall_result is None:
            raise OutcomeForged(OutcomeForged.UNPROVEN)
        if kept is None:
            raise OutcomeForged(OutcomeForged.NO_ANSWER)
        if replace(recorded, facts=kept.facts) != kept or recorded.facts not in {None, kept.facts}:
            raise OutcomeForged(OutcomeForged.OTHER_OUTCOME)
        _log.info("outcome_derived", signature_id=verification.signature_id, region=verification.region)
        return replace(verification, facts=kept.facts)

    def _kept(self, verification: Verification) -> Outcome | None:
        """The outcome of the stored answer. Raises ``OutcomeForged`` for one that no worker with keys stored."""
        region, signature_id = verification.region, verification.signature_id
        found = self.evidence.of(region, signature_id).content(ANSWER)
        if found is None:
            return None
        if found.origin is not Origin.WRITTEN:
            raise OutcomeForged(OutcomeForged.UNPROVEN)
        return established(read_again(found.body, signature_id=signature_id))

    def _check_decision(self, verification: Verification) -> None:
        """Raise ``OutcomeForged`` unless the stored decision is the recorded one.

        Where none is stored, the stored answer must lead to it, under the table in use.
        """
        decision = _read(verification.decision or "")
        if decision is None or decision.decision != verification.decision_name:
            raise OutcomeForged(OutcomeForged.OTHER_DECISION)
        one = self.evidence.of(verification.region, verification.signature_id)
        file = one.content(DECISION)
        if file and file.origin is Origin.WRITTEN:
            stored = one.decision()
            if stored is None or replace(decision, context=None) != stored.decision:
                raise OutcomeForged(OutcomeForged.OTHER_DECISION)
            return
        kept = self._kept(verification)
        if kept is None:
            raise OutcomeForged(OutcomeForged.NO_ANSWER)
        region, signature_id = verification.region, verification.signature_id
        derived = replace(
            verification,
            overall_result=kept.overall_result,
            error_code=kept.error_code,
            reason=kept.reason,
            facts=kept.facts,
        )
        expected = (
            decision_id(region, signature_id),
            signature_id,
            region,
            self.table.decide(facts.of_verification(derived)),
            *(kept.overall_result, kept.error_code, kept.reason),
            self.evidence.of(region, signature_id).url,
        )
        found = (
            *(decision.id, decision.signature_id, decision.region, decision.decision),
            *(decision.overall_result, decision.error_code, decision.reason, decision.evidence.url),
        )
        if found != expected:
            raise OutcomeForged(OutcomeForged.OTHER_DECISION)


@dataclass(frozen=True, slots=True)
class DeliveryCheck:
    """Checks the body of a delivery before it is signed and sent.

    Parameters:
        verification: reads a verification from the ledger; None: it is unknown.
    """

    authenticity: Authenticity
    endpoints: Mapping[str, Endpoint]
    verification: Callable[[str, str], Verification | None]

    def __call__(self, delivery: Delivery) -> bool:
        """Whether a worker made the body. Raises errors of the evidence store and of the ledger."""
        sealer = self.authenticity.sealer
        if sealer.confirms_delivery(
            delivery.seal, delivery.region, delivery.id, delivery.endpoint, delivery.body
        ):
            return True
        if delivery.type == DECIDED:
            return self._is_of_decision(delivery)
        return is_event(delivery.type, delivery.body)

    def _is_of_decision(self, delivery: Delivery) -> bool:
        """Whether the decision that the ledger has leads to this delivery, as of one that an older release made."""
        verification = self.verification(delivery.region, delivery.signature_id)
        if verification is None or not is_fixed(verification):
            return False
        try:
            self.authenticity.check_decision(verification)
        except OutcomeForged:
            return False
        made = of_decision(verification.decision or "", [delivery.endpoint], self.endpoints)
        return [(each.id, each.body) for each in made] == [(delivery.id, delivery.body)]


def is_fixed(verification: Verification) -> bool:
    """Whether the ledger has a decision."""
    return bool(verification.decision and verification.decision_name)


def is_event(name: str, body: str) -> bool:
    """Whether a body without a MAC is that of an event called `name`, and cannot be taken for a decision.

    People and `web` make events, too, and may have no key. Every reader of JSON must find the same in the body, also
    one that ignores case in names: so the body must be written as we write it, with the members of its type alone.
    """
    try:
        found: Any = json.loads(body)
        written = packed(found) if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        return False
    if written != body or name not in MEMBERS:
        return False
    is_flat = all(value is None or isinstance(value, str) for value in found.values())
    return is_flat and found.get("type") == name and found.keys() == MEMBERS[name]


def _read(text: str) -> Decision | None:
    """The decision of a text that is written as we write one. None: it is not."""
    try:
        found: Any = json.loads(text)
        if not isinstance(found, dict) or packed(found) != text:
            return None
        return load_decision(found)
    except (ValueError, RecursionError, SchemaError):
        return None
