"""The group of all commands, and how one command line is run."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

import click

from worker.cli import INTERRUPTED
from worker.cli.commands import BUILT_IN, SHORT_HELP, LazyGroup
from worker.cli.waiting_note import watch_clients
from worker.errors import EkycError, LedgerDamaged
from worker.process import forbid_core_dumps, refuse_shadows

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group(
    "ekyc",
    cls=LazyGroup,
    lazy_subcommands=BUILT_IN,
    short_help_lines=SHORT_HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="ekyc-worker", message="ekyc %(version)s")
def ekyc() -> None:
    """Bring identity verifications to a decision, and watch over them."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line of this process, which ends afterwards. Returns the exit status."""
    forbid_core_dumps()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The ledger holds text that people wrote; a terminal limited to ASCII must still be able to show it.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = run(arguments)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # The disk is full or the reader is gone, and `run` has reported it: keep Python from failing again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def run(arguments: Sequence[str]) -> int:
    """Run one command line. Returns the exit status; an error is printed to stderr in one or more lines."""
    # https://no-color.org: set and not empty. Rich honours it, click does not.
    color = False if os.environ.get("NO_COLOR") else None
    try:
        watch_clients()
        refuse_shadows()
        code = ekyc.main(list(arguments), prog_name="ekyc", standalone_mode=False, color=color)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except (EkycError, click.ClickException, ImportError, OSError) as error:
        for line in _said(error).splitlines():
            click.echo(f"ekyc: {line}", err=True)
        return getattr(error, "exit_code", EkycError.exit_code)
    return code if isinstance(code, int) else 0


def _said(error: Exception) -> str:
    """Return the message for an expected error; bugs keep their traceback."""
    match error:
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "ekyc"
            return f"{_one_line(error)}; see `{command} --help`"
        case click.ClickException():
            return _one_line(error)
        case LedgerDamaged():
            return _damaged() or str(error)
        case ImportError():
            return (
                f"this needs {error.name or error}, which cannot be imported: install it, for example with its "
                "extra: pip install 'ekyc-worker[local]'"
            )
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror or type(error).__name__}"
    return str(error)


def _damaged() -> str:
    """Return which keys of the ledger are damaged; "": that is not known."""
    from worker.ledger import damage  # noqa: PLC0415 - commands load what they need
    from worker.ledger.connection import connect  # noqa: PLC0415
    from worker.settings import current  # noqa: PLC0415

    settings = current()
    with connect(settings.redis_url) as redis:
        return damage.found(redis, settings.regions, with_ids=True)


def _one_line(error: click.ClickException) -> str:
    return " ".join(error.format_message().split()).rstrip(".")
