"""`ekyc webhook key` and `ekyc webhook secret`: a new private key, or a new secret, in a file for its owner alone."""

from __future__ import annotations

from pathlib import Path

import click

from worker import signatures
from worker.cli import secret_file

_file_argument = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))


@click.command
@_file_argument
def key(file: Path) -> None:
    """Make a private key for EKYC_SIGNING_KEY_FILE.

    The private key goes to FILE, which only its owner can read, and which must not exist yet. The public key, which
    receivers need, goes to stdout.

    Exit status: 0, 2 the file exists or cannot be written.
    """
    private = signatures.new_private_key()
    public = private.public_key()
    secret_file.create(file, f"{signatures.format_private_key(private)}\n")
    click.echo(signatures.format_public_key(public))
    click.echo(f"ekyc: the private key {signatures.key_id(public)} is in {file}", err=True)


@click.command
@_file_argument
def secret(file: Path) -> None:
    """Make a secret for one endpoint and its receiver.

    It goes to FILE, which only its owner can read, and which must not exist yet. Nothing goes to stdout.

    Exit status: 0, 2 the file exists or cannot be written.
    """
    secret_file.create(file, f"{signatures.format_secret(signatures.new_secret())}\n")
    click.echo(f"ekyc: the secret is in {file}: give a copy to the receiver", err=True)
