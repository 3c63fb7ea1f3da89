"""Decision tables for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.decisions.table import Table

if TYPE_CHECKING:
    from pathlib import Path

#: A table in which everything but its rules is as usual.
HEAD = 'name = "mine"\notherwise = "review"\n'

PASS_RULE = """
[[rules]]
decision = "approve"
overall_result = "PASS"
error_code = "SUCCESS"
"""


def write_table(folder: Path, rules: str, *, head: str = HEAD, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(head + rules)
    return path


def load_table(folder: Path, rules: str, *, head: str = HEAD) -> Table:
    return Table.load(write_table(folder, rules, head=head))
