"""Engines that drive libcurl: on gevent's loop for greenlets, and by the calling thread outside of a greenlet.

Both track the sockets of idle connections: by tag, which one verification, or one generation of connections to the
vendor, has in common, and by the idle time before reuse.
"""

from __future__ import annotations

import atexit
import os
import select
import socket
import sys
from contextlib import suppress
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from gevent import get_hub
from gevent.hub import Waiter

from worker.http_client.curl import pycurl

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.http_client.adapter import Handle
    from worker.http_client.transfer import Transfer

#: The most idle connections: as many as a process has calls in flight.
MAX_CONNECTIONS: Final = 512

#: The kernel ends a connection when sent data stays unacknowledged for so long: a NAT that dropped it does not answer.
#: The keep-alive probes detect the same on a connection that waits for an answer.
UNACKNOWLEDGED_MS: Final = 5000
PROBE_AFTER_S: Final = 10
PROBE_EVERY_S: Final = 5
PROBES: Final = 3

#: How long libcurl may deliver data before other greenlets run. Otherwise it would continue while data arrives.
TURN_S: Final = 0.002

#: How often a loop looks for waits that are over. libcurl ends most transfers itself before that.
LOOK_EVERY_S: Final = 0.1

_TIMED_OUT: Final = 28  # CURLE_OPERATION_TIMEDOUT

#: libcurl, libev and `select` use the same numbers for these.
_READ, _WRITE = pycurl.CSELECT_IN, pycurl.CSELECT_OUT
_NOTHING: Final = (pycurl.POLL_REMOVE, pycurl.POLL_NONE)
_NEWS: Final = select.EPOLLIN | select.EPOLLET


class Engine:
    """A multi handle of libcurl, its transfers and its sockets. Used by one thread only, except `close_idle`."""

    def __init__(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._multi.setopt(pycurl.M_NOTIFYFUNCTION, self._on_notify)
        self._multi.notify_enable(pycurl.M_NOTIFY_INFO_READ)
        self._multi.setopt(pycurl.M_MAXCONNECTS, MAX_CONNECTIONS)
        self._transfers: dict[Any, Transfer] = {}
        self._ended = False
        #: Easy handles that no transfer uses.
        self.handles: list[Handle] = []
        #: Transfers whose waiters are to be woken: their head has arrived, or they have ended.
        self.noted: list[Transfer] = []
        # Transfers that have used up their turn, and continue in the next turn.
        self._resting: list[Transfer] = []
        self._turn_ends_at = 0.0
        #: Transfers that have paused since libcurl was last called.
        self.paused: list[Transfer] = []
        # The tag of each socket of libcurl, and the inode of each that has been idle: file descriptors are reused.
        self._sockets: dict[int, int] = {}
        self._inodes: dict[int, int] = {}
        self._idle_since: dict[int, float] = {}
        self._idled_s: dict[int, float] = {}
        self._by_tag: dict[int, set[int]] = {}
        # The events that libcurl waits for on each socket.
        self._wanted: dict[int, int] = {}
        # Idle connections of HTTP/1.1, on which no data may arrive.
        self._silent: set[int] = set()
        # The sockets that have been idle, edge-triggered: arming one takes one system call, reusing it none.
        self._spoken = select.epoll()
        self._has_new = False
        #: A DNS lookup may hang in a thread of libcurl, and closing libcurl waits for its threads.
        self._lookup_may_hang = False
        _engines.add(self)

    def start(self, transfer: Transfer) -> None:
        self._has_new = True
        self._transfers[transfer.curl] = transfer
        self._multi.add_handle(transfer.curl)

    def stop(self, transfer: Transfer) -> None:
        """Abandon a transfer that has not ended. Closes its connection, or resets its stream."""
        if self._transfers.pop(transfer.curl, None):
            if not transfer.connected:
                self._lookup_may_hang = True
            self._multi.remove_handle(transfer.curl)

    def fail(self, transfer: Transfer, code: int) -> None:
        """End a transfer that libcurl did not end itself."""
        self.stop(transfer)
        transfer.end(code)
        self.noted.append(transfer)

    def wait(self, transfer: Transfer, seconds: float) -> bool:
        """Wait until the transfer has its head or has ended. False after `seconds`."""
        raise NotImplementedError

    def close(self) -> None:
        """Close every connection."""
        for transfer in list(self._transfers.values()):
            self.stop(transfer)
        if self._lookup_may_hang:
            Thread(target=self._multi.close, name="curl-close", daemon=True).start()
        else:
            self._multi.close()
        self._spoken.close()

    def open_socket(self, tag: int, family: int, kind: int, protocol: int) -> int:
        """Return the descriptor of a new socket, not connected yet. Raises ``OSError``."""
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _TCP_OPTIONS:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        number = sock.detach()
        self._forget(number)
        self._sockets[number] = tag
        self._by_tag.setdefault(tag, set()).add(number)
        return number

    def close_idle(self, tag: int) -> None:
        """Shut down the idle connections of this tag; libcurl removes them at its next check."""
        for number in tuple(self._by_tag.get(tag, ())):
            if number in self._idle_since:
                inode = self._inodes[number]
                self._forget(number)
                _shut_down(number, inode)

    def _forget(self, number: int) -> None:
        """Forget a socket that libcurl has closed, or that was shut down."""
        self._idled_s.pop(number, None)
        self._idle_since.pop(number, None)
        self._silent.discard(number)
        self._inodes.pop(number, None)
        tag = self._sockets.pop(number, 0)
        of_tag = self._by_tag.get(tag)
        if of_tag is not None:
            of_tag.discard(number)
            if not of_tag:
                self._by_tag.pop(tag, None)

    def _shut_down_unsolicited(self) -> None:
        """Shut down idle connections that received data: it would be read as the answer to the next request."""
        for number, _ in self._spoken.poll(0):
            if number in self._silent:
                self._silent.discard(number)
                _shut_down(number, self._inodes[number])

    def idled_s(self, number: int) -> float:
        """Return how long the connection of this socket was idle before its current use, in seconds."""
        return self._idled_s.get(number, 0.0)

    @property
    def turn_is_over(self) -> bool:
        return monotonic() > self._turn_ends_at

    def rest(self, transfer: Transfer) -> None:
        """Resume a paused transfer in the next turn."""
        self._resting.append(transfer)
        self._resume_later()

    def _resume(self) -> None:
        """Resume the transfers that have used up their turn."""
        resting, self._resting = self._resting, []
        self._turn_ends_at = monotonic() + TURN_S
        for transfer in resting:
            if transfer.curl in self._transfers:
                transfer.resume()
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, number: int, events: int) -> None:
        if self._has_new:
            # Before libcurl chooses connections for the new transfers.
            self._has_new = False
            self._shut_down_unsolicited()
        self._turn_ends_at = monotonic() + TURN_S
        self._multi.socket_action(number, events)
        if self.paused:
            # If an answer is there at once, libcurl does not watch the socket between the request and the pause.
            paused, self.paused = self.paused, []
            for transfer in paused:
                if transfer.curl in self._transfers:
                    self._is_in_use(transfer.curl.getinfo(pycurl.ACTIVESOCKET))
        if self._ended:
            self._ended = False
            _, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                self._end(curl, 0)
            for curl, code, _ in failed:
                self._end(curl, code)
        if self.noted:
            noted, self.noted = self.noted, []
            for transfer in noted:
                self._wake(transfer)

    def _end(self, curl: Any, code: int) -> None:
        transfer = self._transfers.pop(curl, None)
        if transfer is None:
            return
        transfer.end(code)
        if code == _TIMED_OUT and not transfer.connected:
            self._lookup_may_hang = True
        self._is_idle_now(transfer)
        self._multi.remove_handle(curl)
        self.noted.append(transfer)

    def leak_if_a_lookup_may_hang(self) -> None:
        """Leak the multi handle if closing it may hang, so that the process exits without waiting for DNS."""
        if self._lookup_may_hang or any(not transfer.connected for transfer in self._transfers.values()):
            _leak(self._multi)

    def _on_notify(self, *_: Any) -> None:
        self._ended = True

    def _on_socket(self, what: int, number: int, *_: Any) -> None:
        if what in _NOTHING:
            if self._wanted.pop(number, None) is not None:
                self._unwatch(number)
            return
        self._is_in_use(number)
        self._wanted[number] = what
        self._watch(number, what)

    def _is_in_use(self, number: int) -> None:
        since = self._idle_since.pop(number, None)
        if since is not None:
            self._idled_s[number] = monotonic() - since
            self._silent.discard(number)

    def _is_idle_now(self, transfer: Transfer) -> None:
        """Record the connection of an ended transfer as idle, if it is kept and has no paused transfer."""
        number = transfer.curl.getinfo(pycurl.ACTIVESOCKET)
        if number not in self._sockets or number in self._wanted:
            return
        was_idle = number in self._inodes
        if not was_idle:
            self._inodes[number] = os.fstat(number).st_ino
        self._idle_since[number] = monotonic()
        if not transfer.multiplexed:
            self._silent.add(number)
            arm = self._spoken.modify if was_idle else self._spoken.register
            try:
                arm(number, _NEWS)  # reports unread data again
            except OSError:
                _shut_down(number, self._inodes[number])

    def _resume_later(self) -> None:
        raise NotImplementedError

    def _watch(self, number: int, events: int) -> None:
        raise NotImplementedError

    def _unwatch(self, number: int) -> None:
        raise NotImplementedError

    def _on_timer(self, milliseconds: int) -> None:
        raise NotImplementedError

    def _wake(self, transfer: Transfer) -> None:
        raise NotImplementedError


class LoopEngine(Engine):
    """Drives libcurl on gevent's loop: a greenlet waits for its transfer while the others keep running."""

    def __init__(self) -> None:
        self._loop = get_hub().loop
        self._timer: Any = None
        self._next_turn: Any = None
        self._due = 0.0
        self._at_once = False
        # By socket: restarting a watcher costs less than creating a new one.
        self._watchers: dict[int, Any] = {}
        # The end of the wait for each transfer. One timer for all costs less than one for each.
        self._waited_for: dict[Transfer, float] = {}
        self._look: Any = self._loop.timer(LOOK_EVERY_S, LOOK_EVERY_S)
        super().__init__()

    def wait(self, transfer: Transfer, seconds: float) -> bool:
        waiter: Any = Waiter()
        transfer.waiter = waiter
        self._waited_for[transfer] = monotonic() + seconds
        if not self._look.active:
            self._look.start(self._end_long_waits)
        try:
            return bool(waiter.get())
        finally:
            transfer.waiter = None
            self._waited_for.pop(transfer, None)

    def _end_long_waits(self) -> None:
        if not self._waited_for:
            self._look.stop()
            return
        now = monotonic()
        for transfer in [each for each, until in self._waited_for.items() if until <= now]:
            self._switch_to_waiter(transfer, in_time=False)

    def close(self) -> None:
        super().close()
        if self._timer is not None:
            self._timer.stop()
        for watcher in self._watchers.values():
            watcher.stop()
            watcher.close()
        self._watchers.clear()
        self._wanted.clear()

    def _resume_later(self) -> None:
        if self._next_turn is None:
            # A timer runs after all other ready events; a callback of the loop would run before them.
            self._next_turn = self._loop.timer(0.0001)
            self._next_turn.start(self._take_turn)

    def _take_turn(self) -> None:
        self._next_turn.close()
        self._next_turn = None
        self._resume()

    def close_from_anywhere(self) -> None:
        self._loop.run_callback_threadsafe(self.close)

    def _wake(self, transfer: Transfer) -> None:
        self._switch_to_waiter(transfer, in_time=True)

    def _switch_to_waiter(self, transfer: Transfer, *, in_time: bool) -> None:
        # Only the hub runs this, so it may switch to the greenlet at once.
        if transfer.waiter is not None:
            waiter, transfer.waiter = transfer.waiter, None
            waiter.switch(in_time)

    def _watch(self, number: int, events: int) -> None:
        watcher = self._watchers.get(number)
        if watcher is None:
            watcher = self._watchers[number] = self._loop.io(number, events)
        elif watcher.active and watcher.events == events:
            return
        else:
            # Setting the events, even the same ones, makes libev check whether the descriptor is another file now.
            watcher.stop()
            watcher.events = events
        watcher.start(self._ready, number, pass_events=True)

    def _unwatch(self, number: int) -> None:
        # libcurl may close the socket now, and libev aborts on a closed socket.
        self._watchers[number].stop()

    def _ready(self, events: int, number: int) -> None:
        if number in self._wanted:
            self._act(number, events & (_READ | _WRITE))

    def _on_timer(self, milliseconds: int) -> None:
        if milliseconds < 0:
            return  # a spurious timeout costs less than stopping and recreating the timer
        if milliseconds == 0:
            if not self._at_once:
                self._at_once = True
                self._loop.run_callback(self._now)
            return
        due = monotonic() + milliseconds / 1000
        if self._timer is not None:
            if self._timer.active and self._due <= due:
                self._later = due
                return
            self._timer.stop()
            self._timer.close()
        self._due = self._later = due
        self._timer = self._loop.timer(milliseconds / 1000)
        self._timer.start(self._in_time)

    def _now(self) -> None:
        self._at_once = False
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _in_time(self) -> None:
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        left_s = self._later - monotonic()
        if not self._timer.active and left_s > 0:
            self._on_timer(int(left_s * 1000) + 1)


class ThreadEngine(Engine):
    """Drives libcurl in the waiting thread: for commands, and for functions in a blocking pool."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._due: float | None = None
        self._woken: set[Transfer] = set()
        super().__init__()

    def wait(self, transfer: Transfer, seconds: float) -> bool:
        give_up_at = monotonic() + seconds
        self._woken.clear()
        while transfer not in self._woken:
            now = monotonic()
            if now >= give_up_at:
                return False
            due = give_up_at if self._due is None else min(self._due, give_up_at)
            if self._resting:
                due = now
            ready = self._poll.poll(max(due - now, 0.0) * 1000)
            for number, events in ready:
                mask = _READ if events & ~select.POLLOUT else 0
                mask |= _WRITE if events & ~select.POLLIN else 0
                if number in self._wanted:
                    self._act(number, mask)
            if self._due is not None and monotonic() >= self._due:
                self._due = None
                self._act(pycurl.SOCKET_TIMEOUT, 0)
            if self._resting:
                self._resume()
        return True

    def _resume_later(self) -> None:
        """Do nothing: this thread drives one transfer, and `wait` checks whether it is paused."""

    def _wake(self, transfer: Transfer) -> None:
        self._woken.add(transfer)

    def _watch(self, number: int, events: int) -> None:
        mask = select.POLLIN if events & pycurl.POLL_IN else 0
        self._poll.register(number, mask | (select.POLLOUT if events & pycurl.POLL_OUT else 0))

    def _unwatch(self, number: int) -> None:
        with suppress(KeyError, OSError):
            self._poll.unregister(number)

    def _on_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else monotonic() + milliseconds / 1000


_TCP_OPTIONS: Final = tuple(
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_NODELAY", 1),
        ("TCP_KEEPIDLE", PROBE_AFTER_S),
        ("TCP_KEEPINTVL", PROBE_EVERY_S),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
    )
    if hasattr(socket, name)
)

_engines: Final[WeakSet[Engine]] = WeakSet()


def _shut_down(number: int, inode: int) -> None:
    # A duplicate, so that the descriptor cannot become another file between the check and the shutdown.
    with suppress(OSError), socket.socket(fileno=os.dup(number)) as ours:
        if os.fstat(ours.fileno()).st_ino != inode:
            return
        ours.shutdown(socket.SHUT_RDWR)
        while ours.recv(65_536):  # so that libcurl cannot read it
            pass


def _leak(thing: object) -> None:
    import ctypes  # noqa: PLC0415 - only at the exit of a process with a hanging lookup

    if sys.implementation.name == "cpython":
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


@atexit.register
def _at_exit() -> None:
    leak: Callable[[Engine], None] = Engine.leak_if_a_lookup_may_hang
    for engine in list(_engines):
        leak(engine)
