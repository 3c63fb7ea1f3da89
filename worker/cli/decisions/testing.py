"""`ekyc decisions test`: whether a table decides cases as it should."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from worker.cli.decisions.options import FILE, as_line, in_use, table_option
from worker.cli.options import json_option
from worker.decisions.cases import PACKAGED, failures, read_cases
from worker.decisions.table import Table

if TYPE_CHECKING:
    from pathlib import Path


@click.command
@click.argument("cases_file", metavar="[CASES.toml]", type=FILE, required=False)
@table_option
@json_option
@click.pass_context
def test(ctx: click.Context, cases_file: Path | None, *, table_file: Path | None, as_json: bool) -> None:
    """Test a decision table: each case has facts, and the decision that they must lead to.

    Without CASES.toml it runs the cases of the packaged table. A case stands under a line [[cases]] and has decision,
    an optional name, and facts by the names of conditions. With --json: table, cases, failed (name, line, expected,
    decided).

    Exit status: 0 all cases pass, 1 some fail, 2 a file cannot be read or has faults.
    """
    cases = read_cases(cases_file)
    table = Table.load(in_use(table_file))
    failed = failures(table, cases)
    name = str(cases_file or PACKAGED.name)
    if as_json:
        found = [
            {
                "name": each.case.name,
                "line": each.case.line,
                "expected": each.case.decision,
                "decided": each.decided,
            }
            for each in failed
        ]
        click.echo(json.dumps({"table": table.version, "cases": len(cases), "failed": found}))
    else:
        for each in failed:
            case = each.case
            click.echo(f"{name}:{case.line}: {case.name}: decided {each.decided}, not {case.decision}")
            click.echo(f"    {as_line(case.facts)}")
        click.echo(f"{len(cases) - len(failed)} of {len(cases)} cases pass with table {table.version}")
    ctx.exit(1 if failed else 0)
