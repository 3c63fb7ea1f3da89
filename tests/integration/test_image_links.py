"""Links that are not quite URLs, over real HTTP, and images given instead of a link, archived."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.image_host import JPEG, PNG, ImageHost
from tests.support.odd_answers import text
from worker.errors import ImageRefused
from worker.evidence.archive import Archived, archive
from worker.evidence.images import Images
from worker.evidence.manifest import Missing
from worker.evidence.store import Evidence
from worker.evidence.verification import verify

if TYPE_CHECKING:
    from pathlib import Path

REGION, ID = "ph", "f302f5d2454a85c2"


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    return Evidence(tmp_path.as_uri())


ASKED = {
    "/a front.jpg": "/a%20front.jpg",
    "/a%20front.jpg": "/a%20front.jpg",
    "/a\nfr\r\nont.jpg\n": "/afront.jpg",
    " /front.jpg ": "/front.jpg",
    "/é.jpg?name=Ü": "/%C3%A9.jpg?name=%C3%9C",
    '/"a"<b>{c}|^`.jpg': "/%22a%22%3Cb%3E%7Bc%7D%7C%5E%60.jpg",
    "/100%.jpg": "/100%25.jpg",
}


@pytest.mark.parametrize(("path", "asked"), ASKED.items())
def test_what_is_merely_not_encoded_is_encoded(host: ImageHost, path: str, asked: str) -> None:
    host.serve(asked, JPEG)
    leading = path[: len(path) - len(path.lstrip())]

    image = Images((host.origin,)).fetch(leading + host.origin + path.lstrip())

    assert image.body == JPEG
    assert host.asked == [asked]


def test_a_line_break_smuggles_no_header_and_no_other_origin(host: ImageHost) -> None:
    host.serve("/iX-Evil:%201", JPEG)
    images = Images((host.origin,))

    images.fetch(f"{host.origin}/i\r\nX-Evil: 1")
    with pytest.raises(ImageRefused, match="BAD_URL"):
        images.fetch(f"{host.origin}\n.evil.example/i")

    assert host.asked == ["/iX-Evil:%201"]
    assert "X-Evil" not in host.headers


def test_an_image_in_the_place_of_its_link_needs_no_host(host: ImageHost) -> None:
    image = Images((host.origin,)).fetch(base64.encodebytes(PNG).decode())

    assert (image.body, image.media_type) == (PNG, "image/png")
    assert host.asked == []


@pytest.mark.parametrize(
    "held", [base64.b64encode(b"<svg>" * 20).decode(), "data:image/jpeg;base64,", "data:image/jpeg,hello"]
)
def test_what_is_no_image_is_refused_in_the_place_of_a_link_too(host: ImageHost, held: str) -> None:
    with pytest.raises(ImageRefused) as caught:
        Images((host.origin,)).fetch(held)
    assert caught.value.reason in {"NOT_AN_IMAGE", "BAD_URL"}


def archived(evidence: Evidence, host: ImageHost, **links: Any) -> Archived:
    detail = {"ocrResult": "PASS", "docFrontImage": None, "docBackImage": None} | links
    evidence.of(REGION, ID).keep_answer(text(ID, docDetail=detail).encode())
    images = Images((host.origin,))
    return archive(evidence.of(REGION, ID), images, refresh=lambda: None)


def test_images_in_the_place_of_their_links_are_files_of_the_evidence(
    evidence: Evidence, host: ImageHost, tmp_path: Path
) -> None:
    front, back = base64.encodebytes(JPEG).decode(), "data:image/png;base64," + base64.b64encode(PNG).decode()

    result = archived(evidence, host, docFrontImage=front, docBackImage=back)

    assert (result.complete, result.files) == (True, 3)
    assert (tmp_path / REGION / ID / "front.jpg").read_bytes() == JPEG
    assert (tmp_path / REGION / ID / "back.png").read_bytes() == PNG
    assert verify(evidence.of(REGION, ID)) == []


@pytest.mark.parametrize(
    "link", [17, ["x"], {"url": "x"}, "https://u:p@h/i", "http://h/\x01", "C:\\i", "i.jpg", "\ud800"]
)
def test_a_link_that_is_none_is_an_image_that_is_missing(
    evidence: Evidence, host: ImageHost, link: Any
) -> None:
    good = host.serve("/back.jpg", JPEG)

    result = archived(evidence, host, docFrontImage=link, docBackImage=good)

    assert (result.complete, result.pending, result.files) == (False, False, 2)
    assert result.missing == (Missing("front", "BAD_URL"),)
    assert verify(evidence.of(REGION, ID)) == []


def test_of_two_links_for_one_image_neither_is_taken(evidence: Evidence, host: ImageHost) -> None:
    one, other = (host.serve(path, JPEG) for path in ("/1", "/2"))
    pair = f'"docFrontImage": {json.dumps(one)}, "docFrontImage": {json.dumps(other)}'
    answer = text(ID).replace('"docFrontImage": null', pair)
    evidence.of(REGION, ID).keep_answer(answer.encode())

    result = archive(evidence.of(REGION, ID), Images((host.origin,)), refresh=lambda: None)

    assert result.missing == (Missing("front", "BAD_URL"),)
    assert host.asked == []
