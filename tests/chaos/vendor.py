"""The stand-in for the vendor with the faults of a run: random faults all the time, outages on demand."""

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

#: The random faults of images: all are transient. A page or an empty body with HTTP 200 instead of an image is refused
#: for good, so the evidence could not become complete.
_IMAGE_FAULTS: Final = (
    Fault(Kind.HTTP, status=500),
    Fault(Kind.HTTP, status=503),
    Fault(Kind.TRUNCATED),
    Fault(Kind.RESET),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer about one verification, and the time of its request."""

    at_ms: int
    #: `result` or `image`.
    call: str
    signature_id: str
    answer: str


@dataclass(slots=True)
class Tally:
    """Counts answers, and how many of them were faults. Thread-safe."""

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
    """Faults of the sandbox, with a count."""

    tally: Tally = field(default_factory=Tally)

    def strike(self, draw: bytes, *, token_call: bool = False) -> Fault | None:
        # Not by `super()`: with slots the class is created twice, and `super()` refers to the first one.
        fault = Faults.strike(self, draw, token_call=token_call)
        self.tally.count(fault=fault is not None)
        return fault


class Vendor:
    """A sandbox on a port of its own.

    Parameters:
      port: where it listens, also again after it refused connections.
      seed: the seed of ids and of random faults.
      fault_rate: the share of all answers (tokens, results, images) that are random faults.
    """

    def __init__(self, port: int, *, seed: int, fault_rate: float) -> None:
        self._port = port
        self._seed = seed
        #: Answers outside of outages, and in outages.
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
        """End all faults except those that ids ask for."""
        self._usual = _Counted()
        self._sandbox.set_faults(self._usual)

    @contextmanager
    def broken(self, faults: Faults) -> Iterator[None]:
        """Make every answer of the vendor that fault."""
        self._sandbox.set_faults(
            _Counted(faults.mode, faults.share, faults.retry_after_s, tally=self.outages)
        )
        try:
            yield
        finally:
            self._sandbox.set_faults(self._usual)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Close the port: open connections end, and the kernel refuses new ones."""
        self._sandbox.stop()
        try:
            yield
        finally:
            # A listener cannot be reopened: a new sandbox takes over the state.
            fresh, app = self._made(), self._sandbox._app
            fresh._app = fresh._listener.app = app
            fresh.state = self._sandbox.state
            app.vendor._pause = fresh._stopping.wait
            self._sandbox = fresh
            self._sandbox.start()

    @contextmanager
    def images_failing(self) -> Iterator[None]:
        """Make the image host answer HTTP 503 to everything; the vendor itself works."""
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
            # `list.append` is atomic: the handlers run in many threads.
            self.asked.append(Asked(at_ms, exchange.call, exchange.signature_id, exchange.reply.name))
