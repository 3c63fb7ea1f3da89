"""Decompression of messages up to a limit: kombu decompresses every coding, without a limit of size."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Any, Final

from kombu import compression

if TYPE_CHECKING:
    from collections.abc import Callable

#: The largest decompressed message. `tasks.enqueue` has an id and 4 KB of context, a batch 1,000 ids.
MAX_MESSAGE_BYTES: Final = 1024 * 1024

#: The memory limit of an LZMA decoder: a stream can demand up to 4 GB.
_LZMA_MEMORY_BYTES: Final = 64 * 1024 * 1024


def install() -> None:
    """Replace kombu's decoders in this process by bounded ones, and refuse all other compressions."""
    for content_type in compression.encoders():
        encoding: Any = compression.get_encoder(content_type)
        compression.register(encoding[0], _DECODERS.get(content_type, _refuse), content_type)


def _unzip(body: bytes) -> bytes:
    return _bounded(zlib.decompressobj(), body)


def _unbzip(body: bytes) -> bytes:
    return _bounded(bz2.BZ2Decompressor(), body)


def _unlzma(body: bytes) -> bytes:
    return _bounded(lzma.LZMADecompressor(memlimit=_LZMA_MEMORY_BYTES), body)


def _bounded(decompressor: Any, body: bytes) -> bytes:
    unpacked: bytes = decompressor.decompress(body, MAX_MESSAGE_BYTES)
    if not decompressor.eof:
        raise ValueError(f"a compressed message is cut off, or holds more than {MAX_MESSAGE_BYTES} bytes")
    return unpacked


def _refuse(body: bytes) -> bytes:
    del body
    raise ValueError("this compression is not supported")


_DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "application/x-gzip": _unzip,
    "application/x-bz2": _unbzip,
    "application/x-lzma": _unlzma,
}
