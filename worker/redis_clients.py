"""Functions that are called with each new client of Redis. To register one imports no redis-py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

#: Called with each new client: the console command says on which one it waits.
followers: Final[list[Callable[[Redis], None]]] = []
