"""The process that compares one uploaded table: `python -m worker.web.console.comparing`.

A process of its own can be ended at any time, and what it computes delays no page. Standard input: one line of JSON
about what is wanted, then the bytes of the table; its end ends the process. Standard output: one line of JSON after
another, as ``worker.decisions.comparison`` tells them.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from worker.decisions.comparison import Wanted, compare
from worker.errors import EkycError
from worker.process import forbid_core_dumps, place_of
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes of private memory that it may have, threads included. It begins with 55 MB.
MOST_MEMORY: Final = 128 * 1024 * 1024

#: The stack of a thread. The default counts as 8 MB of memory.
_STACK: Final = 512 * 1024

_OUTPUT: Final = threading.Lock()


def main() -> None:
    """Compare, and tell what follows. Nothing is raised: the last line says what went wrong."""
    forbid_core_dumps()
    threading.stack_size(_STACK)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    with suppress(OSError):
        os.nice(10)
    asked = json.loads(sys.stdin.buffer.readline())
    raw = sys.stdin.buffer.read(asked["bytes"])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    wanted = Wanted(tuple(asked["regions"]), asked["since_s"], asked["longest_s"], asked["most"])
    try:
        compare(current(), asked["name"], raw, wanted, _tell)
    except EkycError as error:
        _tell({"failed": str(error).splitlines()[0]})
    except MemoryError:
        _tell({"failed": "the comparison needs more memory than it may have: compare a shorter time"})
    except Exception as error:  # noqa: BLE001 - its message may quote the table
        _tell(
            {
                "failed": "the comparison ended with a bug",
                "bug": f"{type(error).__name__} at {place_of(error)}",
            }
        )


def _tell(known: Mapping[str, Any]) -> None:
    line = json.dumps(known, separators=(",", ":")) + "\n"
    with _OUTPUT:
        sys.stdout.write(line)
        sys.stdout.flush()


def _end_with_parent() -> None:
    """End with the process of `web`, whose end closes the pipe."""
    # Not by `sys.stdin`: at its own end Python would wait for the thread that reads it.
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
