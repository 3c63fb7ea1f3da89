"""`ekyc evidence keygen`: a new key of evidence, in a file for its owner alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker import keyring
from worker.cli import secret_file
from worker.cli.options import json_option
from worker.errors import InvalidInput
from worker.evidence.log.log_keys import LogKeys, new_log_key

if TYPE_CHECKING:
    from collections.abc import Sequence


def _key_id(ctx: click.Context, param: click.Parameter, given: str | None) -> str:
    key_id = given or datetime.now(UTC).date().isoformat()
    if not keyring.KEY_ID.fullmatch(key_id):
        raise click.BadParameter(
            "must be 1 to 32 of letters, digits, - and _, and begin with a letter or digit", ctx, param
        )
    return key_id


@click.command
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--id",
    "key_id",
    metavar="ID",
    callback=_key_id,
    help="The name of the key, which is not secret. Default: the date of today; a second key of one day needs another.",
)
@click.option("--add", is_flag=True, help="FILE has keys: put the new one before them, for a rotation.")
@click.option(
    "--log",
    "log_name",
    metavar="NAME",
    help="Make the key of the log, for EKYC_LOG_KEY_FILE. NAME is a URL of yours without its scheme, such as "
    "kyc.example.com/evidence: everyone who verifies the log sees it.",
)
@json_option
def keygen(*, file: Path, key_id: str, add: bool, log_name: str | None, as_json: bool) -> None:
    """Make a key for EKYC_EVIDENCE_KEYS_FILE, or for the log.

    The key goes to FILE, which only its owner can read, and which must not exist yet, unless --add is given. Nothing
    secret goes to stdout. Keep a copy of FILE in another place: without its keys no evidence can be read.

    With --log it prints the public key, which auditors need: keep it where people who can write the evidence store
    cannot change it.

    With --json: id (of the new key), file, keys (the ids of all keys in FILE, the current one first); with --log:
    file, public (the public key).

    Exit status: 0, 2 the file exists or cannot be read or written, or has a key of this id.
    """
    if log_name is not None:
        _log_key(file, log_name, add=add, as_json=as_json)
        return
    key = keyring.new_key(key_id)
    earlier = _earlier(file) if add else ()
    if key_id in {other.id for other in earlier}:
        raise InvalidInput(
            f"{file}: there is a key {key_id} already: pass --id, such as --id {_another(key_id, earlier)}"
        )
    keys = (key, *earlier)
    text = "".join(f"{keyring.format_key(each)}\n" for each in keys)
    _write(file, text, add=add)
    if as_json:
        click.echo(json.dumps({"id": key_id, "file": str(file), "keys": [each.id for each in keys]}))
    else:
        click.echo(f"ekyc: the key {key_id} is in {file}: keep a copy of it in another place", err=True)


def _another(key_id: str, earlier: Sequence[keyring.NamedKey]) -> str:
    """Return an id that no key has."""
    taken = {each.id for each in earlier}
    # At most one of `len(taken) + 1` names is wrong for each key.
    names = (f"{key_id[:29]}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in names if name not in taken)


def _log_key(file: Path, name: str, *, add: bool, as_json: bool) -> None:
    private, public = new_log_key(name)
    earlier = ""
    if add:
        try:
            earlier = file.read_text(encoding="ascii")
        except (OSError, UnicodeError):
            raise InvalidInput(f"{file}: cannot be read: name the file with the keys of the log") from None
    text = f"{private}\n{earlier}"
    LogKeys.parse(text, str(file))
    _write(file, text, add=add)
    if as_json:
        click.echo(json.dumps({"file": str(file), "public": public}))
    else:
        click.echo(f"ekyc: the private key is in {file}; this is the public key, for auditors:", err=True)
        click.echo(public)


def _write(file: Path, text: str, *, add: bool) -> None:
    if add:
        secret_file.replace(file, text)
    else:
        secret_file.create(file, text, otherwise="name a new one, or pass --add to rotate")


def _earlier(file: Path) -> tuple[keyring.NamedKey, ...]:
    try:
        found = keyring.parse_keys(file.read_text(encoding="ascii"))
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        # The message of a decoding error quotes bytes of the file.
        why = "is not text of ASCII" if isinstance(error, UnicodeError) else str(error)
        raise InvalidInput(f"{file}: {why}") from None
    return found.keys if found else ()
