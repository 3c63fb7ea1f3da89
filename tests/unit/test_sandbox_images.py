"""The sandbox's pictures and their links."""

from __future__ import annotations

import itertools
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.documents import PERSON
from sandbox.images import picture
from sandbox.links import LIFETIME_S, LinkSigner, Verdict

SIDES = ("front", "back")


def segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """The markers of a JPEG up to its picture data, and what they hold."""
    assert jpeg.startswith(b"\xff\xd8")
    assert jpeg.endswith(b"\xff\xd9")
    found, at = [], 2
    while jpeg[at + 1] != 0xDA:
        assert jpeg[at] == 0xFF
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        found.append((jpeg[at + 1], jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
    return found


@pytest.mark.parametrize("side", SIDES)
def test_a_picture_is_a_small_baseline_jpeg(side: str) -> None:
    jpeg = picture("pass-0001", side)
    markers = [marker for marker, _ in segments(jpeg)]
    assert markers[:2] == [0xE0, 0xFE], "JFIF first, then the comment"
    assert {0xDB, 0xC0, 0xC4} <= set(markers), "quantisation, frame, Huffman tables"
    assert 1000 < len(jpeg) < 4000


def test_no_two_pictures_are_the_same() -> None:
    pictures = {picture(signature_id, side) for signature_id, side in itertools.product(("a", "b"), SIDES)}
    assert len(pictures) == 4


def test_a_picture_says_whose_it_is_and_that_nobody_is() -> None:
    comments = [held for marker, held in segments(picture("pass-0001", "back")) if marker == 0xFE]
    assert comments == [f"{PERSON} pass-0001 back".encode()]


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def judge(signer: LinkSigner, link: str, **changed: str) -> Verdict:
    url = urlsplit(link)
    _, _, signature_id, side = url.path.removesuffix(".jpg").split("/")
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    asked = {"signature_id": signature_id, "side": side, **query} | changed
    return signer.judge(
        asked["signature_id"], asked["side"], expires_s=asked["expires"], signature=asked["sig"]
    )


def test_a_link_lives_for_a_day() -> None:
    clock = Clock()
    signer = LinkSigner("secret", clock=clock)
    link = signer.link("http://127.0.0.1:1", "pass-1", "front")
    clock.now_s += LIFETIME_S - 1
    assert judge(signer, link) is Verdict.LIVE
    clock.now_s += 1
    assert judge(signer, link) is Verdict.EXPIRED


def test_a_link_may_be_born_dead() -> None:
    signer = LinkSigner("secret")
    assert (
        judge(signer, signer.link("http://127.0.0.1:1", "imgexpired-1", "front", dead=True))
        is Verdict.EXPIRED
    )


@pytest.mark.parametrize(
    "changed",
    [{"signature_id": "pass-2"}, {"side": "back"}, {"expires": "99999999999"}, {"expires": ""}, {"sig": "é"}],
)
def test_a_link_is_good_for_one_image_and_one_time(changed: dict[str, str]) -> None:
    signer = LinkSigner("secret")
    assert judge(signer, signer.link("http://127.0.0.1:1", "pass-1", "front"), **changed) is Verdict.FORGED


def test_links_outlive_the_process_that_made_them() -> None:
    link = LinkSigner("secret").link("http://127.0.0.1:1", "pass-1", "front")
    assert judge(LinkSigner("secret"), link) is Verdict.LIVE
    assert judge(LinkSigner("another"), link) is Verdict.FORGED
