"""`ekyc decisions`: the decision table, as a file and in use."""

from __future__ import annotations

import click

from worker.cli.decisions.checking import check
from worker.cli.decisions.diff import diff
from worker.cli.decisions.explain import explain
from worker.cli.decisions.show import show
from worker.cli.decisions.testing import test


@click.group
def decisions() -> None:
    """Show, check, test and compare decision tables."""


for command in (show, check, explain, diff, test):
    decisions.add_command(command)
