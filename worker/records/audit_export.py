"""The audit log as files for people and programs: CSV and JSON, piece by piece, so that its length does not matter."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from worker.ledger.audit import Entry

COLUMNS: Final = ("at", "act", "who", "via", "region", "subject", "detail")

#: A spreadsheet takes a cell that begins with one of these for a formula, and would run it.
#: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_csv(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a table with a header, a line at a time, whose cells no spreadsheet takes for formulas."""
    yield _line(dict(zip(COLUMNS, COLUMNS, strict=True)))
    for entry in entries:
        yield _line(entry.as_json())


def as_json(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield one JSON object, whose `entries` has an object on each line."""
    before = '{"entries": [\n'
    for entry in entries:
        yield before + json.dumps(entry.as_json())
        before = ",\n"
    yield ("\n" if before.startswith(",") else before) + "]}\n"


def cell(text: str) -> str:
    """Return a text as a cell: with an apostrophe before it if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _line(row: Mapping[str, str]) -> str:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow([cell(row[name]) for name in COLUMNS])
    return line.getvalue()
