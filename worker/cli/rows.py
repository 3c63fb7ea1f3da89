"""Reads verifications from CSV: the rows that can be enqueued, and the bad rows without their values."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from schemas.enqueue import load_enqueue
from schemas.errors import SchemaError
from worker.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from worker.enqueue_request import EnqueueRequest

COLUMNS: Final = ("signature_id", "region", "context", "pipeline")

#: Other accepted names of columns: the vendor's.
ALIASES: Final = {"signatureid": "signature_id"}

#: Separators of columns, and their names. Where the decimal separator is a comma, spreadsheets write semicolons.
SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}

#: The line in which Excel names the separator.
_SEP: Final = re.compile(r'\s*"?sep=(.*?)"?[ \r\n]*', re.IGNORECASE)

_HEADER: Final = "line {line} must be the header, such as " + ",".join(COLUMNS)

#: A byte that cannot be decoded becomes a character that cannot occur in text.
codecs.register_error("ekyc_no_text", lambda error: ("\udcff", getattr(error, "end", 0)))

#: Far above any valid line, so that a file without line ends cannot fill the memory.
MAX_LINE_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be enqueued: its lines, and what is wrong with it."""

    first_line: int
    last_line: int
    problem: str
    #: The number of rows it may stand for: after a wrong quote, each line may be a row.
    rows: int = 1

    def __str__(self) -> str:
        if self.first_line == self.last_line:
            return f"line {self.first_line}: {self.problem}"
        return f"lines {self.first_line} to {self.last_line}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """The values for columns that a row leaves empty, and the allowed regions."""

    region: str | None
    #: As parsed JSON.
    context: Any
    regions: tuple[str, ...]
    pipeline: str | None = None


def read(stream: BinaryIO, defaults: Defaults) -> Generator[EnqueueRequest | BadRow]:
    """Yield the rows of a CSV file, one at a time. Close the generator before `stream`.

    The file is in UTF-8 or, like Excel's Unicode text, in UTF-16. A comma, a semicolon, a tab or a | separates the
    columns: the one that a first line `sep=` names, or the one with which the header has our columns.

    Raises ``InvalidInput`` if it is not such a file, or does not begin with a header of our columns.
    """
    text = io.TextIOWrapper(stream, encoding=_encoding(stream), errors="ekyc_no_text", newline="")
    try:
        lines = _lines(text)
        before, separator, first = _separator(lines)
        reader = csv.reader(
            chain(first, lines),
            delimiter=separator,
            skipinitialspace=_spaced(first[0], separator),
            strict=True,
        )
        columns = _header(reader, before + 1)
        while True:
            first_line = before + reader.line_num + 1
            try:
                cells = next(reader, None)
                if cells is None:
                    return
                if any(cells):
                    yield _request(cells, columns, separator, defaults)
            except csv.Error as error:
                last_line = before + reader.line_num
                yield BadRow(first_line, last_line, _not_csv(error), rows=last_line - first_line + 1)
            except SchemaError as error:
                yield BadRow(first_line, before + reader.line_num, str(error))
    finally:
        text.detach()


def _encoding(stream: BinaryIO) -> str:
    """Detect the encoding by the first two bytes. In UTF-16, an ASCII letter has a NUL before or after it."""
    if isinstance(stream, io.BufferedReader | io.BufferedRandom):
        start = stream.peek(2)[:2]
    elif stream.seekable():
        at = stream.tell()
        start = stream.read(2)
        stream.seek(at)
    else:
        start = b""
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    if len(start) == len("ab") and 0 in start and any(start):
        return "utf-16-le" if start[0] else "utf-16-be"
    return "utf-8-sig"


def _separator(lines: Iterator[str]) -> tuple[int, str, list[str]]:
    """Return the number of lines before the header, the separator, and the lines that were read to find it."""
    first = next(lines, "")
    found = _SEP.fullmatch(first)
    if found is None:
        return 0, _fitting(first) or ",", [first]
    separator, header = found[1], next(lines, "")
    if len(set(separator)) == 1 and separator[0] in SEPARATORS and _fits(header, separator[0]):
        # Repeated separators: this line, too, ends with empty columns.
        separator = separator[0]
    if separator not in SEPARATORS:
        raise InvalidInput("line 1: sep= must name a comma, a semicolon, a tab or a |")
    fitting = _fitting(header)
    if fitting and not _fits(header, separator):
        raise InvalidInput(
            f"line 1 names {_several(separator)} as separators, but line 2 is separated by {_several(fitting)}: "
            "correct or delete line 1"
        )
    return 1, separator, [header]


def _fitting(header: str) -> str | None:
    """Return the separator with which a header has our columns, or None."""
    return next((separator for separator in SEPARATORS if _fits(header, separator)), None)


def _fits(line: str, separator: str) -> bool:
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return False
    return bool(cells) and all(_column(cell) in COLUMNS for cell in _trimmed(cells))


def _trimmed(cells: list[str]) -> list[str]:
    """Remove the empty columns that a spreadsheet writes after the last one."""
    count = len(cells)
    while count > 1 and not cells[count - 1].strip():
        count -= 1
    return cells[:count]


def _spaced(header: str, separator: str) -> bool:
    """Whether the header has spaces before quotes. If not, a quote after a space may belong to unquoted JSON."""
    return re.search(rf'{re.escape(separator)} +"', header) is not None


def _several(separator: str) -> str:
    name = SEPARATORS[separator]
    return f"{name}s" if name.isalpha() else name


def _column(cell: str) -> str:
    name = cell.strip().lower()
    return ALIASES.get(name, name)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE_CHARACTERS):
        number += 1
        if len(line) == MAX_LINE_CHARACTERS:
            raise InvalidInput(
                f"line {number} is longer than {MAX_LINE_CHARACTERS:,} characters: this is not a CSV file"
            )
        yield line


def _header(reader: Iterator[list[str]], line: int) -> list[str]:
    try:
        cells = next(reader, [])
    except csv.Error as error:
        raise InvalidInput(f"line {line}: {_not_csv(error)}") from None
    if not all(map(_readable, cells)):
        raise InvalidInput(
            "this is not a CSV file in UTF-8 or UTF-16: save it as text, as `CSV UTF-8` in a spreadsheet"
        )
    columns = [_column(cell) for cell in _trimmed(cells)]
    for number, column in enumerate(columns, start=1):
        # It may be a row of data, so it is not quoted.
        if column not in COLUMNS or column in columns[: number - 1]:
            fault = "is repeated" if column in COLUMNS else f"is not one of {','.join(COLUMNS)}"
            raise InvalidInput(
                f"{_HEADER.format(line=line)}, separated by commas, semicolons, tabs or |: column {number} {fault}"
            )
    if "signature_id" not in columns:
        raise InvalidInput(f"{_HEADER.format(line=line)}: signature_id is missing")
    return columns


def _request(cells: list[str], columns: list[str], separator: str, defaults: Defaults) -> EnqueueRequest:
    if len(_trimmed(cells)) > len(columns):
        name = SEPARATORS[separator]
        raise SchemaError("", f"has {len(cells)} columns, the header {len(columns)}: is a {name} not quoted?")
    if len(cells) == 1 < len(columns):
        for other in SEPARATORS:
            if other in cells[0]:
                raise SchemaError(
                    "", f"is separated by {_several(other)}, the header by {_several(separator)}"
                )
    row = {column: cell.strip() for column, cell in zip(columns, cells, strict=False)}
    for column, cell in row.items():
        if not _readable(cell):
            raise SchemaError(column, "must be text without NUL, in UTF-8 or UTF-16")
    region = row.get("region") or defaults.region
    if not region:
        raise SchemaError("region", "is empty, and --region is not given")
    request = load_enqueue(
        {
            "signature_id": row.get("signature_id", ""),
            "region": region,
            "context": parsed(row["context"]) if row.get("context") else defaults.context,
            "pipeline": row.get("pipeline") or defaults.pipeline,
        }
    )
    if request.region not in defaults.regions:
        raise SchemaError(
            "region", f"is not in ADVANCE_REGIONS ({', '.join(defaults.regions)}): no worker would poll it"
        )
    return request


def parsed(context: str) -> Any:
    """Parse the JSON of a context. Raises ``SchemaError`` without quoting it."""
    try:
        return json.loads(context)
    except (ValueError, RecursionError):
        raise SchemaError("context", "must be JSON") from None


def _readable(cell: str) -> bool:
    # Bytes that could not be decoded became surrogates, which cannot be encoded again.
    return "\0" not in cell and (cell.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in cell))


def _not_csv(error: csv.Error) -> str:
    problem = str(error)
    if "unexpected end" in problem:
        return "is not CSV: a quote is opened and never closed"
    if "field limit" in problem:
        return f"has a field of more than {csv.field_size_limit():,} characters; is a quote left open?"
    return f"is not CSV: {problem}"
