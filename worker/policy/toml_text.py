"""TOML files with secrets: their faults are named by place, because the messages of the parser may quote a value."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from worker.errors import ConfigError


def parsed(text: str, file: str) -> dict[str, Any]:
    """Return the document. Raises ``ConfigError``, which quotes nothing of it. `file`: its name for people."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = re.search(r"\(at (line \d+, column \d+)\)\Z", str(error))
        raise ConfigError(f"{file}: is not TOML{f' at {found[1]}' if found else ''}") from None
