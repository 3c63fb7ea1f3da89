"""Images of evidence as the viewer shows them: decoded elsewhere, with a watermark burnt in."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.errors import ConfigError, Refused
from worker.evidence.media import Kind, sniff

if TYPE_CHECKING:
    from worker.settings import Settings

#: What a browser gets, whatever was stored.
SHOWN_AS: Final = "image/jpeg"

#: The formats that are decoded. All others are only named.
DECODED: Final = frozenset({"image/jpeg", "image/png", "image/webp"})

#: A larger file is not decoded.
MOST_BYTES: Final = 32 * 1024 * 1024

#: Seconds for one image. The process has a bound of its own on the processor's time.
LIMIT_S: Final = 15.0

_PROCESS: Final = Path(__file__).with_name("watermark_process.py")

_SAID: Final = {
    "TOO_LARGE": "it is too large to be shown",
    "NOT_READABLE": "it is damaged, or not the image that it seems to be",
}


class NotShown(Refused):
    """Raised for a file that is no image that can be shown. The message says why; nothing of it is quoted."""


def check_settings(settings: Settings) -> None:
    """Raise ``ConfigError`` if the viewer is on and cannot work."""
    if not settings.console_evidence:
        return
    settings.require_evidence()
    if find_spec("PIL") is None:
        raise ConfigError("EKYC_CONSOLE_EVIDENCE needs Pillow: install ekyc-worker[web]")


def media_type_of(body: bytes) -> str | None:
    """Return the media type of a file that can be shown, by its bytes; None: it is only named."""
    found = sniff(body, Kind.IMAGE)
    return found if found in DECODED else None


def watermarked(body: bytes, text: str) -> bytes:
    """Return a JPEG of an image with a text burnt in. Raises ``NotShown``. Blocks for a few tenths of a second."""
    media_type = media_type_of(body)
    if media_type is None:
        raise NotShown("OTHER_TYPE", "it is no JPEG, PNG or WebP")
    if len(body) > MOST_BYTES:
        raise NotShown("TOO_LARGE", _SAID["TOO_LARGE"])
    try:
        ended = subprocess.run(  # noqa: S603 - our own file
            [sys.executable, "-I", str(_PROCESS), media_type, text],
            input=body,
            capture_output=True,
            env={},
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotShown("TOO_SLOW", "it takes too long to be decoded") from None
    except OSError:
        raise NotShown("NO_PROCESS", "this machine cannot start a process for it now") from None
    if ended.returncode:
        word = ended.stderr.decode(errors="replace").strip()
        raise NotShown(word if word in _SAID else "NOT_READABLE", _SAID.get(word, _SAID["NOT_READABLE"]))
    return ended.stdout
