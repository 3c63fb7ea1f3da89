"""How every process of this project starts, waits for dependencies, and exits with an error."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from worker.errors import EkycError

#: The packages that the distribution installs.
PACKAGES: Final = ("worker", "tasks", "schemas", "sandbox")

#: In bytes. With 1 Linux writes no core dump; with 0 it would still pipe one to a handler in `core_pattern`.
CORE_LIMIT: Final = 1

#: Seconds between two attempts of `await_part`.
PAUSE_S: Final = 0.5


def refuse_shadows(*first: str) -> None:
    """Raise ``ConfigError`` with one line for each of our packages that another module shadows.

    Celery puts the working directory before the installed packages, and so does `python -m`. With a `tasks.py` there a
    worker would start, claim verifications, and have no task for any of them.

    Parameters:
        first: folders that are searched before `sys.path`.
    """
    path = [*first, *sys.path]
    lines = [
        f"{theirs} shadows {ours}: rename it, or start the command in another folder"
        for ours in _packages()
        if (theirs := _found(ours.parent.name, path)) is not None and theirs != ours
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _packages() -> list[Path]:
    home = Path(__file__).resolve().parent.parent
    return [file for name in PACKAGES if (file := home / name / "__init__.py").exists()]


def _found(name: str, path: Sequence[str]) -> Path | None:
    """Return the file that `import name` would run. None: no file, or a folder without `__init__.py`, which is last."""
    spec = PathFinder.find_spec(name, list(path))
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()


def forbid_core_dumps() -> None:
    """Lower both limits of core dumps for this process and its children. Debuggers such as py-spy still work.

    The memory of our processes holds names, images and keys.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = CORE_LIMIT if hard == resource.RLIM_INFINITY else min(CORE_LIMIT, hard)
    # A service manager that filters this call has its own limit.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def await_part(reach: Callable[[], object], limit_s: float) -> None:
    """Call `reach` until it no longer raises ``Unavailable``. Prints one line on stderr while the process waits.

    Raises the last error of `reach` after `limit_s` seconds.
    """
    give_up_at = time.monotonic() + limit_s
    printed = False
    while True:
        try:
            reach()
        except Unavailable as error:
            if time.monotonic() > give_up_at:
                raise
            if not printed:
                print(f"ekyc: {error}; waiting up to {limit_s:.0f} s", file=sys.stderr)  # noqa: T201
                printed = True
            time.sleep(PAUSE_S)
        else:
            return


def exit_with_error(error: EkycError) -> NoReturn:
    """Print the error on stderr, one line per fault, and exit with its exit code. Raises ``SystemExit``."""
    print("\n".join(f"ekyc: {line}" for line in str(error).splitlines()), file=sys.stderr)  # noqa: T201
    raise SystemExit(error.exit_code) from None


def place_of(error: BaseException) -> str:
    """Where an error was raised, without its message, which may quote the request."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f"{at.tb_frame.f_globals.get('__name__')}:{at.tb_lineno}" if at else ""
