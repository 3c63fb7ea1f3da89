"""`ekyc quarantine`: verifications that a person must look at, and what to do with them."""

from __future__ import annotations

import click

from worker.cli.quarantine.drop import drop
from worker.cli.quarantine.listing import list_
from worker.cli.quarantine.retry import retry
from worker.cli.quarantine.show import show


@click.group
def quarantine() -> None:
    """Show which verifications need a person; retry or drop them."""


for command in (list_, show, retry, drop):
    quarantine.add_command(command)
