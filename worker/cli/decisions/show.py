"""`ekyc decisions show`: the rules of a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from worker.cli.decisions.options import FILE, in_use
from worker.cli.options import json_option
from worker.decisions import table_text
from worker.decisions.table import Table

if TYPE_CHECKING:
    from pathlib import Path


@click.command
@click.argument("file", metavar="[FILE]", type=FILE, required=False)
@click.option("--toml", is_flag=True, help="Print it as a file with [[rules]], also one with [[rows]].")
@json_option
@click.pass_context
def show(ctx: click.Context, file: Path | None, *, toml: bool, as_json: bool) -> None:
    """Show a decision table: FILE, or the one in use.

    The table in use is the one in EKYC_DECISIONS_FILE, or the packaged one. The first rule that matches decides. With
    --json: version, file, format (rules, or rows for the older one), rules (decision, text, and conditions by name),
    otherwise, deliveries (of each decision), and consumes (null: the file does not say).

    Exit status: 0 it is shown, 2 it cannot be read or has faults.
    """
    if toml and as_json:
        raise click.UsageError("give either --toml or --json", ctx)
    path = in_use(file)
    table, name = Table.load(path), table_text.named(path)
    if as_json:
        click.echo(json.dumps(table_text.as_json(table, name)))
    else:
        click.echo("\n".join(table_text.toml_lines(table) if toml else table_text.lines(table, name)))
