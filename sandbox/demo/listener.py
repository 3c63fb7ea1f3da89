"""A port of this machine, bound before the process that serves it starts."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandbox.demo.processes import Processes


class Listener:
    """A listening socket on a free port, for one child. A context manager: its end closes the socket in this process.

    Other parts can be given the URL before the child starts, and no other process can take the port.

    Parameters:
      stays: the socket stays open in this process, too, for a second child once the first has ended.
    """

    def __init__(self, *, stays: bool = False) -> None:
        self._stays = stays
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url: Final = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def number(self) -> int:
        """The descriptor, the same in the child."""
        return self._socket.fileno()

    def hand_to(
        self, processes: Processes, name: str, arguments: Sequence[str | Path], **variables: str
    ) -> None:
        """Start a child that inherits the socket. Raises ``DemoFailed``."""
        processes.start(name, arguments, (self.number,), **variables)
        if not self._stays:
            # Only the child has it now: once the child has ended, connections are refused.
            self._socket.close()
