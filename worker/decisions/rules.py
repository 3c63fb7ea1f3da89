"""The rules of a decision table: conditions over facts, and what can be proven about them without any facts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Final, TypeAlias

from schemas.face import MAX_SCORE
from schemas.result import OverallResult
from worker.decisions.facts import CUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.decisions.facts import Facts

#: The one decision that lets a person in, and the one pair of result and code that may lead to it.
APPROVE: Final = "approve"
APPROVED: Final = (OverallResult.PASS.value, "SUCCESS")

#: Instead of a value: any value, so long as there is one.
ANY: Final = "*"

#: Conditions by their names in a table, with the attribute of ``Facts`` that each reads.
ONE_OF: Final = {
    "overall_result": "overall_result",
    "error_code": "error_codes",
    "region": "region",
    "document_type": "document_type",
    "forgery_labels": "forgery_labels",
    "quality_labels": "quality_labels",
    "reason": "reason",
}
SCORES: Final = ("liveness_score", "similarity_score")

#: Facts of which an answer may have several.
_SEVERAL: Final = frozenset({"error_code", "forgery_labels", "quality_labels"})

#: The most combinations of values for which a rule is compared with all earlier ones together.
_MOST_PARTS: Final = 4096


@dataclass(frozen=True, slots=True)
class OneOf:
    """A fact is one of `values`; of a fact with several entries, any entry is.

    `SUCCESS` counts only as the sole error code: beside another code it is a contradiction.
    """

    name: str
    values: frozenset[str]

    def holds(self, facts: Facts) -> bool:
        value: str | tuple[str, ...] | None = getattr(facts, ONE_OF[self.name])
        if not value:
            return False
        if ANY in self.values:
            return True
        if isinstance(value, str):
            return value in self.values
        if self.name == "error_code" and len(value) > 1 and len(set(value)) > 1:
            return any(code in self.values and code != APPROVED[1] for code in value)
        return not self.values.isdisjoint(value)

    def implies(self, other: Condition) -> bool:
        """Whether each answer for which this condition holds fulfils `other`."""
        if not isinstance(other, OneOf) or other.name != self.name:
            return False
        return ANY in other.values or (ANY not in self.values and self.values <= other.values)

    def parts(self) -> list[Condition]:
        """Conditions with one value each, of which one holds whenever this one does."""
        return [OneOf(self.name, frozenset({value})) for value in sorted(self.values)]

    def found(self, facts: Facts) -> str:
        """The fact as people read it."""
        return ", ".join(sorted(self._found(facts))) or "none"

    @property
    def wanted(self) -> str:
        return "any value" if ANY in self.values else " or ".join(sorted(self.values))

    def as_toml(self) -> str | list[str]:
        values = sorted(self.values)
        return values[0] if len(values) == 1 else values

    def _found(self, facts: Facts) -> frozenset[str]:
        value: str | tuple[str, ...] | None = getattr(facts, ONE_OF[self.name])
        if self.name in _SEVERAL:
            return frozenset(value or ())
        return frozenset() if value is None else frozenset({str(value)})


@dataclass(frozen=True, slots=True)
class Within:
    """A score is there and in a range; 0 to 100 is any score."""

    name: str
    at_least: float | None = None
    below: float | None = None

    def holds(self, facts: Facts) -> bool:
        score: float | None = getattr(facts, self.name)
        if score is None:
            return False
        return (self.at_least is None or score >= self.at_least) and (
            self.below is None or score < self.below
        )

    def implies(self, other: Condition) -> bool:
        """Whether each answer for which this condition holds fulfils `other`."""
        if not isinstance(other, Within) or other.name != self.name:
            return False
        low = (self.at_least or 0.0) >= (other.at_least or 0.0)
        return low and (other.below is None or (self.below is not None and self.below <= other.below))

    def parts(self) -> list[Condition]:
        return [self]

    def found(self, facts: Facts) -> str:
        score: float | None = getattr(facts, self.name)
        return "none" if score is None else f"{score:g}"

    @property
    def wanted(self) -> str:
        bounds = (("at least", self.at_least), ("below", self.below))
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)

    def as_toml(self) -> dict[str, float]:
        bounds = {"at_least": self.at_least, "below": self.below}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    @property
    def is_empty(self) -> bool:
        """No score is in the range."""
        low, high = self.at_least or 0.0, self.below
        return low > MAX_SCORE or (high is not None and high <= low)


Condition: TypeAlias = OneOf | Within


@dataclass(frozen=True, slots=True)
class Rule:
    """A decision, and the conditions that must all hold for it.

    A rule without a condition on `reason` is only about answers without a reason: those that have a result and do not
    contradict themselves.
    """

    decision: str
    conditions: tuple[Condition, ...] = ()
    text: str = ""

    def condition(self, name: str) -> Condition | None:
        return next((each for each in self.conditions if each.name == name), None)

    def mismatch(self, facts: Facts) -> str | None:
        """Why the rule does not match, for people; None: it matches."""
        if facts.reason is not None and self.condition("reason") is None:
            return f"reason is {facts.reason}, and the rule names no reason"
        for each in self.conditions:
            if not each.holds(facts):
                return f"{each.name} is {each.found(facts)}, not {each.wanted}"
        return None

    def matches(self, facts: Facts) -> bool:
        if facts.reason is not None and self.condition("reason") is None:
            return False
        return all(each.holds(facts) for each in self.conditions)

    def covers(self, other: Rule) -> bool:
        """Whether this rule matches whatever `other` matches."""
        if (self.condition("reason") is None) != (other.condition("reason") is None):
            return False
        return all(any(theirs.implies(ours) for theirs in other.conditions) for ours in self.conditions)

    def parts(self) -> Iterator[Rule]:
        """Rules of single values, of which one matches whenever this one does; the rule itself if they are too many."""
        choices = [each.parts() for each in self.conditions]
        if prod(map(len, choices)) > _MOST_PARTS:
            yield self
            return
        for conditions in product(*choices):
            yield Rule(self.decision, conditions)

    @property
    def part_count(self) -> int:
        """How many `parts` there are."""
        count = prod(len(each.values) for each in self.conditions if isinstance(each, OneOf))
        return 1 if count > _MOST_PARTS else count


def unsafe(rule: Rule) -> bool:
    """Whether a rule may approve anything but PASS with SUCCESS, or an answer with a reason."""
    if rule.decision != APPROVE:
        return False
    result, code = (rule.condition(name) for name in ("overall_result", "error_code"))
    wanted = tuple(each.values if isinstance(each, OneOf) else frozenset[str]() for each in (result, code))
    return wanted != tuple(frozenset({word}) for word in APPROVED) or rule.condition("reason") is not None


def covering(rules: Sequence[Rule], number: int) -> list[int]:
    """The earlier rules that together match whatever rule `number` matches; []: it can be reached."""
    found: set[int] = set()
    for part in rules[number].parts():
        earlier = next((at for at in range(number) if rules[at].covers(part)), None)
        if earlier is None:
            return []
        found.add(earlier)
    return sorted(found)


def is_cut(facts: Facts, name: str) -> bool:
    """Whether the fact that a condition reads was cut."""
    value = getattr(facts, ONE_OF.get(name, name))
    return isinstance(value, tuple) and CUT in value
