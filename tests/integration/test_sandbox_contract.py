"""The sandbox's catalogue, held against our own vendor client and image fetcher: each expects what the other does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sandbox.scenario import Entry, catalogue
from sandbox.server import Sandbox
from worker.advance.answers import Answer, OursToFix, Settled, UnknownCode, UnknownId, Unreadable
from worker.advance.client import Client
from worker.errors import ImageRefused, ImageUnavailable
from worker.evidence.images import Images
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis as redis_py

#: `slowdrip` takes the client's whole deadline, and ends as `truncated` does.
EXAMPLES = [entry for entry in catalogue() if entry.demo and entry.id_prefix != "slowdrip"]


def about_images(entry: Entry) -> bool:
    words = ("img", "noimages", "notimage")
    return entry.id_prefix.startswith(words) and entry.expect.evidence_complete is not None


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox, redis: redis_py.Redis) -> Client:
    environment = sandbox.environment()
    settings = Settings(
        base_url=environment["ADVANCE_BASE_URL"],
        access_key=environment["ADVANCE_ACCESS_KEY"],
        secret_key=environment["ADVANCE_SECRET_KEY"],
    )
    return Client(settings, redis)


def last_answer(client: Client, signature_id: str) -> Answer:
    """The result, or whatever comes instead however often one asks."""
    end_s = time.monotonic() + 20
    for ask in range(1000):
        answer = client.get_result("ph", signature_id)
        if isinstance(answer, Settled | OursToFix | Unreadable):
            return answer
        if isinstance(answer, UnknownCode | UnknownId) and ask > 5:
            return answer
        assert time.monotonic() < end_s, answer.kind
        time.sleep(0.02)
    raise AssertionError(signature_id)


@pytest.mark.parametrize("entry", EXAMPLES, ids=lambda entry: entry.id_prefix)
def test_our_client_hears_what_an_example_promises(client: Client, entry: Entry) -> None:
    answer = last_answer(client, f"{entry.id_prefix}-0001")
    expect = entry.expect
    match answer:
        case Settled(result=result):
            assert (expect.outcome, expect.reason) == ("decided", result.contradiction)
            assert (result.overall_result, result.error_code) == (expect.overall_result, expect.error_code)
        case UnknownId():
            assert (expect.outcome, expect.reason) == ("decided", "SIGNATURE_NOT_EXIST")
        case _:
            assert expect.outcome == "quarantined"


@pytest.mark.parametrize("entry", [*filter(about_images, EXAMPLES)], ids=lambda entry: entry.id_prefix)
def test_our_client_gets_the_images_that_an_example_promises(
    sandbox: Sandbox, client: Client, entry: Entry
) -> None:
    images, signature_id = Images((sandbox.url,)), f"{entry.id_prefix}-0002"
    complete = False
    for _ in range(2):
        answer = last_answer(client, signature_id)
        assert isinstance(answer, Settled)
        detail = answer.result.doc_detail
        links = (detail.front_image, detail.back_image) if detail else ()
        try:
            complete = all(images.fetch(link) for link in links if link)
            break
        except (ImageRefused, ImageUnavailable):
            continue
    assert complete == entry.expect.evidence_complete
