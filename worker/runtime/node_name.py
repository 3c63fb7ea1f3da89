"""The name of a worker where no `-n` gives one: unique, so that `celery inspect`, Flower and we count right."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

from celery.utils.nodenames import node_format

from worker.errors import ConfigError

if TYPE_CHECKING:
    from click import Command

#: For people, the process id; the rest tells apart processes of containers that share a host's name.
DEFAULT: Final = f"celery-{os.getpid()}-{secrets.token_hex(2)}@%h"


def name_by_default(command: Command) -> None:
    """Let `celery worker` take `DEFAULT` where neither `-n` nor `CELERY_WORKER_HOSTNAME` names the worker."""
    for parameter in command.params:
        if parameter.name == "hostname":
            parameter.default = DEFAULT


def expanded(path: str, name: str) -> str:
    """`path` with the `%n`, `%h`, `%d` of Celery's formats replaced. Raises ``ConfigError`` for any other."""
    try:
        return node_format(path, name)
    except ValueError:
        raise ConfigError(
            f"EKYC_HEALTH_FILE: {path}: of formats it takes %n (the worker's name), %h (its host) and %d (domain)"
        ) from None
