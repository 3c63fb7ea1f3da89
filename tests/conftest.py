"""Settings of the whole test run. Fixtures that every test may use: `tests/support/fixtures.py`."""

from __future__ import annotations

import gc
import signal
from threading import Thread

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.strategies import text

pytest_plugins = ["tests.support.fixtures"]

# A shell has what it runs in the background ignore Ctrl-C, and whatever that starts would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine makes examples slowly; that is no fault of a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# The thousands of collected tests stay: collecting garbage among them took 6 % of the time of a run.
gc.set_threshold(100_000, 20, 50)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Make Hypothesis's table of the characters of UTF-8 in the process that starts the others of a run.

    It takes seconds; Hypothesis keeps it in a file. In a fresh clone each of the others would make its own. Not before
    the session: Hypothesis warns of work that delays the start of pytest.
    """
    config = session.config
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        Thread(target=text().validate, daemon=True).start()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
