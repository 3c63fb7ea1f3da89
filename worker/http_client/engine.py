"""Driving libcurl: on gevent's loop for greenlets, and by the thread itself outside of one.

Both keep the sockets of idle connections in sight: by their tag, which is what one verification or one generation of
connections to the vendor has in common, and by how long they were idle before they were used again.
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

#: Idle connections that are kept: as many as a process has calls in flight.
MAX_CONNECTIONS: Final = 512

#: After so long without an acknowledgement of what was sent, the kernel ends a connection: a NAT that forgot it
#: answers nothing. The probes find out the same about a connection that waits for an answer.
UNACKNOWLEDGED_MS: Final = 5000
PROBE_AFTER_S: Final = 10
PROBE_EVERY_S: Final = 5
PROBES: Final = 3

#: How long libcurl may pass on what has come before others have their turn. It would go on for as long as more comes.
TURN_S: Final = 0.002

#: How often a loop looks for transfers that were waited for too long. libcurl ends most of them itself, before that.
LOOK_EVERY_S: Final = 0.1

_TIMED_OUT: Final = 28  # CURLE_OPERATION_TIMEDOUT

#: libcurl, libev and `select` number these alike.
_READ, _WRITE = pycurl.CSELECT_IN, pycurl.CSELECT_OUT
_NOTHING: Final = (pycurl.POLL_REMOVE, pycurl.POLL_NONE)
_NEWS: Final = select.EPOLLIN | select.EPOLLET


class Engine:
    """A multi handle of libcurl, its transfers and its sockets. Belongs to one thread, but for `close_idle`."""

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
        #: Transfers whose head has come while somebody waits for it.
        self.noted: list[Transfer] = []
        # Transfers that have had their turn, and go on in the next one.
        self._resting: list[Transfer] = []
        self._turn_ends_at = 0.0
        #: Transfers of which libcurl may not pass on more for now, since it was last called.
        self.paused: list[Transfer] = []
        # The tag of each socket that libcurl was given, and the inode of those that have been idle: numbers of files
        # are used again.
        self._sockets: dict[int, int] = {}
        self._inodes: dict[int, int] = {}
        self._idle_since: dict[int, float] = {}
        self._idled_s: dict[int, float] = {}
        self._by_tag: dict[int, set[int]] = {}
        # What libcurl waits for on each socket.
        self._wanted: dict[int, int] = {}
        # Idle connections of HTTP/1.1, on which nothing may come.
        self._silent: set[int] = set()
        # The sockets that have been idle, told by edges: to arm one takes one system call, and to use it again none.
        self._spoken = select.epoll()
        self._has_new = False
        #: A lookup may hang in a thread of libcurl, which waits for its threads where it is closed.
        self._lookup_may_hang = False
        _engines.add(self)

    def start(self, transfer: Transfer) -> None:
        self._has_new = True
        self._transfers[transfer.curl] = transfer
        self._multi.add_handle(transfer.curl)

    def stop(self, transfer: Transfer) -> None:
        """Abandon a transfer that has not ended; its connection is closed, or its stream is reset."""
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
        """Wait until something has become of the transfer. False after `seconds`."""
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
        """The number of a new socket, ready to be connected. Raises ``OSError``."""
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
        """Shut down the connections of this tag that no transfer uses; libcurl forgets them when it next looks."""
        for number in tuple(self._by_tag.get(tag, ())):
            if number in self._idle_since:
                inode = self._inodes[number]
                self._forget(number)
                _shut_down(number, inode)

    def _forget(self, number: int) -> None:
        """A socket of this number is no longer ours: libcurl closed it, or it was shut down."""
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

    def _shut_what_speaks_unasked(self) -> None:
        """What came on an idle connection would be read as the answer to the next request."""
        for number, _ in self._spoken.poll(0):
            if number in self._silent:
                self._silent.discard(number)
                _shut_down(number, self._inodes[number])

    def idled_s(self, number: int) -> float:
        """How long the connection on this socket was idle before its present use."""
        return self._idled_s.get(number, 0.0)

    @property
    def turn_is_over(self) -> bool:
        return monotonic() > self._turn_ends_at

    def rest(self, transfer: Transfer) -> None:
        """Let a transfer that is paused go on in the next turn."""
        self._resting.append(transfer)
        self._resume_later()

    def _resume(self) -> None:
        """Let the transfers go on that have had their turn."""
        resting, self._resting = self._resting, []
        self._turn_ends_at = monotonic() + TURN_S
        for transfer in resting:
            if transfer.curl in self._transfers:
                transfer.resume()
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, number: int, events: int) -> None:
        if self._has_new:
            # Here libcurl chooses the connections of transfers that have been started.
            self._has_new = False
            self._shut_what_speaks_unasked()
        self._turn_ends_at = monotonic() + TURN_S
        self._multi.socket_action(number, events)
        if self.paused:
            # Where an answer is there at once, libcurl waits for nothing between the request and the pause.
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
        """At the end of the process nobody waits for a name server."""
        if self._lookup_may_hang or any(not transfer.connected for transfer in self._transfers.values()):
            _immortal(self._multi)

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
        """Note the connection of a transfer that has ended, where it is kept. One that is paused is not idle."""
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
                arm(number, _NEWS)  # it tells again what has come and was not read
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
    """On gevent's loop: a greenlet waits for its transfer, and the others go on."""

    def __init__(self) -> None:
        self._loop = get_hub().loop
        self._timer: Any = None
        self._next_turn: Any = None
        self._due = 0.0
        self._at_once = False
        # By socket: a watcher is stopped and started again, which costs less than a new one.
        self._watchers: dict[int, Any] = {}
        # Until when each transfer is waited for. One timer for all of them is cheaper than one for each.
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
            self._tell(transfer, in_time=False)

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
            # A timer comes after whatever else is ready; a callback of the loop would come before it.
            self._next_turn = self._loop.timer(0.0001)
            self._next_turn.start(self._take_turn)

    def _take_turn(self) -> None:
        self._next_turn.close()
        self._next_turn = None
        self._resume()

    def close_from_anywhere(self) -> None:
        self._loop.run_callback_threadsafe(self.close)

    def _wake(self, transfer: Transfer) -> None:
        self._tell(transfer, in_time=True)

    def _tell(self, transfer: Transfer, *, in_time: bool) -> None:
        # Only the hub runs this, so the greenlet may go on at once.
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
            # To set them, also where they are the same, has libev look whether the number means another file by now.
            watcher.stop()
            watcher.events = events
        watcher.start(self._ready, number, pass_events=True)

    def _unwatch(self, number: int) -> None:
        # libcurl may close the socket now, and libev aborts where it finds that out.
        self._watchers[number].stop()

    def _ready(self, events: int, number: int) -> None:
        if number in self._wanted:
            self._act(number, events & (_READ | _WRITE))

    def _on_timer(self, milliseconds: int) -> None:
        if milliseconds < 0:
            return  # a timer that comes for nothing costs less than one that is stopped and made again
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
    """Driven by the thread that waits: for commands, and for what runs on a thread aside."""

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
        """This thread drives one transfer: `wait` sees at once whether it is paused."""

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
    # A copy, so that the number cannot come to mean another file between the check and the end.
    with suppress(OSError), socket.socket(fileno=os.dup(number)) as ours:
        if os.fstat(ours.fileno()).st_ino != inode:
            return
        ours.shutdown(socket.SHUT_RDWR)
        while ours.recv(65_536):  # what has come is not to be read by libcurl
            pass


def _immortal(thing: object) -> None:
    import ctypes  # noqa: PLC0415 - at the end of a process, and only of one whose lookup hangs

    if sys.implementation.name == "cpython":
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


@atexit.register
def _at_exit() -> None:
    leak: Callable[[Engine], None] = Engine.leak_if_a_lookup_may_hang
    for engine in list(_engines):
        leak(engine)
