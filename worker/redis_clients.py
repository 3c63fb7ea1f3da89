"""Functions that are called with each new client of Redis. Registering a function imports no redis-py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

#: Called with each new client: the console command shows which client it waits for.
followers: Final[list[Callable[[Redis], None]]] = []
