"""Reading verifications out of CSV: what can be enqueued, and which rows cannot, without their values."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from schemas.enqueue import load_enqueue
from schemas.errors import SchemaError
from worker.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from schemas.enqueue import EnqueueRequest

COLUMNS: Final = ("signature_id", "region", "context")

#: Nothing of ours comes near it, so that a file without line ends cannot fill the memory.
MAX_LINE_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be enqueued: where it is, and what is wrong with it."""

    first_line: int
    last_line: int
    problem: str
    #: How many rows there may have been: where quotes went wrong, each line may have been one.
    rows: int = 1

    def __str__(self) -> str:
        if self.first_line == self.last_line:
            return f"line {self.first_line}: {self.problem}"
        return f"lines {self.first_line} to {self.last_line}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What counts where a row says nothing, and the regions that there may be."""

    region: str | None
    #: As parsed JSON.
    context: Any
    regions: tuple[str, ...]


def read(stream: BinaryIO, defaults: Defaults) -> Generator[EnqueueRequest | BadRow]:
    """The rows of a CSV file in UTF-8, with or without BOM, one at a time. Close it before `stream`.

    Raises ``InvalidInput`` where it is no such file, or does not begin with a header of our columns.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        reader = csv.reader(_lines(text), strict=True)
        columns = _header(reader)
        while True:
            first_line = reader.line_num + 1
            try:
                cells = next(reader, None)
                if cells is None:
                    return
                if any(cells):
                    yield _request(cells, columns, defaults)
            except csv.Error as error:
                lines = reader.line_num - first_line + 1
                yield BadRow(first_line, reader.line_num, _not_csv(error), rows=lines)
            except SchemaError as error:
                yield BadRow(first_line, reader.line_num, str(error))
    finally:
        text.detach()


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE_CHARACTERS):
        number += 1
        if len(line) == MAX_LINE_CHARACTERS:
            raise InvalidInput(
                f"line {number} is longer than {MAX_LINE_CHARACTERS:,} characters: no such CSV file"
            )
        yield line


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        cells = next(reader, [])
    except csv.Error as error:
        raise InvalidInput(f"line 1: {_not_csv(error)}") from None
    if not all(map(_readable, cells)):
        raise InvalidInput("this is no CSV file in UTF-8: save it as text, as `CSV UTF-8` in a spreadsheet")
    columns = [cell.strip().lower() for cell in cells]
    for number, column in enumerate(columns, start=1):
        # It may be a row of data, so it is not quoted.
        if column not in COLUMNS or column in columns[: number - 1]:
            fault = "comes twice" if column in COLUMNS else f"is none of {','.join(COLUMNS)}"
            raise InvalidInput(
                f"line 1 must be the header, such as {','.join(COLUMNS)}: column {number} {fault}"
            )
    if "signature_id" not in columns:
        raise InvalidInput(f"line 1 must be the header, such as {','.join(COLUMNS)}: signature_id is missing")
    return columns


def _request(cells: list[str], columns: list[str], defaults: Defaults) -> EnqueueRequest:
    if len(cells) > len(columns):
        raise SchemaError("", f"has {len(cells)} columns, the header {len(columns)}: is a comma not quoted?")
    row = {column: cell.strip() for column, cell in zip(columns, cells, strict=False)}
    for column, cell in row.items():
        if not _readable(cell):
            raise SchemaError(column, "must be text in UTF-8 without NUL")
    region = row.get("region") or defaults.region
    if not region:
        raise SchemaError("region", "is empty, and there is no --region")
    request = load_enqueue(
        {
            "signature_id": row.get("signature_id", ""),
            "region": region,
            "context": parsed(row["context"]) if row.get("context") else defaults.context,
        }
    )
    if request.region not in defaults.regions:
        raise SchemaError(
            "region", f"is none of ADVANCE_REGIONS ({', '.join(defaults.regions)}): nobody would poll it"
        )
    return request


def parsed(context: str) -> Any:
    """The JSON of a context. Raises ``SchemaError`` without quoting it."""
    try:
        return json.loads(context)
    except (ValueError, RecursionError):
        raise SchemaError("context", "must be JSON") from None


def _readable(cell: str) -> bool:
    # What was no UTF-8 has been decoded to surrogates, which cannot be encoded again.
    return "\0" not in cell and (cell.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in cell))


def _not_csv(error: csv.Error) -> str:
    problem = str(error)
    if "unexpected end" in problem:
        return "is no CSV: a quote is opened and never closed"
    if "field limit" in problem:
        return f"has a field of more than {csv.field_size_limit():,} characters; is a quote left open?"
    return f"is no CSV: {problem}"
