"""`ekyc deliveries`: what goes to endpoints by webhook, and what to do if an endpoint does not take it."""

from __future__ import annotations

import click

from worker.cli.deliveries.acts import drop, pause, recover, resend, resume
from worker.cli.deliveries.listing import list_, show


@click.group
def deliveries() -> None:
    """Show, resend, drop deliveries by webhook, pause endpoints."""


for command in (list_, show, resend, recover, drop, pause, resume):
    deliveries.add_command(command)
