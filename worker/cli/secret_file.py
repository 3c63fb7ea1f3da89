"""Files with secrets that commands make: whole or not there, and only their owner can read them."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from worker.errors import InvalidInput
from worker.records.new_file import new_file

if TYPE_CHECKING:
    from pathlib import Path


def create(file: Path, text: str, *, otherwise: str = "name a new one") -> None:
    """Write a new file with mode 0600. Raises ``InvalidInput``. `otherwise`: what to do if the name is taken."""
    if os.path.lexists(file):
        raise InvalidInput(f"{file}: the file exists, and is not replaced: {otherwise}")
    try:
        _create(file, text)
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be written: {error.strerror}") from None


def replace(file: Path, text: str) -> None:
    """Replace a file by one with mode 0600, or leave it as it is. Raises ``InvalidInput``."""
    target = file.resolve()
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _create(draft, text)
        draft.replace(target)
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            draft.unlink()


def _create(file: Path, text: str) -> None:
    with new_file(file) as opened:
        opened.write(text.encode("ascii"))
