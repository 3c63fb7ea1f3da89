"""Reads verifications from CSV: the rows that can be enqueued, and the bad rows without their values."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from schemas.enqueue import load_enqueue
from schemas.errors import SchemaError
from worker.cli import csv_table
from worker.cli.csv_table import BadRow, Columns

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from worker.enqueue_request import EnqueueRequest

#: The columns of a file of verifications. The vendor calls the first one `signatureId`.
COLUMNS: Final = Columns(
    ("signature_id", "region", "context", "pipeline"),
    required=("signature_id",),
    aliases={"signatureid": "signature_id"},
)


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

    Raises ``InvalidInput`` if it is not such a file, or does not begin with a header of our columns.
    """
    with closing(csv_table.read(stream, COLUMNS)) as rows:
        for row in rows:
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                yield _request(row.cells, defaults)
            except SchemaError as error:
                yield BadRow(row.first_line, row.last_line, str(error))


def _request(row: Mapping[str, str], defaults: Defaults) -> EnqueueRequest:
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
