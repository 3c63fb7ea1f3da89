"""`ekyc token`: tokens of the HTTP API."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime

import click

from worker.cli.options import pipeline_name
from worker.policy import api_tokens
from worker.policy.api_tokens import DEFAULT_RATE, MAX_RATE, SCOPES, Token


@click.group
def token() -> None:
    """Make tokens of the HTTP API.

    Exit status: 0, 2 what was given is wrong.
    """


def _name(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    if given is not None and not api_tokens.NAME.fullmatch(given):
        raise click.BadParameter("must be 1 to 64 of letters, digits, . _ -", ctx, param)
    return given


def _finite(ctx: click.Context, param: click.Parameter, given: float) -> float:
    if not math.isfinite(given):
        raise click.BadParameter("must be a number", ctx, param)
    return given


@token.command
@click.argument("name", callback=_name)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(list(SCOPES)),
    help="What it allows; may be given several times.",
)
@click.option(
    "--pipeline", metavar="NAME", callback=pipeline_name, help="What it enqueues belongs to this pipeline."
)
@click.option(
    "--expires", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]), help="Refused from this day on, in UTC."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, max=MAX_RATE, min_open=True),
    default=DEFAULT_RATE,
    callback=_finite,
    show_default=True,
    help="Requests per second.",
)
def new(
    name: str, scopes: tuple[str, ...], pipeline: str | None, expires: datetime | None, rate: float
) -> None:
    """Make a token, and print its entry for EKYC_API_TOKENS_FILE.

    The entry, which has the hash alone, goes to stdout: append it to the file. The token itself goes to stderr, once.

    Exit status: 0, 2 what was given is wrong.
    """
    secret = api_tokens.new_secret()
    made = Token(
        name,
        frozenset(scopes),
        hashlib.sha256(secret.encode()).digest(),
        pipeline,
        expires.replace(tzinfo=UTC) if expires else None,
        rate,
    )
    click.echo(api_tokens.entry(made))
    click.echo(f"the token of {name}, which is not shown again: {secret}", err=True)
