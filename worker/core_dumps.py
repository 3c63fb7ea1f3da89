"""No core dumps: the memory of our processes holds names, images and keys."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

#: In bytes. Linux writes no core of such a process; with 0 it still pipes one to a handler that `core_pattern` names.
LIMIT: Final = 1


def forbid_core_dumps() -> None:
    """Lower both limits, for this process and all that it starts. Debuggers such as py-spy are not concerned."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = LIMIT if hard == resource.RLIM_INFINITY else min(LIMIT, hard)
    # A service manager that filters this call has its own limit.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))
