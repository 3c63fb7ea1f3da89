"""Prints a line on stderr while a command waits for a Redis that does not answer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

import click

from worker.redis_clients import followers

if TYPE_CHECKING:
    from redis import Redis

#: How long a command may be silent, in seconds.
SILENT_S: Final = 1.5

_LOOK_S: Final = 0.25


class Watch:
    """Tracks since when each connection has been in use, and prints the server's address once per wait.

    A client holds a connection while it connects and while it waits for an answer, and releases it afterwards.
    """

    def __init__(self) -> None:
        self._since: dict[int, tuple[float, str]] = {}
        self._thread: threading.Thread | None = None

    def follow(self, redis: Redis) -> None:
        """Watch the connections of a new client."""
        pool: Any = redis.connection_pool
        get, release, place = pool.get_connection, pool.release, _place(pool.connection_kwargs)

        def watched_get(*args: Any, **options: Any) -> Any:
            # While the client connects there is no connection yet: its thread is the key.
            self._begin(-threading.get_ident(), place)
            try:
                connection = get(*args, **options)
            finally:
                self._since.pop(-threading.get_ident(), None)
            self._begin(id(connection), place)
            return connection

        def watched_release(connection: Any) -> None:
            self._since.pop(id(connection), None)
            release(connection)

        pool.get_connection, pool.release = watched_get, watched_release

    def _begin(self, key: int, place: str) -> None:
        self._since[key] = (time.monotonic(), place)
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, name="waiting note", daemon=True)
            self._thread.start()

    def _look(self) -> None:
        printed = False
        while True:
            time.sleep(_LOOK_S)
            now = time.monotonic()
            late = [place for since, place in [*self._since.values()] if now - since > SILENT_S]
            if late and not printed:
                click.echo(f"ekyc: waiting for Redis at {late[0]}, which does not answer yet", err=True)
            printed = bool(late) or (printed and bool(self._since))


def _place(settings: dict[str, Any]) -> str:
    """Return the address of a server, without its password."""
    if path := settings.get("path"):
        return str(path)
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def watch_clients() -> None:
    """Watch every client of this process from now on."""
    if not followers:
        followers.append(Watch().follow)
