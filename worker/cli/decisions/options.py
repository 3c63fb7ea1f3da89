"""What the commands about decision tables share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.decisions.facts import as_texts
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


def as_line(found: Facts) -> str:
    """The facts that there are, in one line."""
    return "; ".join(f"{name} {text}" for name, text in as_texts(found).items()) or "none"
