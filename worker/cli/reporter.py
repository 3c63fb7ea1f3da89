"""The progress of a long command on stderr: lines, and on a terminal a progress bar."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, BinaryIO, Final

import click

from worker.cli.source import size_bytes

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: The number of rows from which a bar is shown: fewer are done before it can be seen.
MANY: Final = 1000


class Reporter:
    """Prints lines on stderr and, for many rows on a terminal, a progress bar below them.

    Parameters:
        doing: the label of the bar.
        stream: the input; its size and position move the bar. None if the progress is not known.
        total: the number of rows, if it is known: the bar is shown from the first one.
        noun: what is counted.
    """

    def __init__(
        self, doing: str, stream: BinaryIO | None = None, *, total: int | None = None, noun: str = "rows"
    ) -> None:
        self._doing = doing
        self._stream = stream
        self._total = total
        self._noun = noun
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def close(self) -> None:
        """Remove the bar. The lines stay."""
        if self._progress is not None:
            self._progress.stop()

    def say(self, line: str) -> None:
        if self._progress is None:
            click.echo(f"ekyc: {line}", err=True)
        else:
            self._progress.console.print(f"ekyc: {line}", markup=False, highlight=False, soft_wrap=True)

    def advance(self, rows: int) -> None:
        """Show the number of rows so far."""
        if self._progress is None or self._task is None:
            if (rows < MANY and self._total is None) or not sys.stderr.isatty():
                return
            self._progress = _progress(self._noun)
            total = size_bytes(self._stream) if self._stream else self._total
            self._task = self._progress.add_task(self._doing, total=total, rows=rows)
            self._progress.start()
        position = self._stream.tell() if self._stream and self._stream.seekable() else None
        if self._total is not None:
            position = rows
        self._progress.update(self._task, completed=position, rows=rows)


def _progress(noun: str) -> Progress:
    # Most inputs are too short for a bar, and rich takes as long to import as they take to enqueue.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.fields[rows]:,}} {noun}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
