"""Ports on the loopback interface."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from random import SystemRandom
from socket import socket
from typing import Final

#: Below the kernel's ports for outgoing connections: a server can take its port again after a restart.
_PORTS: Final = range(20_000, 30_000)

#: What was returned last: its server may not listen yet.
_RECENT: Final = deque[int](maxlen=100)


def free_port() -> int:
    """Return a port that was free a moment ago. It is random, because several test runs may share a machine."""
    ports = _own_ports()
    while True:
        port = SystemRandom().choice(ports)
        if port in _RECENT:
            continue
        with socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _RECENT.append(port)
            return port


def _own_ports() -> range:
    """Return the ports that no other process of this test run chooses from."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return _PORTS[number % processes :: processes]
