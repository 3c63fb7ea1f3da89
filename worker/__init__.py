"""A Celery worker fleet that brings every identity verification to a decision, with its evidence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

#: The application that `celery -A worker` loads. Created on first use, so that `import worker.client` needs no Celery.
celery: Celery


def __getattr__(name: str) -> Any:
    if name != "celery":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worker.errors import ConfigError  # noqa: PLC0415 - see `celery` above
    from worker.process import exit_with_error, forbid_core_dumps, refuse_shadows  # noqa: PLC0415

    forbid_core_dumps()
    try:
        # Celery searches the working directory first. Check before the import of the app, which a shadow may break.
        refuse_shadows(os.getcwd())  # noqa: PTH109 - as Celery does
        from worker.runtime.app import app  # noqa: PLC0415

        app.conf.worker_consumer  # noqa: B018 - reads the environment; broker_url does not if CELERY_BROKER_URL is set
    except ConfigError as error:
        # For any exception but SystemExit the calling command prints a traceback.
        exit_with_error(error)
    return app
