"""From the bytes of an answer to its decision, by the functions of the tasks; and an independent reader of answers."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, Final

from worker.advance.answers import Settled, classify, read_again
from worker.advance.exchange import Exchange
from worker.decisions import facts
from worker.decisions.authenticity import sealed
from worker.decisions.table import Table
from worker.ledger import codec
from worker.ledger.fields import Field
from worker.ledger.models import Stage, Verification
from worker.ledger.transitions import Destination
from worker.policy.backoff import Backoffs
from worker.policy.outcome_seal import Sealer
from worker.policy.rules import Policy
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from worker.advance.answers import Answer

ASKED: Final = "f302f5d2454a85c2"

#: What became of an answer that is not decided.
QUARANTINED: Final = "(quarantine)"
WAITS: Final = "(waits)"

SEALER: Final = Sealer.from_secrets([b"a key of the tests"])
TABLE: Final = Table.load(None)

POLICY: Final = Policy(Backoffs.from_settings(Settings()), deadline_s=7200.0, random=Random(1))


def answer_to(raw: bytes, *, status: int = 200, asked: str = ASKED) -> Answer:
    return classify(Exchange(status, body=raw), signature_id=asked, now=0.0)


def recorded(answer: Answer, *, asked: str = ASKED) -> Verification | str:
    """The verification as the ledger has it after an answer, or what became of it."""
    before = Verification(asked, "ph", Stage.POLLING, 1, read_at_ms=1000)
    write = sealed(POLICY.after(before, answer), before, answer, SEALER)
    if write.place is Destination.QUARANTINE:
        return QUARANTINED
    if write.place is not Destination.HELD:
        return WAITS
    stored = {field.key: text.encode() for field, text in write.fields.items()}
    return codec.verification("ph", asked, stored | {Field.STAGE.key: b"routing"}, read_at_ms=2000)


def fate(raw: bytes, *, status: int = 200, asked: str = ASKED, table: Table = TABLE) -> str:
    """The name of the decision that an answer leads to, `QUARANTINED` or `WAITS`."""
    answer = answer_to(raw, status=status, asked=asked)
    found = recorded(answer, asked=asked)
    if isinstance(found, str):
        return found
    assert isinstance(answer, Settled)
    # As it is read again from the evidence store, when the MAC of the ledger fails.
    again = recorded(read_again(answer.raw, signature_id=asked), asked=asked)
    assert again == found, "the stored answer has another outcome"
    assert SEALER.confirms_outcome(found)
    return table.decide(facts.of_verification(found))


def may_be_approved(raw: bytes, asked: str = ASKED) -> bool:
    """Whether everything that a careful reader of these bytes finds says PASS with SUCCESS for the id that was asked.

    It reads JSON by itself, with every name that occurs, whatever its letter case and however often.
    """
    try:
        whole = json.loads(raw, object_pairs_hook=Pairs, parse_int=_short, strict=False)
    except (ValueError, RecursionError):
        return False
    if not isinstance(whole, Pairs) or whole.said("code") != {"SUCCESS"}:
        return False
    data = [each for each in whole.values("data") if each is not None]
    if not data or not all(isinstance(each, Pairs) for each in data):
        return False
    return all(_passes(each, asked) for each in data)


class Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, all of them."""

    def values(self, name: str) -> Iterator[Any]:
        return (value for given, value in self if given.lower() == name.lower())

    def said(self, name: str) -> set[str]:
        """Each value of a name but null, as JSON text."""
        return {
            value if isinstance(value, str) else repr(value)
            for value in self.values(name)
            if value is not None
        }


def _short(digits: str) -> str:
    """An integer of any length: of no number does anything here depend on its value."""
    return digits[:40]


def _passes(data: Pairs, asked: str) -> bool:
    codes = {str(code) for code in _entries(data) if code not in (None, "")}
    results = {text.upper() for text in data.said("overallResult") | data.said("idvResult")}
    is_pending = [given for given, _ in data].count("overallResult") and not data.said("overallResult")
    words = {
        text.upper()
        for name, given in (("docDetail", ("docResult", "ocrResult")), ("faceDetail", ("faceResult",)))
        for part in _parts(data, name)
        for result in given
        for text in part.said(result)
        if text
    }
    attacks = {text for part in _parts(data, "faceDetail") for text in part.said("livenessAttackType")}
    return (
        data.said("signatureId") == {asked}
        and codes == {"SUCCESS"}
        and results == {"PASS"}
        and not is_pending
        and data.said("submissionCompleted") <= {"True"}
        and words <= {"PASS"}
        and attacks <= {"3"}
    )


def _parts(data: Pairs, name: str) -> Iterator[Pairs]:
    return (part for part in data.values(name) if isinstance(part, Pairs))


def _entries(data: Pairs) -> Iterable[Any]:
    yield from data.values("errorCode")
    for several in data.values("errorCodes"):
        yield from several if isinstance(several, list) and not isinstance(several, Pairs) else [several]
