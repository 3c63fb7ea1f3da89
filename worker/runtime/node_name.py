"""The default name of a worker: unique, so that `celery inspect`, Flower and our registry count correctly."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

from celery.utils.nodenames import node_format

from worker.errors import ConfigError

if TYPE_CHECKING:
    from click import Command

#: The process id is for people; the random part tells apart containers with the same host name.
DEFAULT: Final = f"celery-{os.getpid()}-{secrets.token_hex(2)}@%h"


def name_by_default(command: Command) -> None:
    """Make `DEFAULT` the name of a `celery worker` without `-n` and `CELERY_WORKER_HOSTNAME`."""
    for parameter in command.params:
        if parameter.name == "hostname":
            parameter.default = DEFAULT


def expanded(path: str, name: str) -> str:
    """Return `path` with Celery's formats `%n`, `%h` and `%d` replaced. Raises ``ConfigError`` for any other."""
    try:
        return node_format(path, name)
    except ValueError:
        raise ConfigError(
            f"EKYC_HEALTH_FILE: {path}: the only formats are %n (the worker's name), %h (its host) and %d (domain)"
        ) from None
