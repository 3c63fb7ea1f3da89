"""Draws a watermark into one image, in a process of its own: the bytes are of strangers, and decoders have had faults.

It reads the image from stdin and writes a JPEG to stdout. Its arguments are the media type that the image must have,
and the text. It has nothing in its environment, opens no file, and the system bounds its memory and its time. It is run
as a file by `python -I`, so that only the standard library and Pillow run in it.

Exit status: 0; 1 with a word on stderr: `TOO_LARGE` or `NOT_READABLE`.
"""

from __future__ import annotations

import io
import math
import resource
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable

#: The most pixels of an image: one of a telephone has 12 to 50 million. A JPEG is decoded at a part of its size, other
#: formats at their full size, which takes 4 bytes of memory for each pixel, and as much again within a decoder.
MOST_PIXELS: Final = {"JPEG": 50_000_000, "PNG": 16_000_000, "WEBP": 12_000_000}

FORMATS: Final = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}

#: The longest side of what is shown, in pixels; a smaller image is enlarged until the text can be read.
LONGEST_SIDE: Final = 1800
SHORTEST_SIDE: Final = 480

#: Bytes of address space, of which the largest image takes two thirds, and seconds of a processor.
MEMORY: Final = 512 * 1024 * 1024
CPU_S: Final = 8

#: How the text is repeated over the image: its angle, its part of the longer side, and how much it covers.
_ANGLE: Final = 30
_WIDTH: Final = 0.6
_DARK: Final = 0.45
_LIGHT: Final = 0.55
_SMALLEST_TEXT: Final = 11

#: Pixels around the line below.
_EDGE: Final = 4


def main(media_type: str, text: str) -> int:
    """Return the exit status."""
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        # A service manager that filters this call has its own limits.
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (value, value))
    Image.MAX_IMAGE_PIXELS = max(MOST_PIXELS.values())
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        shown = watermarked(sys.stdin.buffer.read(), FORMATS[media_type], text)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, TooLargeError, MemoryError):
        return _refused("TOO_LARGE")
    except Exception:  # noqa: BLE001 - whatever a decoder raises
        return _refused("NOT_READABLE")
    sys.stdout.buffer.write(shown)
    sys.stdout.buffer.flush()
    return 0


class TooLargeError(Exception):
    """Raised for an image with too many pixels."""


def watermarked(body: bytes, kind: str, text: str) -> bytes:
    """Return a JPEG of an image of one format, with a text all over it and once more below it."""
    with Image.open(io.BytesIO(body), formats=[kind]) as image:
        if math.prod(image.size) > MOST_PIXELS[kind]:
            raise TooLargeError
        # A JPEG is decoded at a half, a quarter or an eighth of its size.
        image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
        image.load()
        # What is large is made smaller before anything is copied.
        plain = _opaque(_upright(_scaled(image)))
    _write_over(plain, text)
    out = io.BytesIO()
    # The metadata of the original may have a place, so none is kept.
    _with_line_below(plain, text).save(out, "JPEG", quality=85)
    return out.getvalue()


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - metadata that cannot be read hides no image
        return image


def _scaled(image: Image.Image) -> Image.Image:
    longest = max(image.size)
    wanted = min(max(longest, SHORTEST_SIDE), LONGEST_SIDE)
    if wanted == longest:
        return image
    width, height = (max(1, round(side * wanted / longest)) for side in image.size)
    return image.resize((width, height))


def _opaque(image: Image.Image) -> Image.Image:
    """Return an image without transparency, on white."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    seen = image.convert("RGBA")
    ground = Image.new("RGB", seen.size, "white")
    ground.paste(seen, mask=seen.getchannel("A"))
    return ground


def _write_over(image: Image.Image, text: str) -> None:
    """Repeat a text over an image, light with a dark edge, so that it shows on every ground."""
    font = _font(text, _WIDTH * max(image.size))
    _, top, right, bottom = font.getbbox(text)
    gap = max(_SMALLEST_TEXT, round(bottom - top))
    stamp = Image.new("L", (round(right) + gap, round(bottom) + gap))
    ImageDraw.Draw(stamp).text((gap / 2, gap / 2), text, fill=255, font=font)
    stamp = stamp.rotate(_ANGLE, expand=True)
    mask = Image.new("L", image.size)
    for y in range(-stamp.height // 2, image.height, max(1, stamp.height // 2)):
        for x in range(-stamp.width // 2, image.width, stamp.width):
            mask.paste(255, (x, y), stamp)
    image.paste((0, 0, 0), mask=ImageChops.offset(mask, 1, 1).point(lambda value: value * _DARK))
    image.paste((255, 255, 255), mask=mask.point(lambda value: value * _LIGHT))


def _font(text: str, width: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font in which a text has about this width."""
    unit = ImageFont.load_default(100).getlength(text) / 100
    return ImageFont.load_default(max(_SMALLEST_TEXT, int(width / unit)))


def _with_line_below(image: Image.Image, text: str) -> Image.Image:
    font = _font(text, min(0.95 * image.width, 900))
    lines = "\n".join(_wrapped(text.split(), lambda line: font.getlength(line) < image.width - 2 * _EDGE))
    ruler = ImageDraw.Draw(image)
    height = round(ruler.multiline_textbbox((0, 0), lines, font=font)[3]) + 2 * _EDGE
    shown = Image.new("RGB", (image.width, image.height + height), "black")
    shown.paste(image)
    ImageDraw.Draw(shown).multiline_text((_EDGE, image.height + _EDGE), lines, fill="white", font=font)
    return shown


def _wrapped(words: list[str], fits: Callable[[str], bool]) -> list[str]:
    lines = words[:1]
    for word in words[1:]:
        if fits(longer := f"{lines[-1]} {word}"):
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _refused(word: str) -> int:
    print(word, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
