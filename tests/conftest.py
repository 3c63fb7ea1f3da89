"""Settings of the whole test run. Fixtures that every test may use: `tests/support/fixtures.py`."""

from __future__ import annotations

import gc
import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.fixtures"]

# A shell has what it runs in the background ignore Ctrl-C, and whatever that starts would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine makes examples slowly; that is no fault of a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# The thousands of collected tests stay: collecting garbage among them took 6 % of the time of a run.
gc.set_threshold(100_000, 20, 50)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
