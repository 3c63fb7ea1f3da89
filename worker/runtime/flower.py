"""Checks around Flower's command: Flower starts only with a password, and only its own account can read its state.

`celery -A worker flower` is Flower's own command. Celery loads it before this application, and `surround` wraps it.
The wrapper reads `flowerconfig.py`, then Flower's own sources (`FLOWER_…`, its file, its flags), checks the result and
starts Flower. See `docs/flower.md`.
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

#: The value in `.env.example`, which is public.
EXAMPLE: Final = "sandbox:sandbox"

#: Our defaults, in Flower's own format. They cannot be in the file that Flower reads itself (`--conf`): it overrides
#: the environment, and there is only one such file, the operator's.
DEFAULTS_FILE: Final = Path(__file__).with_name("flowerconfig.py")

#: A name and a password. Flower compares them as ASCII, and a comma starts the next pair.
_PAIR: Final = re.compile(r"[!-9;-~]+:[ -~]+")

#: Errors of `bind` that the operator can fix.
_OCCUPIED: Final = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}

_HELP: Final = """Flower for this fleet.

It requires a password (FLOWER_BASIC_AUTH=name:password, or FLOWER_BASIC_AUTH_FILE), is read-only (unless
FLOWER_READ_ONLY=false), listens on 127.0.0.1 (FLOWER_ADDRESS) at port 5555 (FLOWER_PORT, or PORT), and keeps its
state in var/flower/state (FLOWER_DB). See docs/flower.md.

Set Flower's own options as --name=value, or as FLOWER_NAME in the environment.
"""


class Metrics(monitor.Metrics):  # type: ignore[misc]
    """Flower's metrics page behind the password, because it names workers and tasks. In Flower it is public."""

    @authenticated
    async def get(self) -> None:
        await super().get()


class Ending(Flower):  # type: ignore[misc]
    """Flower that ends on SIGTERM, and saves its state first.

    Flower itself raises ``SystemExit`` anywhere in its code, and then waits for the threads that call workers: 16 s if
    Redis hangs. Most process managers kill it before that, and its state is lost.
    """

    def start(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.io_loop.asyncio_loop.add_signal_handler(number, self.io_loop.stop)
        super().start()
        self.stop()
        logging.shutdown()
        os._exit(0)


def surround(app: Celery) -> None:
    """Wrap Flower's command with our defaults and checks."""
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
    """Read Flower's options on top of `flowerconfig.py`. Raises ``ConfigError`` for unusable ones.

    Flower reads them again when it starts, with the same result.
    """
    try:
        parse_config_file(str(DEFAULTS_FILE), final=False)
        _translate()
        command.apply_env_options()
        command.apply_options(sys.argv[0], argv)
    except (Error, ValueError, OSError) as error:
        raise ConfigError(f"a variable, a flag or the file of Flower cannot be used: {error}") from None
    # Flower creates its state with the umask's mode: let only its own account read what it writes.
    os.umask(0o077)
    _check_address()
    _check_password(options.basic_auth or [])
    if options.persistent:
        _check_folder(Path(options.db))


def _translate() -> None:
    """Prepare the environment for Flower: remove empty variables, and read the password from its file.

    An empty variable counts as unset, as in our settings. Flower itself would use the empty value: all addresses, or
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
            "Flower would listen on all addresses: a flag or the file of Flower sets an empty address; "
            f"set {LOOPBACK[0]}, or 0.0.0.0 for all addresses"
        )


def _check_password(pairs: list[str]) -> None:
    if not any(pairs):
        raise ConfigError(
            "Flower starts only with a password: set FLOWER_BASIC_AUTH to name:password, "
            "or FLOWER_BASIC_AUTH_FILE to the path of a file with that content"
        )
    if not all(_PAIR.fullmatch(pair) for pair in pairs):
        raise ConfigError(
            "FLOWER_BASIC_AUTH: use name:password in ASCII letters, digits and marks; "
            "separate several with a comma without a space"
        )
    if EXAMPLE in pairs and options.address not in LOOPBACK:
        raise ConfigError(
            "FLOWER_BASIC_AUTH is the one in .env.example, which is public: "
            f"choose another, or let Flower listen on {LOOPBACK[0]}"
        )


def _check_folder(state: Path) -> None:
    folder = state.parent
    try:
        # Flower loads its state as a pickle: write access there means running code as Flower.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        # Files of an older release.
        for file in folder.glob(f"{glob.escape(state.name)}*"):
            file.chmod(0o600)
    except OSError as error:
        raise ConfigError(
            f"FLOWER_DB: Flower's state cannot be kept in {folder}: {error.strerror}; "
            "set another path, or FLOWER_PERSISTENT=false"
        ) from None


def _cannot_listen(error: OSError) -> ConfigError:
    where = f"{options.address or '*'}:{options.port}"
    return ConfigError(
        f"Flower cannot listen on {where}: {error.strerror}; "
        "stop the process that listens there, or set FLOWER_PORT and FLOWER_ADDRESS"
    )
