"""Refuses to run where a module of the user's would be imported in place of one of ours.

Celery puts the working directory before the installed packages, and so does `python -m`. A `tasks.py` there would give
a worker that is ready, claims verifications, and has no task for any of them.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The packages that the distribution installs.
PACKAGES: Final = ("worker", "tasks", "schemas", "sandbox")


def refuse_shadows(*first: str) -> None:
    """Raises ``ConfigError``, one line for each package of ours that another module shadows.

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
    """The file that `import name` would run; None: none, or a folder without `__init__.py`, which comes last."""
    spec = PathFinder.find_spec(name, list(path))
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()
