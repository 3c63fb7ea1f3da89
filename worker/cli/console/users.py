"""`ekyc console user`: add, list and remove users of the console, and change their passwords and roles."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

import click

from worker.cli.console.users_file import edit, path_of, read
from worker.cli.options import json_option, who_option
from worker.errors import InvalidInput, LedgerUnavailable
from worker.ledger.audit import AuditLog
from worker.ledger.connection import connect
from worker.policy import passwords
from worker.policy.console_users import NAME, ROLES, Role, User
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from worker.cli.console.editing import UsersText
    from worker.settings import Settings


def _name(ctx: click.Context, param: click.Parameter, given: str) -> str:
    if not NAME.fullmatch(given):
        raise click.BadParameter("must be 1 to 64 of letters, digits, . _ @ + -", ctx, param)
    return given


name_argument = click.argument("name", metavar="NAME", callback=_name)

_roles_option = click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="What the user may do; may be given several times. "
    + " ".join(f"{role}: {does}." for role, does in ROLES.items()),
)

_password_option = click.option(
    "--password-file",
    metavar="FILE",
    type=click.File("r", encoding="utf-8"),
    help="Read the password from the first line of FILE; - is stdin. Default: it is asked for, twice.",
)

_unrecorded_option = click.option(
    "--unrecorded",
    is_flag=True,
    help="Change the file even if Redis does not answer: then the audit log has no entry of it.",
)


@click.group
def user() -> None:
    """Edit the file of EKYC_CONSOLE_USERS_FILE.

    A running web reads the file again within a second. Comments in it stay. The file is replaced as a whole, and
    belongs to its owner alone; if it has a group that may read it, the group still may.

    Each change is in the audit log, in the Redis of REDIS_URL, before it is made. If Redis does not answer, nothing is
    changed, unless --unrecorded is given: for users that are made before there is a Redis, or away from it.
    """


@user.command
@name_argument
@_roles_option
@click.option(
    "--no-password", is_flag=True, help="The user comes through a proxy of EKYC_CONSOLE_PROXIES alone."
)
@_password_option
@who_option
@_unrecorded_option
@json_option
def add(  # noqa: PLR0913 - one an option
    *,
    name: str,
    roles: tuple[str, ...],
    no_password: bool,
    password_file: TextIO | None,
    who: str,
    unrecorded: bool,
    as_json: bool,
) -> None:
    """Add a user.

    The file holds a hash of the password, never the password. With --json: name, roles, has_password, file.

    Exit status: 0, 1 Redis does not answer, 2 the name is taken, the password is refused, or the file cannot be
    read or written.
    """
    if no_password and password_file is not None:
        raise InvalidInput("--no-password and --password-file: give one of them")
    settings = current()
    path = path_of(settings)
    made = User(name, frozenset(map(Role, roles)))
    read(path).add(made)
    if not no_password:
        made = User(name, made.roles, passwords.hashed(_password(name, password_file)))
    change = _Change(settings, path, made.name, who, "added", unrecorded=unrecorded)
    change.make(lambda users: users.add(made))
    _report(change, made, as_json=as_json)


@user.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the users, their roles, and whether they have a password.

    With --json: an array of name, roles, has_password.

    Exit status: 0, 2 the file cannot be read.
    """
    users = read(path_of(current())).users
    if as_json:
        click.echo(json.dumps([_described(one) for one in users]))
        return
    width = max((len(one.name) for one in users), default=0)
    for one in users:
        comes = "" if one.password else "  (through a proxy alone)"
        click.echo(f"{one.name:<{width}}  {', '.join(sorted(one.roles))}{comes}")
    if not users:
        click.echo("there are no users, so there is no console: see `ekyc console user add --help`", err=True)


@user.command
@name_argument
@who_option
@_unrecorded_option
@json_option
def remove(*, name: str, who: str, unrecorded: bool, as_json: bool) -> None:
    """Remove a user. Every session of the user ends within a second.

    With --json: name, roles, has_password, file.

    Exit status: 0, 1 Redis does not answer, 2 there is no such user, or the file cannot be read or written.
    """
    settings = current()
    path = path_of(settings)
    removed = read(path).find(name)
    change = _Change(settings, path, name, who, "removed", unrecorded=unrecorded)
    change.make(lambda users: users.remove(name))
    _report(change, removed, as_json=as_json)


@user.command
@name_argument
@_password_option
@who_option
@_unrecorded_option
@json_option
def password(*, name: str, password_file: TextIO | None, who: str, unrecorded: bool, as_json: bool) -> None:
    """Give a user a new password. Every session of the user ends within a second.

    With --json: name, roles, has_password, file.

    Exit status: 0, 1 Redis does not answer, 2 there is no such user, the password is refused, or the file cannot
    be read or written.
    """
    settings = current()
    path = path_of(settings)
    read(path).find(name)
    hashed = passwords.hashed(_password(name, password_file))
    change = _Change(settings, path, name, who, "has a new password", unrecorded=unrecorded)
    after = change.make(lambda users: users.change(name, password=hashed))
    _report(change, after.find(name), as_json=as_json)


@user.command
@name_argument
@_roles_option
@who_option
@_unrecorded_option
@json_option
def roles(*, name: str, roles: tuple[str, ...], who: str, unrecorded: bool, as_json: bool) -> None:
    """Give a user other roles, which replace those before. They count within a second.

    With --json: name, roles, has_password, file.

    Exit status: 0, 1 Redis does not answer, 2 there is no such user, or the file cannot be read or written.
    """
    settings = current()
    path = path_of(settings)
    wanted = frozenset(map(Role, roles))
    done = f"has the roles {', '.join(sorted(wanted))}"
    change = _Change(settings, path, name, who, done, unrecorded=unrecorded)
    after = change.make(lambda users: users.change(name, roles=wanted))
    _report(change, after.find(name), as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Change:
    settings: Settings
    path: Path
    name: str
    who: str
    done: str
    unrecorded: bool

    def make(self, change: Callable[[UsersText], UsersText]) -> UsersText:
        """Record and make the change, and return the file after it. Nothing is changed if it raises."""
        return edit(self.path, change, record=self._record)

    def _record(self) -> None:
        try:
            with connect(self.settings.redis_url) as redis:
                AuditLog(redis).record(
                    "user_change", who=self.who, via="cli", subject=self.name, detail=self.done
                )
        except LedgerUnavailable as error:
            if not self.unrecorded:
                raise LedgerUnavailable(
                    f"{error}; nothing was changed: --unrecorded changes the file without an entry of the audit log"
                ) from None
            click.echo(f"ekyc: warning: the audit log does not have this change: {error}", err=True)


def _report(change: _Change, changed: User, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_described(changed) | {"file": str(change.path)}))
    else:
        click.echo(f"{changed.name} {change.done}, in {change.path}")


def _described(one: User) -> dict[str, object]:
    return {"name": one.name, "roles": sorted(one.roles), "has_password": bool(one.password)}


def _password(name: str, file: TextIO | None) -> str:
    """Return a password that the user `name` may have. Raises ``InvalidInput``."""
    text = _asked() if file is None else _first_line(file)
    if fault := passwords.fault(text, name):
        raise InvalidInput(fault)
    return text


def _first_line(file: TextIO) -> str:
    try:
        return file.readline(passwords.LONGEST + 2).rstrip("\r\n")
    except UnicodeError:
        raise InvalidInput("--password-file: is not text of UTF-8") from None


def _asked() -> str:
    if not (sys.stdin and sys.stdin.isatty()):
        raise InvalidInput("stdin is not a terminal: pass --password-file, with - for stdin")
    text: str = click.prompt(
        f"Password, at least {passwords.SHORTEST} characters",
        hide_input=True,
        confirmation_prompt="The same password again",
        err=True,
    )
    return text
