"""`ekyc decisions show`: the rules of a table."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from worker.cli.decisions.options import FILE, in_use, named
from worker.cli.options import json_option
from worker.decisions.table import Table, as_toml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.decisions.rules import Rule


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
    table = Table.load(path)
    if as_json:
        click.echo(json.dumps(_as_json(table, named(path))))
    else:
        click.echo("\n".join(toml_lines(table) if toml else _lines(table, named(path))))


def toml_lines(table: Table) -> Iterator[str]:
    """The table as a file, which decides the same."""
    name = table.version if table.is_legacy else table.version.rpartition("-")[0]
    yield f"name = {_toml(re.sub(r'[^A-Za-z0-9_.-]+', '-', name).strip('-._')[:48] or 'table')}"
    yield f"otherwise = {_toml(table.otherwise)}"
    if table.consumes is not None:
        yield f"consumes = {_toml(sorted(table.consumes))}"
    if table.deliveries:
        yield "\n[deliveries]"
        yield from (f"{name} = {_toml(list(kinds))}" for name, kinds in sorted(table.deliveries.items()))
    for rule in table.rules:
        yield "\n[[rules]]"
        yield from (f"{name} = {_toml(value)}" for name, value in as_toml(rule).items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def _as_json(table: Table, name: str) -> dict[str, Any]:
    return {
        "version": table.version,
        "file": name,
        "format": "rows" if table.is_legacy else "rules",
        "rules": [
            {
                "decision": rule.decision,
                "text": rule.text,
                "conditions": {each.name: each.as_toml() for each in rule.conditions},
            }
            for rule in table.rules
        ],
        "otherwise": table.otherwise,
        "deliveries": {name: list(table.delivered_by(name)) for name in sorted(table.decisions)},
        "consumes": None if table.consumes is None else sorted(table.consumes),
    }


def _lines(table: Table, name: str) -> Iterator[str]:
    yield f"{table.version} ({name}): the first rule that matches decides"
    for number, rule in enumerate(table.rules, start=1):
        yield from _rule_lines(number, rule)
    yield f"otherwise: {table.otherwise}"


def _rule_lines(number: int, rule: Rule) -> Iterator[str]:
    yield f"rule {number}: {rule.decision}" + (f" ({rule.text})" if rule.text else "")
    for each in rule.conditions:
        yield f"    {each.name}: {each.wanted}"
    if not rule.conditions:
        yield "    any answer that has a result and does not contradict itself"
