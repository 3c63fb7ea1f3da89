"""RabbitMQ: Debian's package, with its own folder and ports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

import amqp
from kombu import pools

from tests.support.ports import free_port
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Debian's wrapper requires its own user; the server itself does not.
SERVER: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"

#: How long it may take to start, in seconds: on an idle machine it takes five.
START_S: Final = 150.0

#: The queues and exchanges that tests declare.
_NAMES: Final = ("onboarding", "celery")


def installed() -> bool:
    return os.path.exists(SERVER) and shutil.which("epmd") is not None  # noqa: PTH110


class RabbitMQ:
    """A broker on loopback, which can be killed and restarted on its data. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "rabbitmq.log"
        self._port, self._names = free_port(), free_port()
        self._environment = os.environ | {
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            # Erlang's schedulers keep a core busy while they wait for work, unless this option forbids it.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
            ),
        }
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def start(self) -> None:
        """Start the broker, and return once it answers."""
        with self._log.open("ab") as log:
            server = self._server = subprocess.Popen(
                [SERVER], env=self._environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        until(lambda: self._answers() or server.poll() is not None, "RabbitMQ answers", START_S)
        assert server.poll() is None, self._log.read_text()

    def forget(self) -> None:
        """Delete the queues and exchanges of an earlier test, and the pooled connections that it may have broken."""
        for key, pool in list(pools.connections.items()):
            if pool.connection.port == self._port:
                pool.force_close_all()
                pools.connections.pop(key)
                pools.producers.pop(key, None)
        with amqp.Connection(f"127.0.0.1:{self._port}") as connection:
            channel = connection.channel()
            for name in _NAMES:
                channel.queue_delete(name)
                channel.exchange_delete(name)

    def kill(self) -> None:
        """`kill -9` the broker: it loses what it has not written to its disk."""
        assert self._server is not None
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait()

    def restart(self) -> None:
        """End the broker in order, and start it again: what was declared before is on its disk."""
        assert self._server is not None
        self._server.terminate()
        self._server.wait(60)
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the broker: it keeps its connections, and does not answer."""
        assert self._server is not None
        os.killpg(self._server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._server.pid, signal.SIGCONT)

    def _end(self) -> None:
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            self._server.wait(30)
        subprocess.run(["epmd", "-port", str(self._names), "-kill"], check=False, capture_output=True)

    def _answers(self) -> bool:
        try:
            with amqp.Connection(f"127.0.0.1:{self._port}", connect_timeout=1):
                return True
        except (OSError, amqp.exceptions.AMQPError):
            return False
