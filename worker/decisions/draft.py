"""A decision table as a file states it, before it may decide anything."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import DECISION_NAME
from schemas.face import MAX_SCORE
from schemas.fields import CODE
from schemas.labels import LABEL
from schemas.result import DOCUMENTED_CODES, SIBLING_CODES, Contradiction, OverallResult
from worker.decisions.endpoints import NAME as ENDPOINT_NAME
from worker.decisions.rules import ANY, APPROVE, APPROVED, ONE_OF, SCORES, OneOf, Rule, Within, unsafe
from worker.enqueue_request import REGIONS, canonical_region

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.decisions.positions import Path
    from worker.decisions.rules import Condition

#: Why a verification may be settled without a result.
NO_RESULT: Final = ("DEADLINE_PASSED", "SIGNATURE_NOT_EXIST")

#: What the condition `reason` may name.
REASONS: Final = (*NO_RESULT, *map(str, Contradiction))

#: Codes that are known: those of the vendor's page, of an example on it, and of the vendor's other products.
CODES: Final = (
    *dict.fromkeys(code for codes in DOCUMENTED_CODES.values() for code in codes),
    "NOT_SUPPORTED_CARD",
    *(code for codes in SIBLING_CODES.values() for code in codes),
)

#: How a decision may be delivered: as a Celery task, or to an endpoint.
CELERY: Final = "celery"
WEBHOOK: Final = "webhook:"

#: The bounds of a range of scores.
BOUNDS: Final = ("at_least", "below")

_KEYS: Final = ("name", "otherwise", "consumes", "deliveries", "rules")
_RULE_KEYS: Final = ("decision", "text", *ONE_OF, *SCORES)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,47}")
_MAX_TEXT_CHARACTERS: Final = 200

#: The most known names that a fault lists, and that a wrong one is compared with.
_MOST_KNOWN: Final = 50

#: The texts that a condition may name where it may not name all that look like a code.
_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "overall_result": tuple(map(str, OverallResult)),
    "region": REGIONS,
    "reason": REASONS,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a table: where, what, and what to do about it."""

    path: Path
    said: str
    cure: str


class Draft:
    """Takes from a parsed TOML file what can be used, and notes in `faults` what cannot.

    Only without faults is the rest of it a table.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.faults: list[Fault] = []
        self._only_keys((), document, _KEYS)
        self.name = self._name(document.get("name"))
        self.otherwise = self._otherwise(document.get("otherwise"))
        self.rules = self._rules(document.get("rules"))
        self.consumes = self._consumes(document.get("consumes"))
        self.deliveries = self._deliveries(document.get("deliveries", {}))

    def _fault(self, path: Path, said: str, cure: str) -> None:
        self.faults.append(Fault(path, said, cure))

    def _name(self, name: Any) -> str:
        if isinstance(name, str) and _NAME.fullmatch(name):
            return name
        said = "name is missing" if name is None else "name is not usable"
        self._fault(("name",), said, 'write name = "…" with 1 to 48 letters, digits, and . _ -')
        return ""

    def _otherwise(self, name: Any) -> str:
        decision = self._decision(("otherwise",), "otherwise", name)
        if decision == APPROVE:
            self._fault(
                ("otherwise",), f"otherwise may not be {APPROVE}", 'name another decision, such as "review"'
            )
        return decision

    def _rules(self, rules: Any) -> tuple[Rule, ...]:
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            said = "rules are missing" if rules is None else "rules is no list of rules"
            self._fault(("rules",), said, "write each rule under a line [[rules]]")
            return ()
        return tuple(self._rule(number, rule) for number, rule in enumerate(rules))

    def _rule(self, number: int, rule: Mapping[str, Any]) -> Rule:
        path: Path = ("rules", number)
        where = f"rule {number + 1}"
        before = len(self.faults)
        self._only_keys(path, rule, _RULE_KEYS)
        decision = self._decision((*path, "decision"), f"{where}: decision", rule.get("decision"))
        conditions = [
            self._one_of((*path, name), where, name, rule[name]) for name in ONE_OF if name in rule
        ] + [self._within((*path, name), where, name, rule[name]) for name in SCORES if name in rule]
        made = Rule(
            decision,
            tuple(each for each in conditions if each is not None),
            self._text((*path, "text"), where, rule.get("text", "")),
        )
        if len(self.faults) == before and unsafe(made):
            only = " with ".join(APPROVED)
            self._fault(
                (*path, "decision"),
                f"{where} may not be {APPROVE}: only {only}, without a contradiction, may",
                f'write overall_result = "{APPROVED[0]}", error_code = "{APPROVED[1]}" and no reason, '
                "or name another decision",
            )
        return made

    def _text(self, path: Path, where: str, text: Any) -> str:
        if isinstance(text, str) and len(text) <= _MAX_TEXT_CHARACTERS and text.isprintable():
            return text
        self._fault(
            path,
            f"{where}: text is not usable",
            f"write one line in quotes, up to {_MAX_TEXT_CHARACTERS} characters",
        )
        return ""

    def _one_of(self, path: Path, where: str, name: str, value: Any) -> Condition | None:
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(each, str) for each in values):
            self._fault(path, f"{where}: {name} is no text", f'write {name} = "…", or several: ["…", "…"]')
            return None
        words = [
            word
            for at, each in enumerate(values)
            if (word := self._word((*path, at), f"{where}: {name}", name, each))
        ]
        return OneOf(name, frozenset(words)) if len(words) == len(values) else None

    def _word(self, path: Path, where: str, name: str, word: str) -> str:
        """A value of a condition as facts have it; "" where it is at fault."""
        if word == ANY and name != "overall_result":
            return word
        if name == "region":
            try:
                return canonical_region(word)
            except ValueError:
                pass
        known = _KNOWN.get(name)
        if known is not None and word not in known:
            self._fault(path, f"{where}: {_shown(word)} is unknown", _known(word, known))
            return ""
        if known is None and not (CODE if name == "error_code" else LABEL).fullmatch(word):
            letters = "letters, digits and _" if name == "error_code" else "letters, digits, and _ . -"
            self._fault(path, f"{where}: {_shown(word)} is no code", f"write 1 to 64 {letters}")
            return ""
        return word

    def _within(self, path: Path, where: str, name: str, value: Any) -> Condition | None:
        cure = f"write {name} = {{ below = 50 }} or {{ at_least = 70 }}, from 0 to {MAX_SCORE:g}"
        if not isinstance(value, dict) or not value:
            self._fault(path, f"{where}: {name} is no range", cure)
            return None
        self._only_keys(path, value, BOUNDS)
        bounds = {bound: value[bound] for bound in BOUNDS if bound in value}
        for bound, number in bounds.items():
            if isinstance(number, bool) or not isinstance(number, int | float) or not _is_score(number):
                self._fault((*path, bound), f"{where}: {name}: {bound} is no score", cure)
                return None
        within = Within(name, **{bound: float(number) for bound, number in bounds.items()})
        if within.is_empty:
            self._fault(path, f"{where}: {name}: no score is {within.wanted}", cure)
        return within

    def _consumes(self, names: Any) -> frozenset[str] | None:
        """The decisions that the pipeline has a task for; None: the file does not say."""
        if names is None:
            return None
        if not isinstance(names, list):
            self._fault(("consumes",), "consumes is no list", 'write consumes = ["approve", "review"]')
            return None
        return frozenset(self._decision(("consumes", at), "consumes", name) for at, name in enumerate(names))

    def _deliveries(self, deliveries: Any) -> dict[str, tuple[str, ...]]:
        if not isinstance(deliveries, dict):
            self._fault(("deliveries",), "deliveries is no table", "write them under a line [deliveries]")
            return {}
        decisions = {*(rule.decision for rule in self.rules), self.otherwise} - {""}
        known = sorted(decisions)
        found = {}
        for name, kinds in deliveries.items():
            path: Path = ("deliveries", name)
            if name not in decisions:
                self._fault(path, f"deliveries: no rule decides {_shown(name)}", _known(name, known))
            listed = kinds if isinstance(kinds, list) else [kinds]
            if not listed:
                self._fault(
                    path,
                    f"deliveries: the list of {_shown(name)} is empty",
                    f'write "{CELERY}" or "{WEBHOOK}NAME", or remove the line: without it {CELERY} delivers',
                )
            elif not all(_is_delivery(kind) for kind in listed):
                self._fault(
                    path,
                    f"deliveries: {_shown(name)} has a delivery of an unknown kind",
                    f'write "{CELERY}", or "{WEBHOOK}NAME" with the name of an endpoint',
                )
            else:
                found[name] = tuple(dict.fromkeys(listed))
        return found

    def _decision(self, path: Path, where: str, name: Any) -> str:
        if isinstance(name, str) and DECISION_NAME.fullmatch(name):
            return name
        said = f"{where} is missing" if name is None else f"{where} is no name of a decision"
        self._fault(path, said, "write a small letter, then small letters, digits and _, up to 64")
        return ""

    def _only_keys(self, path: Path, table: Mapping[str, Any], known: Sequence[str]) -> None:
        for key in table:
            if key not in known:
                where = f"rule {int(path[1]) + 1}: " if path[:1] == ("rules",) else ""
                self._fault((*path, key), f"{where}{_shown(key)} is unknown", _known(key, known))


def endpoint_of(delivery: str) -> str | None:
    """The name of the endpoint in a delivery by webhook; None: it is another delivery."""
    return delivery.removeprefix(WEBHOOK) if delivery.startswith(WEBHOOK) else None


def _is_delivery(kind: Any) -> bool:
    if not isinstance(kind, str):
        return False
    return kind == CELERY or ENDPOINT_NAME.fullmatch(endpoint_of(kind) or "") is not None


def near(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` most likely stands for."""
    by_fold = {each.upper(): each for each in known}
    found = difflib.get_close_matches(word.upper(), by_fold, n=1, cutoff=0.75)
    return by_fold[found[0]] if found else None


def _known(word: str, known: Sequence[str]) -> str:
    listed = known[:_MOST_KNOWN]
    found = near(word, listed)
    more = f" and {len(known) - len(listed)} more" if len(known) > len(listed) else ""
    return f"write {found}" if found else f"known are {', '.join(listed)}{more}"


def _shown(word: str) -> str:
    """A text of the file, short enough for a line."""
    text = word if word.isprintable() else ascii(word)
    return text if len(text) <= 64 else f"{text[:64]}…"  # noqa: PLR2004 - as long as a code may be


def _is_score(number: float) -> bool:
    return 0 <= number <= MAX_SCORE
