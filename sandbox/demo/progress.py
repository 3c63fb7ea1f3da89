"""The progress of a demo: tables that stay in place on a terminal, lines elsewhere."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sandbox.demo.bar import DONE, IN_FLIGHT, QUARANTINED, WAITING, Bar, Part
from worker.policy.time_format import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType

    from sandbox.demo.frame import Frame
    from sandbox.demo.journal import Line

#: Seconds between two lines without a terminal.
_EVERY_S: Final = 2.0

#: Lines of the journal that stay visible.
_LINES: Final = 6

#: The narrowest terminal, in characters, with tables side by side.
_TWO_COLUMNS: Final = 76


class Face(Protocol):
    """The display of a demo."""

    def tell(self, line: Line) -> None: ...

    def show(self, frame: Frame) -> None: ...

    def hint(self, text: str) -> None:
        """Keep a line at the bottom."""

    def leave(self) -> None:
        """Clear the display for the report."""


class Lines:
    """Prints a line every two seconds, and one for each event."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_at_s = 0.0

    def tell(self, line: Line) -> None:
        self._print(line.at_s, line.text)

    def show(self, frame: Frame) -> None:
        if frame.at_s < self._next_at_s:
            return
        self._next_at_s = frame.at_s + _EVERY_S
        names = ("waiting", "in_flight", "done", "quarantined", "polls")
        self._print(frame.at_s, ", ".join(f"{frame.total(name)} {name.replace('_', ' ')}" for name in names))

    def hint(self, text: str) -> None:
        """Do nothing: what it says is in a line, too."""

    def leave(self) -> None:
        """Do nothing: printed lines stay."""

    def _print(self, at_s: float, text: str) -> None:
        self._console.print(f"{at_s:5.1f} s  {text}", markup=False, highlight=False, soft_wrap=True)


class Screen:
    """Shows the newest frame, and the newest lines below it."""

    def __init__(self, live: Live, title: str, hint: str) -> None:
        self._live = live
        self._title = title
        self._hints = [hint]
        self._frame: Frame | None = None
        self._lines: deque[Line] = deque(maxlen=_LINES)

    def tell(self, line: Line) -> None:
        self._lines.append(line)
        self._refresh()

    def show(self, frame: Frame) -> None:
        self._frame = frame
        self._refresh()

    def hint(self, text: str) -> None:
        self._hints.append(text)
        self._refresh()

    def leave(self) -> None:
        self._live.transient = True

    def _refresh(self) -> None:
        parts: list[RenderableType] = [_row(Text(f" {self._title}\n", style="bold"))]
        if self._frame:
            parts.append(_picture(self._frame, self._live.console.width))
        parts += [_event(line) for line in self._lines]
        if self._frame:
            parts += [Text(), *(_row(Text(f" {hint}", style="dim")) for hint in self._hints)]
        self._live.update(Group(*parts), refresh=True)


@contextmanager
def face(console: Console, title: str, hint: str) -> Iterator[Face]:
    """Yield the display for `console`. `title` is the line at the top, `hint` the line at the bottom."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield Screen(live, title, hint)


def _picture(frame: Frame, width: int) -> RenderableType:
    tables = [_decisions(frame), _regions(frame)]
    if width >= _TWO_COLUMNS:
        side_by_side = Table.grid(padding=(0, 1), expand=True)
        side_by_side.add_column()
        side_by_side.add_column(ratio=1)
        side_by_side.add_row(*tables)
        tables = [side_by_side]
    return Group(_headline(frame), _bar(frame), *tables)


def _headline(frame: Frame) -> Text:
    parts = [
        ("done", "done", DONE),
        ("quarantined", "quarantined", QUARANTINED),
        ("in_flight", "in flight", IN_FLIGHT),
        ("waiting", "waiting", "default"),
    ]
    text = Text(" ")
    for name, title, style in parts:
        text.append(f"{frame.total(name):,}", style=f"bold {style}").append(f" {title}   ")
    text.append(f"{frame.total('polls'):,} polls   {frame.at_s:.1f} s", style="dim")
    return _row(text)


def _bar(frame: Frame) -> RenderableType:
    parts = (
        Part(frame.total("done"), DONE, "█", "#"),
        Part(frame.total("quarantined"), QUARANTINED, "▓", "!"),
        Part(frame.total("in_flight"), IN_FLIGHT, "▒", "+"),
        Part(frame.total("waiting"), WAITING, "░", "."),
    )
    return Padding(Bar(parts, whole=frame.planned), (0, 1))


def _decisions(frame: Frame) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("decided")
    table.add_column("", justify="right")
    table.add_column("", width=8)
    most = max(frame.decided.values(), default=0)
    for name, count in frame.decided.items():
        table.add_row(name, f"{count:,}", Bar((Part(count, DONE),), whole=most))
    return table


def _regions(frame: Frame) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True)
    table.add_column("region", no_wrap=True)
    table.add_column("open", justify="right", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("holds", style="yellow", no_wrap=True, overflow="ellipsis", ratio=1)
    for region, counts in frame.regions.items():
        holds = [f"{hold.reason} {span((hold.until_ms - frame.now_ms) / 1000)}" for hold in counts.holds]
        still_open = counts.waiting + counts.in_flight
        table.add_row(region, f"{still_open:,}", f"{counts.done:,}", Text(" ".join(holds)))
    return table


def _event(line: Line) -> Text:
    return _row(Text.assemble((f" {line.at_s:5.1f} s  ", "dim"), line.text))


def _row(text: Text) -> Text:
    """Return the text cut to one row, however narrow the terminal is."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
