"""`ekyc console`: who may use the console of `web`.

Each group of commands has a module, which is imported when a command runs.
"""

from __future__ import annotations

from typing import Final

import click

from worker.cli.commands import LazyGroup

#: The commands, each as `module:attribute`, in the order of the help.
COMMANDS: Final = {
    "user": "worker.cli.console.users:user",
    "sessions": "worker.cli.console.sessions:sessions",
}

#: The line of each command in `ekyc console --help`: the first sentence of its own help, which a test compares.
SHORT_HELP: Final = {
    "user": "Edit the file of EKYC_CONSOLE_USERS_FILE.",
    "sessions": "End sessions of the console.",
}


@click.group(cls=LazyGroup, lazy_subcommands=COMMANDS, short_help_lines=SHORT_HELP, entry_point_group="")
def console() -> None:
    """Say who may use the console of web, and end their sessions."""
