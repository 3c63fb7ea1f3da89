"""The vendor's stand-in with what is broken in this run: faults at random all the time, outages on demand."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox import answers
from sandbox.faults import Faults, Mode
from sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.app import Exchange
    from sandbox.reply import Reply
    from sandbox.request import Request


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer about one verification: when the request came, and what was answered."""

    at_ms: int
    #: `result` or `image`.
    call: str
    signature_id: str
    answer: str


class Vendor:
    """A sandbox on a port of its own.

    Parameters:
      port: where it listens, also after it refused connections.
      seed: of ids and of random faults.
      fault_rate: the share of all answers that are faults at random.
    """

    def __init__(self, port: int, *, seed: int, fault_rate: float) -> None:
        self._port = port
        self._seed = seed
        self._usual = Faults(Mode.MIXED, fault_rate)
        self._images_fail = False
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

    def answers(self) -> dict[str, dict[str, int]]:
        """How often each call was answered how."""
        stats: dict[str, Any] = self._sandbox.stats()
        return {
            "result": stats["answers"],
            "token": stats["token_answers"],
            "image": stats["image_answers"],
        }

    @contextmanager
    def broken(self, faults: Faults) -> Iterator[None]:
        """Every answer of the vendor's is that fault."""
        self._sandbox.set_faults(faults)
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
            return answers.page(503, "Service Unavailable", name="images_fail")
        return self._answer_image(request, signature_id, side)

    def _note(self, exchange: Exchange, took_s: float) -> None:
        if exchange.signature_id:
            at_ms = round((time.time() - took_s) * 1000)
            # A list's append is atomic: handlers are many threads.
            self.asked.append(Asked(at_ms, exchange.call, exchange.signature_id, exchange.reply.name))
