"""Fails a test in which a call blocks the event loop, by gevent's monitor of blocked hubs.

A pytest plugin (`-p tests.hub_monitor`). A call that blocks holds up every other call of its process. The monitor finds
an event loop that did not switch greenlets for `BOUND_S`. On a busy machine that alone proves nothing: the thread may
have got no CPU. So what the monitor finds is looked at again, and looks are counted, not time: a look counts only where
the thread waits in a system call or has used CPU since the look before. A wait for the local disk does not count: files
on a disk of the machine are written in the event loop on purpose (docs/adr/0007-durable-files.md).

A test that blocks the event loop on purpose is marked `blocks_event_loop`.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gevent
import pytest
from gevent import events

from worker.concurrency.executor import EventLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How long an event loop may go without a switch before it is looked at.
BOUND_S: Final = 0.1

#: Looks that count before the event loop is blocked, and the time between two.
LOOKS: Final = 10
LOOK_S: Final = 0.01

MARKER: Final = "blocks_event_loop"

#: Where event loops were blocked since the test began.
blocked: Final[list[str]] = []

#: The event loops that the test uses, and their hubs.
_monitored: Final[dict[EventLoop, Any]] = {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARKER}: a call of this test blocks the event loop on purpose")
    gevent.config.max_blocking_time = BOUND_S
    gevent.config.print_blocking_reports = False
    events.subscribers.append(_on_event)
    EventLoop.begin = _begin  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _event_loop_is_not_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    blocked.clear()
    yield
    while _monitored:
        event_loop, hub = _monitored.popitem()
        event_loop.soon(partial(_stop_monitor, hub))
    if blocked and not request.node.get_closest_marker(MARKER):
        pytest.fail(f"a call blocked the event loop for more than {BOUND_S} s: {blocked[0]}")


_begin_unmonitored: Final = EventLoop.begin


def _begin(self: EventLoop) -> None:
    _begin_unmonitored(self)
    if self not in _monitored:
        self.soon(partial(_start_monitor, self))


def _start_monitor(event_loop: EventLoop) -> None:
    """In the event loop."""
    hub = gevent.get_hub()
    # For this hub alone: a test's own thread has a hub, too, and may block.
    gevent.config.monitor_thread = True
    try:
        hub.start_periodic_monitoring_thread()
    finally:
        gevent.config.monitor_thread = False
    _monitored[event_loop] = hub


def _stop_monitor(hub: Any) -> None:
    """In the event loop, once it is no longer blocked."""
    hub.periodic_monitoring_thread.kill()
    hub.periodic_monitoring_thread = None


def _on_event(event: object) -> None:
    """In the monitor's thread. An event loop that an earlier test left blocked is no concern of this test."""
    if (
        isinstance(event, events.EventLoopBlocked)
        and event.hub in _monitored.values()
        and _stays_blocked(event.hub)
        and event.hub in _monitored.values()
    ):
        frame = sys._current_frames().get(event.hub.thread_ident)
        stack = traceback.extract_stack(frame)[-4:]
        blocked.append(" > ".join(f"{Path(line.filename).name}:{line.lineno} {line.name}" for line in stack))


def _stays_blocked(hub: Any) -> bool:
    """Whether the event loop does not switch for so many looks that count."""
    did_block = hub.periodic_monitoring_thread._greenlet_tracer.did_block_hub
    task = Path(f"/proc/self/task/{_native_id(hub.thread_ident)}/stat")
    counted, before = 0, _task(task)
    while counted < LOOKS:
        time.sleep(LOOK_S)
        if not did_block(hub):
            return False
        now = _task(task)
        state, used = now
        counted += state == "S" or (state == "R" and used > before[1])
        before = now
    return True


def _native_id(ident: int) -> int | None:
    return next((thread.native_id for thread in threading.enumerate() if thread.ident == ident), None)


def _task(stat: Path) -> tuple[str, int]:
    """The state of a thread, and the CPU time it has used, in clock ticks. See proc(5)."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return "S", 0
    return fields[0], int(fields[11]) + int(fields[12])
