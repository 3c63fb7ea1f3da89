"""A RabbitMQ of a test's own: Debian's package, a folder and ports that nobody else uses."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import amqp

from tests.acceptance.fleet import until
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Debian's wrapper insists on its own user; the server itself does not.
SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def installed() -> bool:
    return os.path.exists(SERVER) and shutil.which("epmd") is not None  # noqa: PTH110


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Start a broker on loopback; yields its AMQP URL."""
    port, distribution, names = free_port(), free_port(), free_port()
    environment = os.environ | {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    with (folder / "rabbitmq.log").open("wb") as log:
        server = subprocess.Popen(
            [SERVER], env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        until(lambda: _answers(port) or server.poll() is not None, "RabbitMQ answers")
        assert server.poll() is None, (folder / "rabbitmq.log").read_text()
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        server.terminate()
        server.wait(30)
        subprocess.run(["epmd", "-port", str(names), "-kill"], check=False, capture_output=True)


def _answers(port: int) -> bool:
    try:
        with amqp.Connection(f"127.0.0.1:{port}", connect_timeout=1):
            return True
    except (OSError, amqp.exceptions.AMQPError):
        return False
