"""A contradiction on its way from the answer to the decision: the ledger's fields, and the table."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from schemas.result import Contradiction
from tests.support.decided import ROWS_TABLE, decided
from tests.support.odd_answers import passed
from worker.advance.answers import Settled, TransientFault, read_again
from worker.decisions.table import Table
from worker.errors import ConfigError
from worker.ledger.fields import Field
from worker.ledger.models import Stage, Verification
from worker.policy.backoff import Backoff, Backoffs
from worker.policy.rules import Policy, trip

if TYPE_CHECKING:
    from pathlib import Path

ROWS = ROWS_TABLE.read_text("utf-8")
ID = "f302"


def section(text: str) -> str:
    """The lines of `[contradictions]`."""
    return text[text.index("[contradictions]") : text.index("[[rows]]")]


def table(folder: Path, contradictions: str, **changes: str) -> Table:
    text = ROWS.replace(section(ROWS), contradictions)
    for old, new in changes.items():
        text = text.replace(f'{old} = "review"', f'{old} = "{new}"')
    path = folder / "mine.toml"
    path.write_text(text)
    return Table.load(path)


@pytest.mark.parametrize("contradiction", Contradiction)
def test_the_packaged_table_names_each_contradiction(contradiction: str) -> None:
    assert contradiction in Table.load(None).values("reason")
    assert decided(Table.load(None), "PASS", "SUCCESS", contradiction) == "review"


@pytest.mark.parametrize("contradiction", Contradiction)
def test_a_table_may_decide_a_contradiction_otherwise(tmp_path: Path, contradiction: str) -> None:
    mine = table(tmp_path, f'[contradictions]\n{contradiction} = "call_them"\n')

    assert decided(mine, "PASS", "SUCCESS", contradiction) == "call_them"
    assert all(
        decided(mine, "PASS", "SUCCESS", one) == "review" for one in Contradiction if one != contradiction
    )


@pytest.mark.parametrize("contradiction", Contradiction)
def test_a_table_of_an_earlier_version_decides_contradictions_by_otherwise(
    tmp_path: Path, contradiction: str
) -> None:
    assert decided(table(tmp_path, ""), "PASS", "SUCCESS", contradiction) == "review"
    assert decided(table(tmp_path, "", otherwise="look"), "PASS", "SUCCESS", contradiction) == "look"


@pytest.mark.parametrize(
    ("contradictions", "fault"),
    [
        ('[contradictions]\nDOC_RESULT = "approve"\n', "contradictions: DOC_RESULT may not be approve"),
        ('[contradictions]\nDOC_RESULT = "Re view"\n', "contradictions: DOC_RESULT must be a name"),
        ("[contradictions]\nDOC_RESULT = 1\n", "contradictions: DOC_RESULT must be a name"),
        ('[contradictions]\nDOC_RESLT = "review"\n', "contradictions: 'DOC_RESLT' is unknown, known are "),
        ("[[contradictions]]\n", "contradictions: must be written under a line [contradictions]"),
    ],
)
def test_promise_7_a_table_with_another_contradiction_is_refused(
    tmp_path: Path, contradictions: str, fault: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        table(tmp_path, contradictions)
    assert fault in str(caught.value)


def settled(**fields: Any) -> dict[Field, str]:
    """The fields of the ledger after a PASS whose document did not pass."""
    policy = Policy(Backoffs(Backoff(2, 2, 600), Backoff(2, 2, 600)), deadline_s=7200, random=Random(1))
    answer = read_again(passed(ID, docDetail={"ocrResult": "FAIL"}), signature_id=ID)
    assert isinstance(answer, Settled)
    known = Verification(ID, "ph", Stage.POLLING, enqueued_at_ms=0, read_at_ms=1000, **fields)
    return policy.after(known, answer).fields


def test_the_ledger_has_the_result_and_what_contradicts_it() -> None:
    fields = settled()

    names = (Field.OVERALL_RESULT, Field.ERROR_CODE, Field.REASON)
    assert tuple(map(fields.get, names)) == ("PASS", "SUCCESS", "DOC_RESULT")


def test_an_answer_that_comes_again_without_its_contradiction_has_none() -> None:
    policy = Policy(Backoffs(Backoff(2, 2, 600), Backoff(2, 2, 600)), deadline_s=7200, random=Random(1))
    known = Verification(ID, "ph", Stage.POLLING, enqueued_at_ms=0, read_at_ms=1000, reason="DOC_RESULT")

    assert policy.after(known, read_again(passed(ID), signature_id=ID)).fields[Field.REASON] == ""


def test_what_was_decided_keeps_its_reason() -> None:
    """A late answer is evidence: why it was decided does not change."""
    assert Field.REASON not in settled(decision="{}", decision_name="review", reason="DEADLINE_PASSED")


def test_only_a_fault_that_may_be_the_vendors_is_counted_against_it() -> None:
    assert trip(TransientFault("NOT_JSON")) is not None
    assert trip(TransientFault("NOT_JSON", vendor_answers=True)) is None
