"""An image is freed as soon as it is stored or refused: a worker collects garbage rarely."""

from __future__ import annotations

import gc
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import gevent
import pytest

from tests.support.image_host import JPEG
from worker.errors import EkycError
from worker.evidence.images import MAX_BYTES, Image, Images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.image_host import ImageHost

ANSWERS: dict[str, Callable[[ImageHost], str]] = {
    "an image": lambda host: host.serve("/i", JPEG),
    "no image": lambda host: host.serve("/i", b"<html>" * 1000),
    "a link that has expired": lambda host: host.serve("/i", b"", status=403),
    "a host in trouble": lambda host: host.serve("/i", b"sorry", status=500),
    "too large": lambda host: host.serve("/i", JPEG.ljust(MAX_BYTES + 1, b"\x00")),
    "cut off": lambda host: host.serve("/i", JPEG, Content_Length=str(len(JPEG) + 1), Connection="close"),
    "a broken packing": lambda host: host.serve("/i", JPEG, Content_Encoding="gzip"),
    "a line that is no header": lambda host: host.mumble("/i", JPEG),
}


@contextmanager
def garbage() -> Iterator[list[object]]:
    """What the block leaves to the garbage collection; complete at the end of the block."""
    left: list[object] = []
    gc.collect()
    gc.disable()
    # What another test left to a thread that still ends does not count.
    gc.freeze()
    try:
        yield left
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()


@pytest.mark.parametrize("answer", ANSWERS)
def test_no_fetch_leaves_an_image_to_the_garbage_collection(host: ImageHost, answer: str) -> None:
    def fetch() -> None:
        with images.for_one(1) as its, suppress(EkycError):
            its.fetch(url)

    images, url = Images((host.origin,)), ANSWERS[answer](host)
    gevent.spawn(fetch).get()  # what the first fetch makes lives on
    with garbage() as left:
        gevent.spawn(fetch).get()
    ours = [type(each) for each in left if type(each).__module__.startswith(("worker.", "_io"))]
    assert len(host.asked) >= 2
    assert not ours


def test_an_image_within_a_cycle_would_be_noticed(host: ImageHost) -> None:
    images, url = Images((host.origin,)), ANSWERS["an image"](host)
    with garbage() as left:
        circle = [images.fetch(url)]
        circle.append(circle)  # type: ignore[arg-type]
        del circle
    assert Image in map(type, left)
