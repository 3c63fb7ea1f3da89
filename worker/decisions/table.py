"""The decision table: from the facts of a verification to what the pipeline receives."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from worker.decisions.draft import CELERY, Draft, Fault, endpoint_of
from worker.decisions.legacy import Draft as LegacyDraft
from worker.decisions.positions import Positions, too_deep
from worker.decisions.rules import APPROVE, APPROVED, OneOf, Rule, is_cut
from worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from worker.decisions.facts import Facts

PACKAGED: Final = resources.files("worker.decisions") / "default.toml"

#: Hexadecimal digits of the hash in a version.
_HASH_DIGITS: Final = 8

#: No table is nested deeper.
_MOST_LEVELS: Final = 32

#: Keys of a table of the older format, which has rows.
_LEGACY_KEYS: Final = frozenset({"version", "rows", "reasons", "contradictions"})


_PLACE: Final = re.compile(r"\(at line (\d+), column \d+\)\Z")


class Unreadable(ConfigError):
    """What a file holds is no table at all. `said`: why; `line`: where, if that is known."""

    def __init__(self, name: str, said: str, line: int | None = None) -> None:
        super().__init__(f"{name}: {said}")
        self.said = said
        self.line = line


@dataclass(frozen=True, slots=True)
class Table:
    """A checked decision table: only PASS with SUCCESS can lead to `approve`.

    Parameters:
        version: the name and the hash of the content; every decision carries it as its `table`.
        rules: the first that matches decides.
        otherwise: the decision where none matches.
        deliveries: how each decision is delivered, where the file says so.
        consumes: the decisions that the pipeline has a task for; None: the file does not say.
        is_legacy: the file has the older format, with rows. Only the first code of an answer counts then.
    """

    version: str
    rules: tuple[Rule, ...]
    otherwise: str
    deliveries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    consumes: frozenset[str] | None = None
    is_legacy: bool = False

    @classmethod
    def load(cls, path: Path | None, endpoints: Collection[str] | None = None) -> Table:
        """Read a table, None being the packaged one. Raises ``ConfigError`` with a line for each fault.

        `endpoints`: the names of those that exist; None: a table may name any endpoint.
        """
        source = Source.read(path)
        table = source.table(endpoints)
        if isinstance(table, Table):
            return table
        raise ConfigError("\n".join(source.lines(table)))

    @property
    def decisions(self) -> frozenset[str]:
        """Every decision that can come out of it."""
        return frozenset({*(rule.decision for rule in self.rules), self.otherwise})

    @property
    def approvals(self) -> frozenset[str]:
        """`approve`, and every decision that needs a pass of the vendor, whatever the table calls it."""
        passed = OneOf("overall_result", frozenset(APPROVED[:1]))
        needing = {rule.decision for rule in self.rules if rule.condition(passed.name) == passed}
        others = {rule.decision for rule in self.rules if rule.condition(passed.name) != passed}
        return frozenset({APPROVE, *(needing - others - {self.otherwise})})

    def delivered_by(self, decision: str) -> tuple[str, ...]:
        """The kinds of delivery of a decision."""
        return self.deliveries.get(decision, (CELERY,))

    def webhooks(self, decision: str) -> tuple[str, ...]:
        """The names of the endpoints that a decision is delivered to."""
        names = (endpoint_of(delivery) for delivery in self.deliveries.get(decision, ()))
        return tuple(name for name in names if name is not None)

    def by_celery(self, decision: str) -> bool:
        """Whether a decision is delivered as a Celery task."""
        return CELERY in self.delivered_by(decision)

    def values(self, name: str) -> frozenset[str]:
        """The values that conditions called `name` have, in all rules."""
        found = (rule.condition(name) for rule in self.rules)
        return frozenset(value for each in found if isinstance(each, OneOf) for value in each.values)

    def decide(self, facts: Facts) -> str:
        """The name of the decision."""
        return self.decision_of(self.match(facts))

    def decision_of(self, rule: int | None) -> str:
        """The name of the decision, given what `match` returned."""
        return self.otherwise if rule is None else self.rules[rule].decision

    def match(self, facts: Facts) -> int | None:
        """The position of the rule that decides, from 0; None: none matches."""
        read = self.read(facts)
        for number, rule in enumerate(self.rules):
            if rule.matches(read) and not self.is_doubtful(rule, read):
                return number
        return None

    def read(self, facts: Facts) -> Facts:
        """The facts as this table reads them."""
        return replace(facts, error_codes=facts.error_codes[:1]) if self.is_legacy else facts

    def is_doubtful(self, rule: Rule, facts: Facts) -> bool:
        """Whether `rule` approves although a list was cut that a rule of this table reads."""
        return (
            rule.decision == APPROVE
            and facts.is_cut
            and any(is_cut(facts, each.name) for other in self.rules for each in other.conditions)
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The file of a table: its name, text and content."""

    name: str
    text: str = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path | None, packaged: Traversable = PACKAGED) -> Source:
        """Read and parse a file, None being the packaged one. Raises ``ConfigError``."""
        name = str(path or packaged.name)
        try:
            raw = (path or packaged).read_bytes()
        except OSError as error:
            raise ConfigError(f"{name}: cannot be read: {error.strerror or error}") from None
        return cls.of_bytes(name, raw)

    @classmethod
    def of_bytes(cls, name: str, raw: bytes) -> Source:
        """Parse the content of a file. Raises ``Unreadable``."""
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            raise Unreadable(name, "is not text in UTF-8") from None
        return cls.parse(name, text)

    @classmethod
    def parse(cls, name: str, text: str) -> Source:
        """Parse the text of a table. Raises ``Unreadable``."""
        line = too_deep(text, _MOST_LEVELS)
        if line is not None:
            raise Unreadable(name, f"is nested more than {_MOST_LEVELS} levels deep", line)
        try:
            return cls(name, text, tomllib.loads(text))
        except (ValueError, RecursionError) as error:
            place = _PLACE.search(str(error))
            raise Unreadable(name, f"is not TOML: {error}", int(place[1]) if place else None) from None

    @property
    def is_legacy(self) -> bool:
        return "rules" not in self.document and not _LEGACY_KEYS.isdisjoint(self.document)

    def table(self, endpoints: Collection[str] | None = None) -> Table | list[Fault]:
        """The table, or what is wrong with it. `endpoints`: see ``Table.load``."""
        table = self._legacy() if self.is_legacy else self._table()
        if isinstance(table, Table) and endpoints is not None:
            return list(_unknown_endpoints(table, self.document, endpoints)) or table
        return table

    def lines(self, faults: Iterable[Fault]) -> Iterator[str]:
        """Each fault as one line: where, what, and what to do."""
        positions = Positions.of(self.text)
        for fault in faults:
            number = positions.line(fault.path)
            where = self.name if number is None or self.is_legacy else f"{self.name}:{number}"
            yield f"{where}: {fault.said}" + (f": {fault.cure}" if fault.cure else "")

    def _table(self) -> Table | list[Fault]:
        draft = Draft(self.document)
        if draft.faults:
            return draft.faults
        made = Table("", draft.rules, draft.otherwise, MappingProxyType(draft.deliveries), draft.consumes)
        return Table(
            f"{draft.name}-{content_hash(made)}",
            made.rules,
            made.otherwise,
            made.deliveries,
            made.consumes,
        )

    def _legacy(self) -> Table | list[Fault]:
        draft = LegacyDraft(self.document)
        if draft.faults:
            return [Fault(path, said, "") for path, said in draft.located()]
        return Table(draft.version, draft.rules(), draft.otherwise, is_legacy=True)


def _unknown_endpoints(
    table: Table, document: Mapping[str, Any], endpoints: Collection[str]
) -> Iterator[Fault]:
    known = f"known are {', '.join(sorted(endpoints))}" if endpoints else "there is none"
    for decision in table.deliveries:
        listed = document["deliveries"][decision]
        # The first place of each, because the reverse order writes it last.
        places = {each: at for at, each in reversed([*enumerate(listed)])} if isinstance(listed, list) else {}
        for delivery in table.deliveries[decision]:
            name = endpoint_of(delivery)
            if name is None or name in endpoints:
                continue
            at = (places[delivery],) if delivery in places else ()
            yield Fault(
                ("deliveries", decision, *at),
                f"deliveries: {decision} goes to the endpoint {name}, which does not exist",
                f"add [endpoints.{name}] to the file in EKYC_ENDPOINTS_FILE; {known}",
            )


def content_hash(table: Table) -> str:
    """The start of the SHA-256 of what a table says: comments, names and the order of keys do not count."""
    content = {
        "otherwise": table.otherwise,
        "rules": [as_toml(rule) for rule in table.rules],
        "deliveries": {name: sorted(kinds) for name, kinds in table.deliveries.items()},
        "consumes": None if table.consumes is None else sorted(table.consumes),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def as_toml(rule: Rule) -> dict[str, Any]:
    """A rule as the content of its TOML table."""
    text = {"text": rule.text} if rule.text else {}
    return {"decision": rule.decision} | text | {each.name: each.as_toml() for each in rule.conditions}
