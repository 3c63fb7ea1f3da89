"""The watermark of the evidence viewer: burnt in, in a process of its own that no image can harm."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Final

import pytest
from PIL import Image

from tests.support import images
from worker.errors import ConfigError
from worker.settings import Settings
from worker.web.console import watermark
from worker.web.console.answer_fields import MOST_NAME, MOST_ROWS, fields_of
from worker.web.console.watermark import NotShown, check_settings, media_type_of, watermarked

TEXT: Final = "ann@bank.example  2026-11-30 03:20:11 UTC"


def shown(body: bytes, text: str = TEXT) -> Image.Image:
    image = Image.open(BytesIO(watermarked(body, text)))
    assert image.format == "JPEG"
    image.load()
    return image


@pytest.mark.parametrize("make", [images.jpeg, images.png, images.webp])
def test_the_text_is_all_over_the_image(make: object) -> None:
    body: bytes = make(1200, 800)  # type: ignore[operator]
    image = shown(body)
    assert image.width == 1200
    for left in (0, 400, 800):
        for top in (0, 400):
            low, high = image.convert("L").crop((left, top, left + 400, top + 400)).getextrema()
            assert high - low > 40, "each part has some of it"  # type: ignore[operator]
    other = shown(body, TEXT.replace("ann", "ben"))
    assert image.tobytes() != other.tobytes()


def test_an_image_is_shown_upright_in_a_bounded_size_and_without_metadata() -> None:
    held = Image.new("RGB", (4000, 1000), "#444")
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "SECRET PLACE"
    out = BytesIO()
    held.save(out, "JPEG", exif=exif)
    body = watermarked(out.getvalue(), TEXT)
    assert b"SECRET" not in body
    image = Image.open(BytesIO(body))
    assert image.width == 450
    assert 1800 < image.height < 1900
    assert not image.getexif()
    assert shown(images.png(20, 20)).width == 480, "a small one is enlarged until the text can be read"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (images.bomb(), "TOO_LARGE"),
        (images.bomb(6000, 5000), "TOO_LARGE"),
        (images.bomb(1, 100_000_000), "TOO_LARGE"),
        (images.jpeg()[:500], "NOT_READABLE"),
        (b"\xff\xd8\xff", "NOT_READABLE"),
        (b"RIFF\0\0\0\0WEBP", "NOT_READABLE"),
        (b"GIF89a", "OTHER_TYPE"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "OTHER_TYPE"),
        (b"", "OTHER_TYPE"),
    ],
)
def test_what_cannot_be_shown_is_one_line(body: bytes, reason: str) -> None:
    with pytest.raises(NotShown) as caught:
        watermarked(body, TEXT)
    assert caught.value.reason == reason
    assert str(caught.value).startswith("it ")


def test_a_format_is_what_the_first_bytes_say() -> None:
    """Pillow has decoders for dozens of formats, which must not run."""
    icon = BytesIO()
    Image.new("RGB", (16, 16)).save(icon, "TIFF")
    disguised = b"\xff\xd8\xff" + icon.getvalue()
    with pytest.raises(NotShown):
        watermarked(disguised, TEXT)
    assert media_type_of(icon.getvalue()) is None


def test_one_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "LIMIT_S", 0.001)
    with pytest.raises(NotShown, match="takes too long"):
        watermarked(images.jpeg(), TEXT)


def test_the_viewer_says_at_the_start_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    check_settings(Settings())
    with pytest.raises(ConfigError, match="EKYC_EVIDENCE_URL is not set"):
        check_settings(Settings(console_evidence="on"))
    monkeypatch.setattr(watermark, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="needs Pillow"):
        check_settings(Settings(console_evidence="on", evidence_url="file:///evidence"))


def test_fields_are_rows_in_their_order() -> None:
    found = fields_of(
        b'{"code":"SUCCESS","data":{"name":"A","list":[1,{"x":true}],"none":null,"empty":{},"link":" HTTPS://a/b"}}'
    )
    assert [(row.name, row.value) for row in found.rows] == [
        ("code", "SUCCESS"),
        ("data.name", "A"),
        ("data.list.1", "1"),
        ("data.list.2.x", "true"),
        ("data.none", "–"),
        ("data.empty", "–"),
        ("data.link", "(a link or an inline file of 12 characters)"),
    ]
    assert found.more == 0


@pytest.mark.parametrize(
    "link",
    [
        "https://v.example/x?sig=1",
        "front: https://v.example/x?sig=1",
        "front:HTTP://v/x",
        '{"front":"https://v/x?sig=1"}',
        '{"front":"https:\\/\\/v\\/x?sig=1"}',
        '{"front":"\\/\\/v\\/x?sig=1"}',
        "//v/x?sig=1",
        "<https://v/x?sig=1>",
        "\ufeffhttps://v/x?sig=1",
        "\u200bhttps://v/x",
        "s3://bucket/x?sig=1",
        "image: data:image/png;base64,AAAA",
        "x" * 700 + " https://v/x",
    ],
)
def test_a_link_is_not_shown_wherever_it_stands(link: str) -> None:
    (value,) = fields_of(json.dumps({"a": link}).encode()).rows
    assert value.value == f"(a link or an inline file of {len(link):,} characters)"
    (name,) = fields_of(json.dumps({link[-100:]: 5}).encode()).rows
    assert (name.name, name.value) == ("(a name with a link)", "5")
    (inner,) = fields_of(json.dumps({"data": {link[-100:]: 5}}).encode()).rows
    assert inner.name == "(a name with a link)"


@pytest.mark.parametrize(
    "text",
    ["data: none", "metadata:1", "1/2", "Blk 5 / 12", "10:30", "P<PHLDELA<<CRUZ", "C:\\x", "a // b", "https"],
)
def test_what_is_no_link_is_shown(text: str) -> None:
    (row,) = fields_of(json.dumps({text: text}).encode()).rows
    assert (row.name, row.value) == (text, text)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_rows_are_bounded_however_large_an_answer_is(size: int) -> None:
    nested = "1"
    for _ in range(90):
        nested = f'{{"{"n" * 200}":{nested}}}'
    many = ",".join(f'"{number}":"{"x" * 700}"' for number in range(1000 * size))
    found = fields_of(f'{{{many},"nested":{nested}}}'.encode())
    assert len(found.rows) == MOST_ROWS
    assert found.more == 1000 * size + 1 - MOST_ROWS
    assert all(len(row.name) <= MOST_NAME for row in found.rows)
    assert found.rows[0].left_out == 100
