"""The Celery application of a worker and of Flower: `celery -A worker worker` needs no flags."""

from __future__ import annotations

import gc
import logging
import sys
from typing import Any, Final

from celery.signals import (
    celeryd_after_setup,
    celeryd_init,
    setup_logging,
    worker_ready,
    worker_shutting_down,
)

from worker.messaging.celery_app import make_app
from worker.messaging.redaction import without_traceback
from worker.observability.logs import configure_logging

#: New objects after which Python looks for garbage that refers to itself. There is hardly any here, and with Python's
#: own 700, which verifications in flight exceed all the time, the search takes 3 % of the CPU of a busy worker.
YOUNG_OBJECTS: Final = 10_000

app = make_app()

# The `celery` command loads plugins before this module.
if "flower.command" in sys.modules:
    from worker.runtime.flower import surround

    surround(app)

if "celery.bin.worker" in sys.modules:
    from celery.bin.worker import worker

    from worker.runtime.node_name import name_by_default

    name_by_default(worker)


@setup_logging.connect
def _log_as_json(loglevel: int | str | None = None, **_: Any) -> None:
    configure_logging(loglevel or "INFO")
    logging.getLogger("celery.app.trace").addFilter(without_traceback)


@celeryd_init.connect
def _check_before_start(sender: str, options: dict[str, Any] | None = None, **_: Any) -> None:
    from worker.runtime.startup import check  # noqa: PLC0415 - only a worker needs these imports

    given = options or {}
    pool = str(given.get("pool") or app.conf.worker_pool)
    check(app, pool, name=sender, consumed=_names(given.get("queues")))


@celeryd_after_setup.connect
def _check_queues(**_: Any) -> None:
    from worker.runtime.startup import check_consumed  # noqa: PLC0415 - see above

    check_consumed(app)


def _names(queues: Any) -> list[str]:
    """Return the names of queues in Celery's option: a list, or text with commas."""
    return queues.split(",") if isinstance(queues, str) else list(queues or ())


@worker_ready.connect
def _freeze_what_is_loaded(**_: Any) -> None:
    """Exclude modules, classes and settings from garbage collection, and collect less often.

    Modules, classes and settings live as long as the process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


@worker_shutting_down.connect
def _begin_nothing_new(**_: Any) -> None:
    from worker.runtime.services import services  # noqa: PLC0415 - see above

    services().stopping.set()
