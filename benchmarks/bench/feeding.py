"""The pipeline's process, while it enqueues."""

from __future__ import annotations

import json
import sys
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.demo.processes import Processes


class Feeding:
    """A child that enqueues. It is waited for in a thread that holds up nobody's end.

    Parameters:
      arguments: what follows `python -m benchmarks.bench.feed`.
    """

    def __init__(
        self, processes: Processes, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._said: Future[bytes] = Future()
        Thread(target=self._run, args=(processes, arguments, environment), daemon=True).start()

    def failed(self) -> None:
        """Raises ``DemoFailed`` where the child has failed by now."""
        if self._said.done():
            self._said.result()

    def lines(self) -> list[dict[str, Any]]:
        """What it said, once it has ended; the last line is when it began and ended. Raises ``DemoFailed``."""
        return [json.loads(line) for line in self._said.result().splitlines()]

    def _run(self, processes: Processes, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "benchmarks.bench.feed", *arguments]
        try:
            self._said.set_result(processes.run("feed", command, b"", **environment))
        except Exception as error:  # noqa: BLE001 - raised where somebody asks for it
            self._said.set_exception(error)
