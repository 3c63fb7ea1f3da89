"""A decision table as people read it, as JSON, and as a file."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from worker.decisions.rules import ANY, OneOf
from worker.decisions.table import PACKAGED, as_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from worker.decisions.rules import Condition, Rule
    from worker.decisions.table import Table

#: A rule without a condition.
ANY_RESULT: Final = "any answer that has a result and does not contradict itself"

#: What each condition is about.
_ABOUT: Final[Mapping[str, str]] = {
    "overall_result": "the overall result",
    "error_code": "an error code",
    "region": "the region",
    "document_type": "the document type",
    "forgery_labels": "a forgery label",
    "quality_labels": "a quality label",
    "reason": "the reason",
    "liveness_score": "the liveness score",
    "similarity_score": "the similarity score",
}


def named(path: Path | None) -> str:
    """What the file of a table is called; None: the packaged one."""
    return f"packaged {PACKAGED.name}" if path is None else str(path)


def lines(table: Table, name: str) -> Iterator[str]:
    """The table as text. `name`: of its file."""
    yield f"{table.version} ({name}): the first rule that matches decides"
    for number, rule in enumerate(table.rules, start=1):
        yield from _rule_lines(number, rule)
    yield f"otherwise: {table.otherwise}"


def _rule_lines(number: int, rule: Rule) -> Iterator[str]:
    yield f"rule {number}: {rule.decision}" + (f" ({rule.text})" if rule.text else "")
    for each in rule.conditions:
        yield f"    {each.name}: {each.wanted}"
    if not rule.conditions:
        yield f"    {ANY_RESULT}"


def words(condition: Condition) -> tuple[str, tuple[str, ...]]:
    """A condition in words, such as `an error code is one of`, and the values that complete it."""
    about = _ABOUT[condition.name]
    if not isinstance(condition, OneOf):
        return f"{about} is", (condition.wanted,)
    if ANY in condition.values:
        return f"there is {about.replace('the ', 'a ', 1)}, whatever it is", ()
    values = tuple(sorted(condition.values))
    return f"{about} is" if len(values) == 1 else f"{about} is one of", values


def as_json(table: Table, name: str) -> dict[str, Any]:
    """The table as JSON. `name`: of its file."""
    return {
        "version": table.version,
        "file": name,
        "format": "rows" if table.is_legacy else "rules",
        "rules": [
            {
                "decision": rule.decision,
                "text": rule.text,
                "conditions": {each.name: each.as_toml() for each in rule.conditions},
            }
            for rule in table.rules
        ],
        "otherwise": table.otherwise,
        "deliveries": {name: list(table.delivered_by(name)) for name in sorted(table.decisions)},
        "consumes": None if table.consumes is None else sorted(table.consumes),
    }


def toml_lines(table: Table) -> Iterator[str]:
    """The table as a file, which decides the same."""
    name = table.version if table.is_legacy else table.version.rpartition("-")[0]
    yield f"name = {_toml(re.sub(r'[^A-Za-z0-9_.-]+', '-', name).strip('-._')[:48] or 'table')}"
    yield f"otherwise = {_toml(table.otherwise)}"
    if table.consumes is not None:
        yield f"consumes = {_toml(sorted(table.consumes))}"
    if table.deliveries:
        yield "\n[deliveries]"
        yield from (f"{name} = {_toml(list(kinds))}" for name, kinds in sorted(table.deliveries.items()))
    for rule in table.rules:
        yield "\n[[rules]]"
        yield from (f"{name} = {_toml(value)}" for name, value in as_toml(rule).items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
