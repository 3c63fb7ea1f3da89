"""The audit log as files for people and programs: CSV and JSON, piece by piece, so that its length does not matter."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from worker.ledger.audit import Entry

COLUMNS: Final = ("at", "act", "who", "via", "region", "subject", "detail")

#: A spreadsheet takes a cell that begins with one of these for a formula, and would run it.
#: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

#: Where a spreadsheet does not separate by commas, as in most of Europe, the quotes of a cell mean nothing to it, and a
#: part of a text is a cell. This is what begins such a part, if it is a formula, perhaps in quotes of its own.
_INNER: Final = re.compile(r"([;\t|\r\n])(?=(?:[^\S\t\r\n]|\")*[=+\-@\uff1d\uff0b\uff0d\uff20])")


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
    """Return a text as a cell: with an apostrophe before each part that a spreadsheet would take for a formula."""
    text = _INNER.sub(r"\1'", text)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _line(row: Mapping[str, str]) -> str:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow([cell(row[name]) for name in COLUMNS])
    return line.getvalue()
