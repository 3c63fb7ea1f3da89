"""Reads a CSV file with a header of known columns, as people and spreadsheets write it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final

from schemas.errors import SchemaError
from worker.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from typing import Self

#: Separators of columns, and their names. Where the decimal separator is a comma, spreadsheets write semicolons.
SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}

#: The beginning of the line in which Excel names the separator.
_SEP: Final = re.compile(r'\s*+"?sep=', re.IGNORECASE)

#: A byte that cannot be decoded becomes a character that cannot occur in text.
codecs.register_error("ekyc_no_text", lambda error: ("\udcff", getattr(error, "end", 0)))

#: Far above any valid row, so that a file without line ends, or with them in quotes, cannot fill the memory.
MAX_LINE_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that a file may have.

    Parameters:
        names: all columns; the header may leave out those that are not required.
        required: the columns that the header must have.
        aliases: other accepted names in lower case, and the column that each means.
    """

    names: tuple[str, ...]
    required: tuple[str, ...]
    aliases: Mapping[str, str]

    @property
    def example(self) -> str:
        """A header of all columns."""
        return ",".join(self.names)


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its lines, and its cells by column, without spaces around them."""

    first_line: int
    last_line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used: its lines, and what is wrong with it."""

    first_line: int
    last_line: int
    problem: str
    #: The number of rows it may stand for: after a wrong quote, each line may be a row.
    rows: int = 1

    def __str__(self) -> str:
        if self.first_line == self.last_line:
            return f"line {self.first_line}: {self.problem}"
        return f"lines {self.first_line} to {self.last_line}: {self.problem}"


def read(stream: BinaryIO, columns: Columns) -> Generator[Row | BadRow]:
    """Yield the rows of a CSV file, one at a time. Close the generator before `stream`.

    The file is in UTF-8 or, like Excel's Unicode text, in UTF-16. A comma, a semicolon, a tab or a | separates the
    columns: the one that a first line `sep=` names, or the one with which the header has our columns.

    Raises ``InvalidInput`` if it is not such a file, or does not begin with a header of our columns.
    """
    text = io.TextIOWrapper(stream, encoding=_encoding(stream), errors="ekyc_no_text", newline="")
    try:
        lines = _Lines(text)
        before, separator, first = _separator(lines, columns)
        reader = csv.reader(
            chain(first, lines),
            delimiter=separator,
            skipinitialspace=_spaced(first[0], separator),
            strict=True,
        )
        names = _header(reader, before + 1, columns)
        while True:
            first_line = before + reader.line_num + 1
            lines.begin_row()
            try:
                cells = next(reader, None)
                if cells is None:
                    return
                if any(cells):
                    named = _named(cells, names, separator)
                    yield Row(first_line, before + reader.line_num, named)
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


def _separator(lines: Iterator[str], columns: Columns) -> tuple[int, str, list[str]]:
    """Return the number of lines before the header, the separator, and the lines that were read to find it."""
    first = next(lines, "")
    found = _SEP.match(first)
    if found is None:
        return 0, _fitting(first, columns) or ",", [first]
    separator, header = first[found.end() :].rstrip(" \r\n").removesuffix('"'), next(lines, "")
    if len(set(separator)) == 1 and separator[0] in SEPARATORS and _fits(header, separator[0], columns):
        # Repeated separators: this line, too, ends with empty columns.
        separator = separator[0]
    if separator not in SEPARATORS:
        raise InvalidInput("line 1: sep= must name a comma, a semicolon, a tab or a |")
    fitting = _fitting(header, columns)
    if fitting and not _fits(header, separator, columns):
        raise InvalidInput(
            f"line 1 names {_several(separator)} as separators, but line 2 is separated by {_several(fitting)}: "
            "correct or delete line 1"
        )
    return 1, separator, [header]


def _fitting(header: str, columns: Columns) -> str | None:
    """Return the separator with which a header has our columns, or None."""
    return next((separator for separator in SEPARATORS if _fits(header, separator, columns)), None)


def _fits(line: str, separator: str, columns: Columns) -> bool:
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return False
    return bool(cells) and all(_column(cell, columns) in columns.names for cell in _trimmed(cells))


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


def _column(cell: str, columns: Columns) -> str:
    name = cell.strip().lower()
    return columns.aliases.get(name, name)


class _Lines:
    """The lines of a text. Raises ``InvalidInput`` where a line or a row is too long."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._number = 0
        self._first_line = 1
        self._left = MAX_LINE_CHARACTERS

    def begin_row(self) -> None:
        """Note that the next line begins a row. A row has several lines where a quote is open at a line's end."""
        self._first_line, self._left = self._number + 1, MAX_LINE_CHARACTERS

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_LINE_CHARACTERS)
        if not line:
            raise StopIteration
        self._number += 1
        self._left -= len(line)
        if len(line) == MAX_LINE_CHARACTERS:
            raise InvalidInput(
                f"line {self._number} is longer than {MAX_LINE_CHARACTERS:,} characters: this is not a CSV file"
            )
        if self._left <= 0:
            raise InvalidInput(
                f"lines {self._first_line} to {self._number} are one row of more than {MAX_LINE_CHARACTERS:,} "
                "characters: is a quote left open?"
            )
        return line


def _header(reader: Iterator[list[str]], line: int, columns: Columns) -> list[str]:
    try:
        cells = next(reader, [])
    except csv.Error as error:
        raise InvalidInput(f"line {line}: {_not_csv(error)}") from None
    if not all(map(_readable, cells)):
        raise InvalidInput(
            "this is not a CSV file in UTF-8 or UTF-16: save it as text, as `CSV UTF-8` in a spreadsheet"
        )
    must = f"line {line} must be the header, such as {columns.example}"
    names = [_column(cell, columns) for cell in _trimmed(cells)]
    for number, name in enumerate(names, start=1):
        # It may be a row of data, so it is not quoted.
        if name not in columns.names or name in names[: number - 1]:
            fault = "is repeated" if name in columns.names else f"is not one of {columns.example}"
            raise InvalidInput(f"{must}, separated by commas, semicolons, tabs or |: column {number} {fault}")
    for name in columns.required:
        if name not in names:
            raise InvalidInput(f"{must}: {name} is missing")
    return names


def _named(cells: list[str], names: list[str], separator: str) -> dict[str, str]:
    if len(_trimmed(cells)) > len(names):
        name = SEPARATORS[separator]
        raise SchemaError("", f"has {len(cells)} columns, the header {len(names)}: is a {name} not quoted?")
    if len(cells) == 1 < len(names):
        for other in SEPARATORS:
            if other in cells[0]:
                raise SchemaError(
                    "", f"is separated by {_several(other)}, the header by {_several(separator)}"
                )
    row = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
    for name, cell in row.items():
        if not _readable(cell):
            raise SchemaError(name, "must be text without NUL, in UTF-8 or UTF-16")
    return row


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
