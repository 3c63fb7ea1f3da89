"""What is wrong, or most likely wrong, with the file of a decision table: where, what, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from schemas.result import DOCUMENTED_CODES
from worker.decisions.draft import CODES, near
from worker.decisions.facts import Facts
from worker.decisions.positions import Positions
from worker.decisions.rules import ANY, OneOf, covering
from worker.decisions.table import Source, Table
from worker.enqueue_request import REGIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from worker.decisions.positions import Path

#: The most comparisons of rules: they grow with the square of the number of rules.
_MOST_COMPARISONS: Final = 500_000


class Severity(StrEnum):
    """What a finding means for a worker."""

    #: A worker does not start with this table.
    ERROR = "error"
    #: A worker starts. The table most likely does not say what it should.
    WARNING = "warning"
    #: The table is fine. A later release no longer reads it.
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the check found. `line` is None where it is about the file as a whole."""

    severity: Severity
    line: int | None
    said: str
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """A checked file. `table` is None where a worker would refuse it."""

    source: Source
    table: Table | None
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """There is nothing but notes."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)

    def where(self, finding: Finding) -> str:
        return self.source.name if finding.line is None else f"{self.source.name}:{finding.line}"


def check(source: Source, packaged: Table, endpoints: Collection[str] | None = None) -> Checked:
    """Everything that can be found without an answer.

    Parameters:
        packaged: its decisions are known to every pipeline, where the file has no `consumes`.
        endpoints: the names of those that exist; None: they are not known.
    """
    positions = Positions.of(source.text)
    found = source.table(endpoints)
    if not isinstance(found, Table):
        errors = (
            Finding(Severity.ERROR, positions.line(fault.path), fault.said, fault.cure) for fault in found
        )
        return Checked(source, None, (*_format(source), *errors))
    warnings = (
        Finding(Severity.WARNING, positions.line(path), said, cure)
        for path, said, cure in _doubts(source, found, packaged)
    )
    return Checked(
        source,
        found,
        (
            *_format(source),
            *_not_compared(source, found),
            *sorted(warnings, key=lambda each: (each.line or 0, each.said)),
        ),
    )


def _format(source: Source) -> Iterator[Finding]:
    if source.is_legacy:
        yield Finding(
            Severity.NOTE,
            None,
            "has the older format with [[rows]], which the next release no longer reads",
            f"write it again with [[rules]]: `ekyc decisions show --toml {source.name}` prints it so",
        )


def _compared(table: Table) -> int:
    """The number of rules that are compared with all earlier ones."""
    left = _MOST_COMPARISONS
    for number, rule in enumerate(table.rules):
        left -= number * rule.part_count
        if left < 0:
            return number
    return len(table.rules)


def _not_compared(source: Source, table: Table) -> Iterator[Finding]:
    number = _compared(table)
    if number < len(table.rules) and not source.is_legacy:
        yield Finding(
            Severity.NOTE,
            None,
            f"rules {number + 1} to {len(table.rules)} are too many to be compared with all earlier ones",
            "whether one of them never decides is not known",
        )


def _doubts(source: Source, table: Table, packaged: Table) -> Iterator[tuple[Path, str, str]]:
    """Each doubt: what it is about, what it says, and what to do."""
    if not source.is_legacy:
        yield from _unreachable(table)
        yield from _misspelt(source, table)
        yield from _undecided(table)
    yield from _not_consumed(source, table, packaged)


def _unreachable(table: Table) -> Iterator[tuple[Path, str, str]]:
    for number in range(_compared(table)):
        earlier = covering(table.rules, number)
        if earlier:
            names = " and ".join(str(at + 1) for at in earlier)
            rule, match = ("rule", "matches") if len(earlier) == 1 else ("rules", "together match")
            yield (
                ("rules", number),
                f"rule {number + 1} never decides: {rule} {names} {match} all that it matches",
                f"write it before rule {earlier[0] + 1}, or remove it",
            )


def _misspelt(source: Source, table: Table) -> Iterator[tuple[Path, str, str]]:
    for number, rule in enumerate(table.rules):
        condition = rule.condition("error_code")
        strange = sorted(condition.values - {*CODES, ANY}) if isinstance(condition, OneOf) else ()
        places = _places(source, number) if strange else {}
        for code in strange:
            found = near(code, CODES)
            if found:
                yield (
                    ("rules", number, "error_code", places[code]),
                    f"rule {number + 1}: {code} is no documented errorCode",
                    f"write {found}, unless the vendor has this code, too",
                )


def _places(source: Source, number: int) -> dict[str, int]:
    """Where a rule names each code first."""
    named = source.document["rules"][number]["error_code"]
    # In reverse, so that the first one counts.
    return {code: at for at, code in reversed([*enumerate(named if isinstance(named, list) else [named])])}


def _undecided(table: Table) -> Iterator[tuple[Path, str, str]]:
    """Documented pairs of result and code that no rule decides, in some regions at least."""
    for code in dict.fromkeys(code for codes in DOCUMENTED_CODES.values() for code in codes):
        results = [str(result) for result, codes in DOCUMENTED_CODES.items() if code in codes]
        missing = {
            result: regions
            for result in results
            if (regions := [each for each in REGIONS if _falls(table, result, code, each)])
        }
        if missing:
            regions = sorted({region for each in missing.values() for region in each}, key=REGIONS.index)
            where = "" if len(regions) == len(REGIONS) else f" in {', '.join(regions)}"
            yield (
                ("otherwise",),
                f"{code} with {' and '.join(missing)} has no rule{where}: it is decided {table.otherwise}",
                f'add a rule for it, even if that says decision = "{table.otherwise}"',
            )


def _falls(table: Table, result: str, code: str, region: str) -> bool:
    return table.match(Facts(overall_result=result, error_codes=(code,), region=region)) is None


def _not_consumed(source: Source, table: Table, packaged: Table) -> Iterator[tuple[Path, str, str]]:
    known = packaged.decisions if table.consumes is None else table.consumes
    numbers = {rule.decision: at for at, rule in reversed([*enumerate(table.rules)])}
    for name in sorted(name for name in table.decisions - known if table.by_celery(name)):
        number = numbers.get(name)
        here: Path = ("otherwise",) if number is None or source.is_legacy else ("rules", number, "decision")
        told = "the file has no consumes" if table.consumes is None else "consumes does not name it"
        yield (
            here,
            f"{name} may be a decision that nothing consumes: {told}",
            f"name it in consumes = [...] if the pipeline has a task onboarding.{name}, or correct it",
        )
    for name in sorted((table.consumes or frozenset()) - table.decisions):
        yield ("consumes",), f"consumes names {name}, which no rule decides", "add a rule, or remove the name"
