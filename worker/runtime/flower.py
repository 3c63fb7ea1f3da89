"""Checks around Flower's command: it starts only with a password, and keeps its state for its own account.

`celery -A worker flower` is Flower's own command. Celery loads it before it loads this application, and `surround`
wraps it. `flowerconfig.py` is read first, then what Flower reads itself (`FLOWER_…`, its file, its flags); the result
is checked, and then Flower starts. See `docs/flower.md`.
"""

from __future__ import annotations

import errno
import glob
import logging
import os
import re
import signal
import socket
import sys
import tempfile
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flower import command, urls
from flower.app import Flower
from flower.views import monitor
from tornado.options import Error, options, parse_config_file
from tornado.web import authenticated

from worker.environment import Environment
from worker.errors import ConfigError, EkycError
from worker.process import exit_with_error
from worker.runtime.dependencies import await_broker
from worker.settings import current

if TYPE_CHECKING:
    from celery import Celery

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

#: What stands in `.env.example`, which anybody can read.
EXAMPLE: Final = "sandbox:sandbox"

#: Our defaults, in Flower's own format. It cannot be the file that Flower reads by itself (`--conf`): that counts
#: before the environment, and there is only one of it, the operator's.
DEFAULTS_FILE: Final = Path(__file__).with_name("flowerconfig.py")

#: A name and a password. Flower compares them as ASCII, and takes a comma for the start of the next pair.
_PAIR: Final = re.compile(r"[!-9;-~]+:[ -~]+")

#: Errors of `bind` that a person can do something about.
_OCCUPIED: Final = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}

_HELP: Final = """Flower for this fleet.

It asks for a password (FLOWER_BASIC_AUTH=name:password, or FLOWER_BASIC_AUTH_FILE), changes nothing (unless
FLOWER_READ_ONLY=false), listens on 127.0.0.1 (FLOWER_ADDRESS) at port 5555 (FLOWER_PORT, or PORT), and keeps what
it saw in var/flower/state (FLOWER_DB). All of it: docs/flower.md.

Flower's own options are given as --name=value, or as FLOWER_NAME in the environment.
"""


class Metrics(monitor.Metrics):  # type: ignore[misc]
    """Flower's metrics name workers and tasks: for those who know the password. Flower itself gives them to anybody."""

    @authenticated
    async def get(self) -> None:
        await super().get()


class Ending(Flower):  # type: ignore[misc]
    """Flower that ends on SIGTERM, and saves its state first.

    Flower itself raises ``SystemExit`` wherever it happens to be, and then waits for the threads that ask workers: 16 s
    where Redis hangs, after which most who wait for it have killed it, and its state with it.
    """

    def start(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.io_loop.asyncio_loop.add_signal_handler(number, self.io_loop.stop)
        super().start()
        self.stop()
        logging.shutdown()
        os._exit(0)


def surround(app: Celery) -> None:
    """Put our defaults and our checks around Flower's command."""
    theirs = command.flower.callback

    @wraps(theirs)
    def ours(tornado_argv: tuple[str, ...]) -> Any:
        try:
            configure(tornado_argv)
            await_broker(app, current().start_wait_s)
            urls.handlers.insert(0, (r"/metrics", Metrics))
            command.Flower = Ending
            return theirs(tornado_argv)
        except EkycError as error:
            exit_with_error(error)
        except OSError as error:
            if error.errno not in _OCCUPIED and not isinstance(error, socket.gaierror):
                raise
            exit_with_error(_cannot_listen(error))

    command.flower.callback = ours
    command.flower.help = _HELP


def configure(argv: tuple[str, ...]) -> None:
    """Let Flower read its options on top of `flowerconfig.py`. Raises ``ConfigError`` for what cannot be used.

    Flower will read them once more, and come to the same.
    """
    try:
        parse_config_file(str(DEFAULTS_FILE), final=False)
        _translate()
        command.apply_env_options()
        command.apply_options(sys.argv[0], argv)
    except (Error, ValueError, OSError) as error:
        raise ConfigError(f"a variable, a flag or the file of Flower's cannot be used: {error}") from None
    # Flower opens its state for everyone that the umask lets in: whatever it writes is for its own account.
    os.umask(0o077)
    _check_address()
    _check_password(options.basic_auth or [])
    if options.persistent:
        _check_folder(Path(options.db))


def _translate() -> None:
    """Translate the environment into what Flower reads: no empty variables, and the password from its file.

    An empty variable counts as unset, as among our settings. Flower itself would take it at its word: all addresses, or
    an empty secret for its cookies.
    """
    for name in [
        name for name, value in os.environ.items() if name.startswith("FLOWER_") and not value.strip()
    ]:
        del os.environ[name]
    env = Environment()
    if password := env.str("FLOWER_BASIC_AUTH", ""):
        os.environ["FLOWER_BASIC_AUTH"] = password
    if env.faults:
        raise ConfigError(env.faults[0])


def _check_address() -> None:
    if not options.address and not options.unix_socket:
        raise ConfigError(
            "Flower would listen on all addresses: a flag or the file of Flower's gives an empty one; "
            f"give {LOOPBACK[0]}, or 0.0.0.0 where all are meant"
        )


def _check_password(pairs: list[str]) -> None:
    if not any(pairs):
        raise ConfigError(
            "Flower starts only with a password: set FLOWER_BASIC_AUTH to name:password, "
            "or FLOWER_BASIC_AUTH_FILE to a path whose content is that"
        )
    if not all(_PAIR.fullmatch(pair) for pair in pairs):
        raise ConfigError(
            "FLOWER_BASIC_AUTH: give name:password in ASCII letters, digits and marks, "
            "with a comma and no space between several"
        )
    if EXAMPLE in pairs and options.address not in LOOPBACK:
        raise ConfigError(
            "FLOWER_BASIC_AUTH is that of .env.example, which anybody can read: "
            f"choose another, or let Flower listen on {LOOPBACK[0]}"
        )


def _check_folder(state: Path) -> None:
    folder = state.parent
    try:
        # Flower loads its state as a pickle: who may write there is Flower.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        # What an older release has written.
        for file in folder.glob(f"{glob.escape(state.name)}*"):
            file.chmod(0o600)
    except OSError as error:
        raise ConfigError(
            f"FLOWER_DB: Flower's state cannot be kept in {folder}: {error.strerror}; "
            "name another place, or set FLOWER_PERSISTENT=false"
        ) from None


def _cannot_listen(error: OSError) -> ConfigError:
    where = f"{options.address or '*'}:{options.port}"
    return ConfigError(
        f"Flower cannot listen on {where}: {error.strerror}; "
        "end what listens there, or set FLOWER_PORT and FLOWER_ADDRESS"
    )
