"""The check of a decision table of the older format, with `[[rows]]`, before use."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import DECISION_NAME
from schemas.fields import CODE
from schemas.result import DOCUMENTED_CODES, Contradiction, OverallResult
from worker.decisions.draft import NO_RESULT
from worker.decisions.rules import APPROVE, APPROVED, OneOf, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from worker.decisions.positions import Path

    Pair = tuple[str, str]

_MAX_VERSION_CHARACTERS: Final = 64

#: The row that a fault is about.
_ROW: Final = re.compile(r"row (\d+)\b")


class Draft:
    """The usable parts of a parsed TOML file, and one line in `faults` for each part that cannot be used.

    It is a valid table only if `faults` is empty.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self.rows: dict[Pair, str] = {}
        self._row_of: dict[Pair, str] = {}
        self._only_keys("", document, ("version", "otherwise", "reasons", "contradictions", "rows"))
        self.version = self._version(document.get("version"))
        self.otherwise = self._not_approve("otherwise", document.get("otherwise"))
        self.reasons = self._reasons(document.get("reasons", {})) | self._contradictions(
            document.get("contradictions", {})
        )
        self._take_rows(document.get("rows"))

    def rules(self) -> tuple[Rule, ...]:
        """The rules that decide as this table does: no answer matches two of them."""
        reasons = [
            Rule(decision, (OneOf("reason", frozenset({reason})),))
            for reason, decision in self.reasons.items()
        ]
        results: dict[Pair, list[str]] = {}
        for (result, code), decision in self.rows.items():
            results.setdefault((decision, code), []).append(result)
        codes: dict[tuple[str, frozenset[str]], list[str]] = {}
        for (decision, code), found in results.items():
            codes.setdefault((decision, frozenset(found)), []).append(code)
        rows = [
            Rule(decision, (OneOf("overall_result", found), OneOf("error_code", frozenset(named))))
            for (decision, found), named in codes.items()
        ]
        return (*reasons, *rows)

    def located(self) -> Iterator[tuple[Path, str]]:
        """Each fault, and what it is about."""
        for fault in self.faults:
            row = _ROW.match(fault)
            yield (("rows", int(row[1]) - 1) if row else (fault.partition(":")[0],)), fault

    def _version(self, version: Any) -> str:
        if isinstance(version, str) and version.isprintable() and 0 < len(version) <= _MAX_VERSION_CHARACTERS:
            return version
        self.faults.append(f"version: must be 1 to {_MAX_VERSION_CHARACTERS} printable characters in quotes")
        return ""

    def _reasons(self, reasons: Any) -> dict[str, str]:
        if not isinstance(reasons, dict):
            self.faults.append("reasons: must be written under a line [reasons]")
            return {}
        self._only_keys("reasons", reasons, NO_RESULT)
        return {name: self._not_approve(f"reasons: {name}", reasons.get(name)) for name in NO_RESULT}

    def _contradictions(self, contradictions: Any) -> dict[str, str]:
        """Tables of earlier versions have no contradictions: `otherwise` is the decision then."""
        if not isinstance(contradictions, dict):
            self.faults.append("contradictions: must be written under a line [contradictions]")
            return {}
        self._only_keys("contradictions", contradictions, tuple(Contradiction))
        return {
            name: self._not_approve(f"contradictions: {name}", contradictions[name])
            if name in contradictions
            else self.otherwise
            for name in map(str, Contradiction)
        }

    def _take_rows(self, rows: Any) -> None:
        if not isinstance(rows, list):
            self.faults.append("rows: must be written each under a line [[rows]]")
            return
        for number, row in enumerate(rows, start=1):
            self._take_row(f"row {number}", row)
        for result, codes in DOCUMENTED_CODES.items():
            for code in codes:
                if (result, code) not in self.rows:
                    self.faults.append(f"rows: {result} + {code} has no row")

    def _take_row(self, where: str, row: Any) -> None:
        if not isinstance(row, dict):
            self.faults.append(f"{where}: must be written under a line [[rows]]")
            return
        self._only_keys(where, row, ("decision", "overall_result", "error_code"))
        decision = self._decision(f"{where}: decision", row.get("decision"))
        results = self._results(f"{where}: overall_result", row.get("overall_result"))
        codes = self._words(f"{where}: error_code", row.get("error_code"))
        for pair in product(results, codes):
            self._take_pair(where, pair, decision)

    def _take_pair(self, where: str, pair: Pair, decision: str) -> None:
        if decision == APPROVE and pair != APPROVED:
            only = " + ".join(APPROVED)
            self.faults.append(f"{where}: {' + '.join(pair)} may not be {APPROVE}, only {only} may")
        if pair in self.rows:
            self.faults.append(f"{where}: {' + '.join(pair)} is in {self._row_of[pair]} already")
            return
        self.rows[pair] = decision
        self._row_of[pair] = where

    def _results(self, where: str, value: Any) -> list[str]:
        words = self._words(where, value)
        for word in words:
            if word not in OverallResult.__members__:
                self.faults.append(f"{where} {word} is unknown, known are {', '.join(OverallResult)}")
        return [word for word in words if word in OverallResult.__members__]

    def _words(self, where: str, value: Any) -> list[str]:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not words:
            self.faults.append(f'{where} must be a code in quotes, or several: ["…", "…"]')
            return []
        good = [word for word in words if isinstance(word, str) and CODE.fullmatch(word)]
        if len(good) < len(words):
            self.faults.append(f"{where} must be 1 to 64 letters, digits and _ each")
        return good

    def _decision(self, where: str, name: Any) -> str:
        if isinstance(name, str) and DECISION_NAME.fullmatch(name):
            return name
        self.faults.append(
            f"{where} must be a name: a small letter, then small letters, digits and _, up to 64"
        )
        return ""

    def _not_approve(self, where: str, name: Any) -> str:
        decision = self._decision(where, name)
        if decision == APPROVE:
            self.faults.append(f"{where} may not be {APPROVE}, only {' + '.join(APPROVED)} may")
        return decision

    def _only_keys(self, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self.faults.append(f"{where or 'file'}: {key!r} is unknown, known are {', '.join(known)}")
