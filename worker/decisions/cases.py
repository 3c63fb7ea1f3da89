"""Cases of a decision table: facts, and the decision that they must lead to."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import DECISION_NAME
from schemas.face import MAX_SCORE
from worker.decisions.draft import BOUNDS
from worker.decisions.facts import Facts
from worker.decisions.positions import Positions
from worker.decisions.rules import ONE_OF, SCORES
from worker.decisions.table import Source
from worker.enqueue_request import canonical_region
from worker.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from worker.decisions.table import Table

PACKAGED: Final = resources.files("worker.decisions") / "default-cases.toml"

#: Facts that a case may give as a list.
_LISTS: Final = ("error_code", "forgery_labels", "quality_labels")

_KEYS: Final = ("name", "decision", *ONE_OF, *SCORES)


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `line` is where the file has it."""

    name: str
    line: int
    facts: Facts
    decision: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A case for which the table decides otherwise than it should."""

    case: Case
    decided: str


def read_cases(path: Path | None) -> list[Case]:
    """The cases of a file, None being those of the packaged table.

    Raises ``InvalidInput`` with a line for each fault, and ``ConfigError`` for a file that cannot be read.
    """
    source = Source.read(path, PACKAGED)
    positions, faults, cases = Positions.of(source.text), list[str](), list[Case]()
    found = source.document.get("cases")
    if not isinstance(found, list) or set(source.document) != {"cases"}:
        raise InvalidInput(f"{source.name}: has no cases: write each under a line [[cases]]")
    for number, given in enumerate(found):
        line = positions.line(("cases", number)) or 1
        try:
            cases.append(_case(number + 1, line, given))
        except ValueError as error:
            faults.append(f"{source.name}:{line}: case {number + 1}: {error}")
    if faults:
        raise InvalidInput("\n".join(faults))
    return cases


def failures(table: Table, cases: list[Case]) -> list[Failure]:
    """The cases that `table` decides otherwise."""
    decided = ((case, table.decide(case.facts)) for case in cases)
    return [Failure(case, decision) for case, decision in decided if decision != case.decision]


def _case(number: int, line: int, given: Any) -> Case:
    """Raises ``ValueError``."""
    if not isinstance(given, dict):
        raise ValueError("write it under a line [[cases]]")  # noqa: TRY004 - one kind for all faults
    for key in given:
        if key not in _KEYS:
            raise ValueError(f"{key} is unknown: known are {', '.join(_KEYS)}")
    decision, name = given.get("decision"), given.get("name", f"case {number}")
    if not isinstance(decision, str) or not DECISION_NAME.fullmatch(decision):
        raise ValueError('decision is missing or no name: write one such as decision = "review"')
    if not isinstance(name, str) or not name.isprintable():
        raise ValueError("name is no line of text")
    return Case(name, line, _facts(given), decision)


def _facts(given: Mapping[str, Any]) -> Facts:
    values = {name: _texts(name, given[name]) for name in ONE_OF if name in given}
    region = values.get("region", ("",))[0]
    return Facts(
        overall_result=_only(values, "overall_result"),
        error_codes=values.get("error_code", ()),
        region=canonical_region(region) if region else "",
        document_type=_only(values, "document_type"),
        forgery_labels=values.get("forgery_labels", ()),
        quality_labels=values.get("quality_labels", ()),
        liveness_score=_score(given, "liveness_score"),
        similarity_score=_score(given, "similarity_score"),
        reason=_only(values, "reason"),
    )


def _texts(name: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        raise ValueError(f"{name} is no text")
    if name not in _LISTS and len(values) != 1:
        raise ValueError(f"{name} has more than one value: an answer has one")
    return tuple(values)


def _only(values: Mapping[str, tuple[str, ...]], name: str) -> str | None:
    return values[name][0] if name in values else None


def _score(given: Mapping[str, Any], name: str) -> float | None:
    score = given.get(name)
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= MAX_SCORE:
        raise ValueError(f"{name} is no score: write a number from 0 to {MAX_SCORE:g}, without {BOUNDS[0]}")
    return float(score)
