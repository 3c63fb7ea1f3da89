"""Ports on the loopback interface."""

from __future__ import annotations

from contextlib import suppress
from random import SystemRandom
from socket import socket
from typing import Final

#: Below the kernel's ports for outgoing connections: a server can take its port again after a restart.
_PORTS: Final = range(20_000, 30_000)


def free_port() -> int:
    """Return a port that was free a moment ago. It is random, because several test runs may share a machine."""
    while True:
        port = SystemRandom().choice(_PORTS)
        with socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
