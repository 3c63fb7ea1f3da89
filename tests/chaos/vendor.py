"""The vendor's stand-in with what is broken in this run: faults at random all the time, outages on demand."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Final

from sandbox import answers, images
from sandbox.faults import Faults, Mode, draw
from sandbox.scenario import Fault, Kind
from sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.app import Exchange
    from sandbox.reply import Reply
    from sandbox.request import Request

#: What strikes images at random: faults that pass. A page or nothing instead of an image, with HTTP 200, is
#: refused for good, and then the evidence could not be complete.
_IMAGE_FAULTS: Final = (
    Fault(Kind.HTTP, status=500),
    Fault(Kind.HTTP, status=503),
    Fault(Kind.TRUNCATED),
    Fault(Kind.RESET),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer about one verification: when the request came, and what was answered."""

    at_ms: int
    #: `result` or `image`.
    call: str
    signature_id: str
    answer: str


@dataclass(slots=True)
class Tally:
    """How many answers were given, and how many of them were faults. Safe to use from many threads."""

    answers: int = 0
    faults: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def count(self, *, fault: bool) -> None:
        with self._lock:
            self.answers += 1
            self.faults += fault

    @property
    def share(self) -> float:
        return self.faults / max(1, self.answers)


@dataclass(frozen=True, slots=True)
class _Counted(Faults):
    """Faults of the sandbox that are counted."""

    tally: Tally = field(default_factory=Tally)

    def strike(self, draw: bytes, *, token_call: bool = False) -> Fault | None:
        # Not by `super`: slots make the class again, and it would look for the old one.
        fault = Faults.strike(self, draw, token_call=token_call)
        self.tally.count(fault=fault is not None)
        return fault


class Vendor:
    """A sandbox on a port of its own.

    Parameters:
      port: where it listens, also after it refused connections.
      seed: of ids and of random faults.
      fault_rate: the share of all answers, of tokens, results and images, that are faults at random.
    """

    def __init__(self, port: int, *, seed: int, fault_rate: float) -> None:
        self._port = port
        self._seed = seed
        #: Answers outside of outages, and those within.
        self.usual, self.outages = Tally(), Tally()
        self._usual = _Counted(Mode.MIXED, fault_rate, tally=self.usual)
        self._images_fail = False
        self._image_calls = count()
        self.asked: list[Asked] = []
        self._sandbox = self._made()
        self._answer_image = self._sandbox._app.vendor.image
        self._sandbox._app.vendor.image = self._image  # type: ignore[method-assign]
        self._sandbox.set_faults(self._usual)

    def start(self) -> None:
        self._sandbox.start()

    def stop(self) -> None:
        self._sandbox.stop()

    def environment(self) -> dict[str, str]:
        return self._sandbox.environment()

    def calm(self) -> None:
        """No more faults but those that ids ask for."""
        self._usual = _Counted()
        self._sandbox.set_faults(self._usual)

    @contextmanager
    def broken(self, faults: Faults) -> Iterator[None]:
        """Every answer of the vendor's is that fault."""
        self._sandbox.set_faults(
            _Counted(faults.mode, faults.share, faults.retry_after_s, tally=self.outages)
        )
        try:
            yield
        finally:
            self._sandbox.set_faults(self._usual)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens on its port: connections that are open end, new ones are refused by the kernel."""
        self._sandbox.stop()
        try:
            yield
        finally:
            # A listener cannot be opened again: another takes over what the vendor knows.
            fresh, app = self._made(), self._sandbox._app
            fresh._app = fresh._listener.app = app
            fresh.state = self._sandbox.state
            app.vendor._pause = fresh._stopping.wait
            self._sandbox = fresh
            self._sandbox.start()

    @contextmanager
    def images_failing(self) -> Iterator[None]:
        """The image host answers HTTP 503 to everything; the vendor itself does not."""
        self._images_fail = True
        try:
            yield
        finally:
            self._images_fail = False

    def _made(self) -> Sandbox:
        return Sandbox(port=self._port, seed=self._seed, log=self._note)

    def _image(self, request: Request, signature_id: str, side: str) -> Reply:
        if self._images_fail:
            self.outages.count(fault=True)
            return answers.page(503, "Service Unavailable", name="images_fail")
        chance = draw(self._seed, "image", next(self._image_calls))
        if self._usual.strike(chance):
            fault = _IMAGE_FAULTS[chance[7] % len(_IMAGE_FAULTS)]
            return images.reply(signature_id, side, fault, location="")
        return self._answer_image(request, signature_id, side)

    def _note(self, exchange: Exchange, took_s: float) -> None:
        if exchange.signature_id:
            at_ms = round((time.time() - took_s) * 1000)
            # A list's append is atomic: handlers are many threads.
            self.asked.append(Asked(at_ms, exchange.call, exchange.signature_id, exchange.reply.name))
