"""The list of a sample of approvals, and the verdicts of the person who checked it, as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final

from worker.cli import csv_table
from worker.cli.csv_table import BadRow, Columns
from worker.enqueue_request import canonical_region
from worker.errors import InvalidInput
from worker.records.report.acceptance import Verdict
from worker.records.report.sample import Drawn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_NAMES: Final = ("region", "signature_id", "verdict")

#: The columns of the list, which comes back with a verdict on each line.
COLUMNS: Final = Columns(_NAMES, required=_NAMES, aliases={"signatureid": "signature_id"})

#: The most faults that one error names.
MOST_FAULTS: Final = 10

_WORDS: Final = ", ".join(Verdict)


def dump_sample(drawn: Iterable[Drawn]) -> str:
    """Return the list of a sample, with an empty column for the verdicts."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_NAMES)
    writer.writerows((each.region, each.signature_id, "") for each in drawn)
    return text.getvalue()


def read_verdicts(stream: BinaryIO, drawn: Collection[Drawn]) -> Mapping[Verdict, int]:
    """Count the verdicts on a sample. Close the stream afterwards.

    Raises ``InvalidInput`` with a line for each fault, which names the line of the file and never the id, unless there
    is exactly one verdict on each verification of the sample.
    """
    sample = frozenset(drawn)
    seen: dict[Drawn, int] = {}
    counts: Counter[Verdict] = Counter()
    faults = _Faults()
    with closing(csv_table.read(stream, COLUMNS)) as rows:
        for row in rows:
            if isinstance(row, BadRow):
                faults.add(str(row))
            elif fault := _fault(row.cells, sample, seen):
                faults.add(str(BadRow(row.first_line, row.last_line, fault)))
            else:
                seen[_drawn(row.cells)] = row.first_line
                counts[Verdict(_word(row.cells))] += 1
    if len(seen) < len(sample) and not faults.count:
        missing = f"{len(sample) - len(seen)} of the {len(sample)} verifications of the sample are missing"
        faults.add(f"{missing}: hand back the whole list")
    faults.check()
    return counts


@dataclass(slots=True)
class _Faults:
    """The first faults of a file, and the number of all: a file that is not ours may have a fault on every line."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, fault: str) -> None:
        self.count += 1
        if self.count <= MOST_FAULTS:
            self.first.append(f"--verdicts: {fault}")

    def check(self) -> None:
        """Raise ``InvalidInput`` if there are any."""
        more = [f"--verdicts: and {self.count - MOST_FAULTS} more"] if self.count > MOST_FAULTS else []
        if self.count:
            raise InvalidInput("\n".join(self.first + more))


def _fault(cells: Mapping[str, str], sample: Collection[Drawn], seen: Mapping[Drawn, int]) -> str | None:
    drawn = _drawn(cells)
    if drawn not in sample:
        return (
            "this verification is not in the sample as it is now: give the --month, --region, --sample and --seed "
            "with which the list was made; if they are the same, approvals were added or erased since: make a new list"
        )
    if drawn in seen:
        return f"this verification has a verdict already, on line {seen[drawn]}"
    if _word(cells) not in Verdict.__members__.values():
        what = "the verdict is not one of" if _word(cells) else "the verdict is missing, give one of"
        return f"{what} {_WORDS}"
    return None


def _drawn(cells: Mapping[str, str]) -> Drawn:
    region = cells.get("region", "")
    with suppress(ValueError):
        region = canonical_region(region)
    return Drawn(region, cells.get("signature_id", ""))


def _word(cells: Mapping[str, str]) -> str:
    return cells.get("verdict", "").lower()
