"""Images for the tests of what decodes them, and such as want to hurt a decoder."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

from PIL import Image


def jpeg(width: int = 320, height: int = 200, colour: str = "#2a6") -> bytes:
    return _saved(Image.new("RGB", (width, height), colour), "JPEG")


def png(width: int = 320, height: int = 200) -> bytes:
    """It is half transparent."""
    return _saved(Image.new("RGBA", (width, height), (200, 20, 20, 128)), "PNG")


def webp(width: int = 320, height: int = 200) -> bytes:
    return _saved(Image.new("RGB", (width, height), "#26a"), "WEBP")


def bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG of a few hundred bytes that claims to have billions of pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (("IHDR", head), ("IDAT", zlib.compress(bytes(width + 1))), ("IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name.encode(), body) for name, body in parts)


def long_text_bomb() -> bytes:
    """A PNG whose compressed comment unpacks to 200 MB."""
    deflated = zlib.compressobj(9)
    comment = b"".join(deflated.compress(bytes(1 << 20)) for _ in range(200)) + deflated.flush()
    whole = png(16, 16)
    return whole[:33] + _chunk(b"zTXt", b"Comment\0\0" + comment) + whole[33:]


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _saved(image: Image.Image, kind: str) -> bytes:
    out = BytesIO()
    image.save(out, kind)
    return out.getvalue()
