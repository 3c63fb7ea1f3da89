"""What the commands about decision tables share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.decisions.table import PACKAGED
from worker.settings import current

if TYPE_CHECKING:
    from worker.decisions.facts import Facts

#: A path of a file. Whether it can be read is found out by reading it.
FILE = click.Path(path_type=Path)

#: `--table`, for commands that apply one table.
table_option = click.option(
    "--table",
    "table_file",
    metavar="FILE",
    type=FILE,
    help="The file of the table. Default: EKYC_DECISIONS_FILE, or the packaged table.",
)


def in_use(given: Path | None) -> Path | None:
    """The file that is given, or the one of the fleet; None: the packaged table. Raises ``ConfigError``."""
    return given if given is not None else current().decisions_file


def named(path: Path | None) -> str:
    return f"packaged {PACKAGED.name}" if path is None else str(path)


def as_json(facts: Facts) -> dict[str, object]:
    """Facts by the names that a table has for them."""
    return {
        "overall_result": facts.overall_result,
        "error_code": list(facts.error_codes),
        "region": facts.region or None,
        "document_type": facts.document_type,
        "forgery_labels": list(facts.forgery_labels),
        "quality_labels": list(facts.quality_labels),
        "liveness_score": facts.liveness_score,
        "similarity_score": facts.similarity_score,
        "reason": facts.reason,
    }


def as_line(facts: Facts) -> str:
    """The facts that there are, in one line."""
    texts = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else f"{value}"
        for name, value in as_json(facts).items()
        if value not in (None, [])
    }
    return "; ".join(f"{name} {text}" for name, text in texts.items()) or "none"
