"""`ekyc webhook check`: plays the fleet against a receiver of webhooks, and shows what the receiver gets wrong."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from worker.cli.options import json_option
from worker.errors import InvalidInput
from worker.settings import current
from worker.signatures import Signer, parse_private_keys, parse_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.cli.webhook.receiver import Verdict

#: The variable with the secrets, the same as in the example receivers.
SECRET: Final = "WEBHOOK_SECRET"  # noqa: S105 - a name


def _url(ctx: click.Context, param: click.Parameter, given: str) -> str:
    """Check a URL without quoting it, because it may hold a token. A callback for click."""
    try:
        parts = urlsplit(given)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not given.isascii() or not given.isprintable() or " " in given or parts.fragment:
        raise click.BadParameter(
            "give the URL of the receiver, such as https://shop.example.com/ekyc", ctx, param
        )
    if parts.username is not None or parts.password is not None:
        raise click.BadParameter("must have no user and no password: the signature is the proof", ctx, param)
    return given


@click.command
@click.argument("url", callback=_url)
@click.option(
    "--secret-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The secrets of the endpoint (whsec_…), one a line. Default: the variable WEBHOOK_SECRET.",
)
@click.option(
    "--key-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The private keys (whsk_…), one a line. Default: EKYC_SIGNING_KEY.",
)
@json_option
@click.pass_context
def check(
    ctx: click.Context, *, url: str, secret_file: Path | None, key_file: Path | None, as_json: bool
) -> None:
    """Play the fleet against a receiver, and show what it gets wrong.

    It sends deliveries of the type `endpoint.test`, which hold no decision: valid, with a signature by another key
    first, twice, twice at once; and some that must be refused: stale, from the future, under another id, with the same
    JSON in other bytes, signed by another key, unsigned, malformed. It measures how long the receiver takes. Sign with
    all that the receiver knows: a secret, a key, or both. Both are read from files or the environment alone.

    With --json: ok, and checks (check, ok, said, todo).

    Exit status: 0 all is right, 1 something is wrong, 2 invalid input.
    """
    from worker.cli.webhook.receiver import Receiver  # noqa: PLC0415 - loads libcurl

    settings = current()
    signer = _signer(secret_file, key_file, settings.signing_key)
    verdicts = []
    receiver = Receiver.at(url, signer, proxy=settings.proxy, ca_bundle=settings.ca_bundle)
    for verdict in receiver.verdicts():
        verdicts.append(verdict)
        if not as_json:
            _print(verdict)
    ok = all(verdict.ok for verdict in verdicts)
    if as_json:
        click.echo(json.dumps({"ok": ok, "checks": [asdict(verdict) for verdict in verdicts]}))
    ctx.exit(0 if ok else 1)


def _signer(secret_file: Path | None, key_file: Path | None, signing_key: str) -> Signer:
    """Raises ``InvalidInput``, which quotes no secret."""
    secrets = _read("--secret-file", secret_file) if secret_file else os.environ.get(SECRET, "")
    keys = _read("--key-file", key_file) if key_file else signing_key
    if not secrets and not keys:
        raise InvalidInput(
            f"nothing to sign with: pass --secret-file or --key-file, or set {SECRET} or EKYC_SIGNING_KEY"
        )
    return Signer(
        secrets=_parsed("--secret-file" if secret_file else SECRET, parse_secrets, secrets),
        private_keys=_parsed("--key-file", parse_private_keys, keys),
    )


def _read(option: str, file: Path) -> str:
    try:
        text = file.read_text().strip()
    except (OSError, ValueError):
        raise InvalidInput(f"{option}: the file cannot be read as text") from None
    if not text:
        raise InvalidInput(f"{option}: the file is empty")
    return text


def _parsed(name: str, parse: Callable[[str], Any], text: str) -> tuple[Any, ...]:
    try:
        return tuple(parse(text)) if text else ()
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}") from None


def _print(verdict: Verdict) -> None:
    word = click.style(f"{'ok' if verdict.ok else 'wrong':<6}", fg="green" if verdict.ok else "red")
    todo = f": {verdict.todo}" if verdict.todo else ""
    click.echo(f"{word} {verdict.check:<16} {verdict.said}{todo}")
