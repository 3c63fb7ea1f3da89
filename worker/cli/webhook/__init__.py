"""`ekyc webhook`: the keys of signatures, and a check of receivers."""

from __future__ import annotations

import click

from worker.cli.webhook.check import check
from worker.cli.webhook.key import key, secret


@click.group
def webhook() -> None:
    """Make keys of signatures, and check a receiver of webhooks."""


for command in (key, secret, check):
    webhook.add_command(command)
